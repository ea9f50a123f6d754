//! Why an engine refuses.

use super::BATCH_SIZE_MAX;
use crate::plan::PlanError;
use crate::replacement::EpochError;
use crate::sampler::SamplerError;
use crate::selection::SelectionError;

/// Why an engine cannot be made, or computes no batch.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum EngineError {
    /// A sampler cannot be built.
    #[error(transparent)]
    Sampler(#[from] SamplerError),
    /// A batch size out of range.
    #[error("batch_size is {0}: it must be from 1 to {BATCH_SIZE_MAX}")]
    BatchSize(u32),
    /// An epoch that the replacement mode cannot have.
    #[error(transparent)]
    Epoch(#[from] EpochError),
    /// A segment that cannot be planned.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// The dataset is not the one that the job was served from.
    #[error(
        "this dataset's content is {given}, the job was served from {served}: replay it from the same columns, features \
         and gradient norm"
    )]
    OtherDataset {
        /// Hash of the dataset given.
        given: String,
        /// Hash of the job's dataset.
        served: String,
    },
    /// Features are not those that a version was served over.
    #[error("these features' content is {given}, the version was served over {served}: give that revision's columns")]
    OtherFeatures {
        /// Hash of the features given.
        given: String,
        /// Hash of the version's.
        served: String,
    },
    /// Features are of other examples than the dataset.
    #[error(
        "features of {} examples from {} on: the dataset has {} from {} on",
        given.1, given.0, dataset.1, dataset.0
    )]
    OtherExamples {
        /// First example and number of the features given.
        given: (u64, usize),
        /// Those of the dataset.
        dataset: (u64, usize),
    },
    /// A log that no daemon writes.
    #[error("the job's log must start at step 0 and ascend")]
    Log,
    /// A version of the log whose spec was not given.
    #[error("the job's log names sampler version {version}, whose spec was not given")]
    NoSpec {
        /// The version.
        version: u64,
    },
    /// A swap where batches are decided.
    #[error("a sampler cannot be activated at step {step}: steps before {earliest} are decided")]
    Decided {
        /// The step.
        step: u64,
        /// The first step at which one can.
        earliest: u64,
    },
    /// A step at or above a replayed job's horizon.
    #[error("step {step} was not decided when the job was read: its horizon is {horizon}")]
    Undecided {
        /// The step.
        step: u64,
        /// The job's horizon.
        horizon: u64,
    },
    /// A step beyond the last.
    #[error("step {step} is beyond the last, {last}: draws are numbered with 64 bits")]
    NoSuchStep {
        /// The step.
        step: u64,
        /// The last one.
        last: u64,
    },
    /// Proposals cannot be selected from.
    #[error(transparent)]
    Selection(#[from] SelectionError),
}
