//! Batches of shuffled epochs: uniform sampling without replacement, as the start network is trained.

use super::{BatchSource, TargetError};
use crate::randomness::{Randomness, seed_for};

/// Every example once an epoch, in an order that is a pure function of the seed and the epoch.
///
/// The last batch of an epoch holds what is left.
#[derive(Debug)]
pub struct ShuffledEpochs {
    seed: u64,
    epoch: u64,
    batch_size: usize,
    order: Vec<u32>,
    position: usize,
}

impl ShuffledEpochs {
    /// Starts at epoch 0 of `examples` in batches of `batch_size`, at least 1.
    #[must_use]
    pub fn new(examples: u32, batch_size: u32, seed: u64) -> Self {
        let mut source = Self {
            seed,
            epoch: 0,
            batch_size: batch_size.max(1) as usize,
            order: (0..examples).collect(),
            position: 0,
        };
        source.shuffle();
        source
    }

    fn shuffle(&mut self) {
        shuffle(&mut self.order, seed_for(self.seed, self.epoch, "epoch order"));
    }
}

impl BatchSource for ShuffledEpochs {
    fn next_batch(&mut self, indices: &mut Vec<u32>) -> Result<(), TargetError> {
        if self.order.is_empty() {
            return Err(TargetError::Batches { reason: "the training set is empty".to_owned() });
        }
        if self.position == self.order.len() {
            self.epoch += 1;
            self.position = 0;
            self.shuffle();
        }
        let end = self.order.len().min(self.position + self.batch_size);
        indices.clear();
        indices.extend_from_slice(&self.order[self.position..end]);
        self.position = end;
        Ok(())
    }
}

/// Puts `items` in a uniformly random order (Fisher and Yates) that `seed` decides.
pub(crate) fn shuffle<T>(items: &mut [T], seed: u64) {
    shuffle_by(items, &mut Randomness::new(seed));
}

/// Puts `items` in a uniformly random order that the next numbers decide.
pub(crate) fn shuffle_by<T>(items: &mut [T], randomness: &mut Randomness) {
    for last in (1..items.len()).rev() {
        items.swap(last, below(randomness, last + 1));
    }
}

/// Returns a whole number uniform in `0..bound`.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the product lies in 0..bound")]
pub(crate) fn below(randomness: &mut Randomness, bound: usize) -> usize {
    // 53 random bits against bounds below 2^32: the bias is below 2^-21 and the result is exact on every platform.
    ((randomness.uniform() * bound as f64) as usize).min(bound - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_epoch_holds_every_example_once_and_epochs_differ() {
        let mut source = ShuffledEpochs::new(10, 4, 3);
        let mut epochs = Vec::new();
        let mut batch = Vec::new();
        for _ in 0..2 {
            let mut seen = Vec::new();
            for expected in [4, 4, 2] {
                source.next_batch(&mut batch).unwrap();
                assert_eq!(batch.len(), expected);
                seen.extend_from_slice(&batch);
            }
            epochs.push(seen);
        }
        assert_ne!(epochs[0], epochs[1]);
        for mut epoch in epochs {
            epoch.sort_unstable();
            assert_eq!(epoch, (0..10).collect::<Vec<u32>>());
        }
    }

    #[test]
    fn the_order_is_a_function_of_the_seed() {
        let batch = |seed| {
            let mut batch = Vec::new();
            ShuffledEpochs::new(1000, 100, seed).next_batch(&mut batch).unwrap();
            batch
        };
        assert_eq!(batch(1), batch(1));
        assert_ne!(batch(1), batch(2));
    }

    #[test]
    fn an_empty_training_set_is_an_error() {
        let result = ShuffledEpochs::new(0, 4, 0).next_batch(&mut Vec::new());
        assert!(matches!(result, Err(TargetError::Batches { .. })));
    }
}
