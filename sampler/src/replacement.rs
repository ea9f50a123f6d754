//! Replacement modes: how the draws of one epoch relate to each other.

use serde::{Deserialize, Serialize};

use crate::job::Steps;

/// Most draws an epoch may have.
pub const EPOCH_DRAWS_MAX: u64 = 1 << 32;
/// Most draws an epoch may have in mode [`Replacement::Distinct`], whose plan takes 4 bytes a draw.
pub const DISTINCT_EPOCH_DRAWS_MAX: u64 = 1 << 28;

/// How the draws of one epoch relate to each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Replacement {
    /// With replacement: every draw follows the sampler's probabilities, whatever the others are.
    #[default]
    Independent,
    /// Every example ⌊R·p⌋ or ⌈R·p⌉ times in a segment of R draws, in random order. Under the uniform sampler an epoch
    /// is a shuffle: each example once.
    Stratified,
    /// Weighted without replacement: each draw follows the probabilities of the examples that the epoch has not had
    /// yet. An example comes again only once every other one that can be drawn has come as often.
    Distinct,
}

impl Replacement {
    /// Returns the mode's name, as it is written everywhere.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Independent => "independent",
            Self::Stratified => "stratified",
            Self::Distinct => "distinct",
        }
    }

    /// Checks that a job over a dataset of `rows` examples can have this mode and these steps.
    ///
    /// # Errors
    /// [`EpochError`] naming the limit that is not kept.
    pub fn check(self, steps: Steps, rows: u64) -> Result<(), EpochError> {
        let Steps { batch_size, epoch_draws } = steps;
        if !(1..=EPOCH_DRAWS_MAX).contains(&epoch_draws) {
            return Err(EpochError::OutOfRange(epoch_draws));
        }
        if self != Self::Distinct {
            return Ok(());
        }
        if epoch_draws > rows {
            return Err(EpochError::MoreThanExamples { epoch_draws, rows });
        }
        if epoch_draws > DISTINCT_EPOCH_DRAWS_MAX {
            return Err(EpochError::TooManyDistinct(epoch_draws));
        }
        if u64::from(batch_size) > epoch_draws {
            return Err(EpochError::BatchBeyondEpoch { batch_size, epoch_draws });
        }
        Ok(())
    }
}

/// Why an epoch cannot have so many draws.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EpochError {
    /// None, or too many to be numbered.
    #[error("epoch_draws is {0}: it must be from 1 to {EPOCH_DRAWS_MAX}")]
    OutOfRange(u64),
    /// Distinct draws that cannot all differ.
    #[error("epoch_draws is {epoch_draws}, but the dataset has {rows} examples: in mode distinct it can be no more")]
    MoreThanExamples {
        /// Draws of an epoch.
        epoch_draws: u64,
        /// Examples.
        rows: u64,
    },
    /// More distinct draws than are planned at once.
    #[error(
        "epoch_draws is {0}: mode distinct plans an epoch at once, at most {DISTINCT_EPOCH_DRAWS_MAX} draws; set a smaller \
         epoch_draws or use mode stratified"
    )]
    TooManyDistinct(u64),
    /// A batch would have examples twice.
    #[error(
        "batch_size is {batch_size} and epoch_draws {epoch_draws}: in mode distinct a batch is no longer than an epoch"
    )]
    BatchBeyondEpoch {
        /// Global batch size.
        batch_size: u32,
        /// Draws of an epoch.
        epoch_draws: u64,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_named() {
        let check = |mode: Replacement, batch_size, epoch_draws, rows| {
            mode.check(Steps { batch_size, epoch_draws }, rows).map_err(|error| error.to_string())
        };
        for mode in [Replacement::Independent, Replacement::Stratified] {
            assert_eq!(check(mode, 64, 1, 10), Ok(()));
            assert_eq!(check(mode, 64, EPOCH_DRAWS_MAX, 10), Ok(()));
        }
        for mode in [Replacement::Independent, Replacement::Stratified, Replacement::Distinct] {
            assert!(check(mode, 1, 0, 10).unwrap_err().contains("must be from 1 to 4294967296"));
            assert!(check(mode, 1, EPOCH_DRAWS_MAX + 1, u64::MAX).unwrap_err().contains("must be from 1"));
        }
        assert_eq!(check(Replacement::Distinct, 10, 10, 10), Ok(()));
        assert!(check(Replacement::Distinct, 5, 11, 10).unwrap_err().contains("has 10 examples"));
        assert!(check(Replacement::Distinct, 11, 10, 10).unwrap_err().contains("no longer than an epoch"));
        let large = DISTINCT_EPOCH_DRAWS_MAX + 1;
        assert!(check(Replacement::Distinct, 1, large, large).unwrap_err().contains("at most 268435456 draws"));
    }
}
