//! One rank's share of a global batch.

/// One rank's share of a global batch.
#[derive(Debug, Clone, PartialEq)]
pub struct Batch {
    /// Global step.
    pub step: u64,
    /// Epoch of the step.
    pub epoch: u64,
    /// The sampler version that every draw of this batch follows.
    pub version: u64,
    /// Rows of the dataset, one a draw.
    pub indices: Vec<u32>,
    /// The probability with which each of them was drawn; empty where they were not asked for.
    pub probabilities: Vec<f32>,
}
