//! A job as its daemon describes it.

use serde::{Deserialize, Serialize};

use super::JobParameters;
use crate::job::VersionChange;

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
    /// Which version is in force from which step on.
    pub log: Vec<VersionChange>,
    /// Steps below it are decided.
    pub horizon: u64,
}

impl ServedJob {
    /// Returns the job's parameters.
    #[must_use]
    pub fn parameters(&self) -> JobParameters {
        JobParameters { seed: self.seed, batch_size: self.batch_size }
    }
}
