//! The parameters of a job.

use super::EngineError;
use crate::job::Steps;
use crate::replacement::Replacement;

/// Largest global batch.
pub const BATCH_SIZE_MAX: u32 = 1 << 24;

/// What a job's batches are a function of, beside its dataset and its samplers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JobParameters {
    /// Key of its random draws.
    pub seed: u64,
    /// Global batch size, over all ranks; 1 to [`BATCH_SIZE_MAX`].
    pub batch_size: u32,
    /// How the draws of one epoch relate to each other.
    pub replacement: Replacement,
    /// Draws of an epoch; `None`: as many as the dataset has examples.
    pub epoch_draws: Option<u64>,
}

impl JobParameters {
    /// Returns seed 0, independent draws and epochs of as many draws as there are examples.
    #[must_use]
    pub fn new(batch_size: u32) -> Self {
        Self { seed: 0, batch_size, replacement: Replacement::Independent, epoch_draws: None }
    }

    /// Returns the job's arithmetic of steps and epochs over a dataset of so many examples.
    #[must_use]
    pub fn steps(&self, rows: usize) -> Steps {
        Steps { batch_size: self.batch_size, epoch_draws: self.epoch_draws.unwrap_or(rows as u64) }
    }

    /// Checks that a job over a dataset of so many examples can have these parameters.
    pub(super) fn check(&self, rows: usize) -> Result<(), EngineError> {
        if !(1..=BATCH_SIZE_MAX).contains(&self.batch_size) {
            return Err(EngineError::BatchSize(self.batch_size));
        }
        Ok(self.replacement.check(self.steps(rows), rows as u64)?)
    }
}
