//! A job as its daemon describes it.

use serde::{Deserialize, Serialize};

use super::JobParameters;
use crate::job::VersionChange;
use crate::replacement::Replacement;

/// A job that a daemon serves, read from what `samplerctl --output json job show` prints; fields that do not bear on
/// its batches are passed over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServedJob {
    /// SHA-256 of its dataset's content, hexadecimal.
    pub dataset_hash: String,
    /// Key of its random draws.
    pub seed: u64,
    /// Global batch size.
    pub batch_size: u32,
    /// Draws of an epoch; absent: as many as the dataset has examples.
    #[serde(default)]
    pub epoch_draws: Option<u64>,
    /// How the draws of one epoch relate to each other.
    #[serde(default)]
    pub mode: Replacement,
    /// Which version is in force from which step on.
    pub log: Vec<VersionChange>,
    /// Steps below it are decided.
    pub horizon: u64,
}

impl ServedJob {
    /// Returns the job's parameters.
    #[must_use]
    pub fn parameters(&self) -> JobParameters {
        let Self { seed, batch_size, epoch_draws, mode, .. } = *self;
        JobParameters { seed, batch_size, replacement: mode, epoch_draws }
    }
}
