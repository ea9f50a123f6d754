//! The calls of the `Sampling` service.

use swift_sampler_proto::v1;
use swift_sampler_proto::v1::follow_policy::Policy;

use super::unary;
use crate::selection::{CropsRequest, SelectedCrops};
use crate::{Batch, BatchStream, BatchesRequest, Client, ClientError, batch};

/// The parameters of a job; they never change once it is open.
#[derive(Debug, Clone, PartialEq)]
pub struct JobConfig {
    /// Name: 1 to 128 characters of `[A-Za-z0-9._/-]`.
    pub name: String,
    /// Dataset to draw from.
    pub dataset: String,
    /// Seed of every draw.
    pub seed: u64,
    /// Global batch size, over all ranks.
    pub batch_size: u32,
    /// Draws of an epoch; 0: as many as the dataset has rows.
    pub epoch_draws: u64,
    /// How draws of one epoch relate to each other.
    pub mode: v1::ReplacementMode,
    /// When a newly activated sampler is taken up.
    pub follow: Policy,
}

impl JobConfig {
    /// A job with seed 0, independent draws and epochs of as many draws as rows, that takes up new samplers at the next step.
    #[must_use]
    pub fn new(name: &str, dataset: &str, batch_size: u32) -> Self {
        Self {
            name: name.into(),
            dataset: dataset.into(),
            seed: 0,
            batch_size,
            epoch_draws: 0,
            mode: v1::ReplacementMode::Independent,
            follow: Policy::Step(true),
        }
    }
}

/// Jobs and their batches.
impl Client {
    /// Opens a job, creating it if it is new.
    ///
    /// # Errors
    /// [`ClientError::AlreadyExists`] when it exists with other parameters, [`ClientError::NotFound`] without the
    /// dataset, [`ClientError::Invalid`] when a parameter is out of range.
    pub async fn open_job(&self, config: &JobConfig) -> Result<v1::Job, ClientError> {
        let request = v1::OpenJobRequest {
            name: config.name.clone(),
            dataset: config.dataset.clone(),
            seed: config.seed,
            batch_size: config.batch_size,
            epoch_draws: config.epoch_draws,
            mode: config.mode.into(),
            follow: Some(v1::FollowPolicy { policy: Some(config.follow) }),
        };
        unary!(self, Safe, sampling.open_job, request)
    }

    /// Streams the batches of one rank; see [`BatchStream`].
    #[must_use]
    pub fn batches(&self, request: BatchesRequest) -> BatchStream {
        BatchStream::new(self.clone(), request)
    }

    /// Returns a few consecutive batches in one answer.
    ///
    /// # Errors
    /// As [`BatchStream::next`].
    pub async fn get_batches(&self, request: v1::GetBatchesRequest) -> Result<Vec<Batch>, ClientError> {
        let from_step = request.from_step;
        let block = unary!(self, Safe, sampling.get_batches, request)?;
        Ok(batch::Receiver::default().receive(block, from_step)?.collect())
    }

    /// Selects some of the crops that are proposed for a step, without replacement, by the weights that a sampler's stored
    /// tables give their features: a pure function of the request and the sampler's version.
    ///
    /// # Errors
    /// [`ClientError::Invalid`] when a feature of the sampler is missing, lengths differ, a value is not finite, or more are
    /// to be kept than are proposed; [`ClientError::FailedPrecondition`] when fewer have a positive weight and `fill` is not
    /// set; [`ClientError::NotFound`] without the job, dataset or version; [`ClientError::ResourceExhausted`] beyond 65,536
    /// crops.
    pub async fn select_crops(&self, request: &CropsRequest) -> Result<SelectedCrops, ClientError> {
        let selected = unary!(self, Safe, sampling.select_crops, request.message())?;
        SelectedCrops::of(&selected, request.keep)
    }
}
