//! A set of sequences.

use std::path::Path;

use crate::data::{DataError, write_array};

/// The training set, for other programs.
const TRAINING_FILE: &str = "train_tokens.npy";

/// Consecutive sequences of equal length in one text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sequences {
    /// The first of all sequences' tokens is only read, each other is predicted once.
    tokens: Vec<u32>,
    context: usize,
}

impl Sequences {
    /// Takes a token more than whole sequences of `context`, at least 1, have.
    pub(super) fn new(tokens: Vec<u32>, context: usize) -> Self {
        debug_assert_eq!(tokens.len() % context, 1 % context, "one token more than whole sequences");
        Self { tokens, context }
    }

    /// Returns the number of sequences.
    #[must_use]
    pub const fn len(&self) -> usize {
        (self.tokens.len() - 1) / self.context
    }

    /// Tells whether there are no sequences.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the tokens that a sequence predicts.
    #[must_use]
    pub const fn context(&self) -> usize {
        self.context
    }

    /// Returns all tokens: sequence i predicts those from `i * context + 1` to `(i + 1) * context`, each from those before it from
    /// `i * context` on.
    #[must_use]
    pub fn tokens(&self) -> &[u32] {
        &self.tokens
    }

    /// Writes `train_tokens.npy` into `folder`, u32 of sequences × (context + 1): row i is row i of the features,
    /// so that any other program can train on what the dataset's indices mean.
    ///
    /// # Errors
    ///
    /// [`DataError::Read`] names the file.
    pub fn write_training_set(&self, folder: &Path) -> Result<(), DataError> {
        let starts = (0..self.len()).map(|number| number * self.context);
        let rows: Vec<u32> = starts.flat_map(|start| &self.tokens[start..=start + self.context]).copied().collect();
        write_array(folder, TRAINING_FILE, &[self.len() as u64, self.context as u64 + 1], &rows)
    }

    /// Tells whether [`Self::write_training_set`] has finished in the folder.
    #[must_use]
    pub fn is_training_set_in(folder: &Path) -> bool {
        folder.join(TRAINING_FILE).is_file()
    }

    /// Returns the mean natural logarithm of the predicted tokens' frequency of each sequence, among all tokens that these sequences
    /// predict.
    #[must_use]
    pub fn mean_log_frequencies(&self) -> Vec<f64> {
        let predicted = &self.tokens[1..];
        let largest = predicted.iter().max().map_or(0, |&token| token as usize);
        let mut counts = vec![0_u64; largest + 1];
        for &token in predicted {
            counts[token as usize] += 1;
        }
        let total = predicted.len() as f64;
        let logarithms: Vec<f64> = counts.iter().map(|&count| (count as f64 / total).ln()).collect();
        let mean =
            |tokens: &[u32]| tokens.iter().map(|&token| logarithms[token as usize]).sum::<f64>() / self.context as f64;
        predicted.chunks_exact(self.context).map(mean).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frequencies_are_of_predicted_tokens_and_their_logarithms_are_averaged() {
        let sequences = Sequences::new(vec![7, 1, 1, 1, 2], 2);
        assert_eq!((sequences.len(), sequences.is_empty()), (2, false));
        let (often, rare) = (0.75_f64.ln(), 0.25_f64.ln());
        let found = sequences.mean_log_frequencies();
        assert!((found[0] - often).abs() < 1e-12 && (found[1] - (often + rare) / 2.0).abs() < 1e-12, "{found:?}");
    }
}
