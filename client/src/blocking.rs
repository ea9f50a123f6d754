//! The client for programs without an async runtime.

use std::sync::Arc;
use std::time::Duration;

use swift_sampler_proto::v1;
use swift_sampler_proto::v1::tell_trial_request::Outcome;
use tokio::runtime::Runtime;

use crate::{
    Batch, BatchesRequest, ClientConfig, ClientError, CropsRequest, ImportProgress, ImportRequest, JobConfig,
    RefreshRequest, SelectedCrops, TrialRequest,
};

/// A client whose calls wait. Cheap to clone; clones share connections and one background thread.
///
/// Must not be used on a thread that runs async tasks.
#[derive(Debug, Clone)]
pub struct Client {
    client: crate::Client,
    background: Arc<Background>,
}

/// The thread that drives connections.
#[derive(Debug)]
struct Background(Option<Runtime>);

impl Background {
    fn start() -> Result<Self, ClientError> {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        let runtime = builder.worker_threads(1).thread_name("swift-sampler").enable_all().build();
        Ok(Self(Some(runtime.map_err(ClientError::Threads)?)))
    }

    fn runtime(&self) -> &Runtime {
        self.0.as_ref().expect("it is taken only when dropped")
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

/// Declares calls of the async client that wait.
macro_rules! waiting {
    ($($(#[$doc:meta])* fn $name:ident($($argument:ident: $type:ty),*) -> $answer:ty;)*) => {$(
        $(#[$doc])*
        pub fn $name(&self, $($argument: $type),*) -> Result<$answer, ClientError> {
            self.background.runtime().block_on(self.client.$name($($argument),*))
        }
    )*};
}

/// See [`crate::Client`] for the failures of each call.
#[allow(clippy::missing_errors_doc, reason = "as the async client's method of the same name")]
impl Client {
    /// Takes where the daemon is; connects when first used.
    pub fn new(config: impl Into<ClientConfig>) -> Result<Self, ClientError> {
        let client = crate::Client::new(config)?;
        Ok(Self { client, background: Arc::new(Background::start()?) })
    }

    /// As [`Self::new`], from an address.
    pub fn connect(address: &str) -> Result<Self, ClientError> {
        Self::new(address)
    }

    /// Returns the async client that this one waits for; it works on this client's runtime only.
    #[must_use]
    pub fn inner(&self) -> &crate::Client {
        &self.client
    }

    /// Returns the runtime that drives the connections, for calls that are to be waited for in other ways.
    #[must_use]
    pub fn runtime(&self) -> &Runtime {
        self.background.runtime()
    }

    /// Streams the batches of one rank.
    #[must_use]
    pub fn batches(&self, request: BatchesRequest) -> BatchStream {
        BatchStream { stream: self.client.batches(request), background: Arc::clone(&self.background) }
    }

    /// Imports files as a dataset, telling `progress` after every chunk.
    pub fn import_dataset(
        &self,
        request: &ImportRequest,
        progress: impl Fn(ImportProgress) + Send + Sync + 'static,
    ) -> Result<v1::Dataset, ClientError> {
        self.background.runtime().block_on(self.client.import_dataset(request, progress))
    }

    /// Leases a trial and keeps the lease in the background, whatever this thread does.
    pub fn lease(&self, request: &TrialRequest) -> Result<Leased, ClientError> {
        self.background.runtime().block_on(self.client.lease(request)).map(|leased| self.waited_for(leased))
    }

    /// Makes the answer to an async call, made on this client's runtime, one whose calls wait.
    #[must_use]
    pub fn waited_for(&self, leased: crate::Leased) -> Leased {
        match leased {
            crate::Leased::Trial(lease) => {
                Leased::Trial(TrialLease { lease, background: Arc::clone(&self.background) })
            }
            crate::Leased::NoneNow => Leased::NoneNow,
            crate::Leased::StudyEnded => Leased::StudyEnded,
        }
    }

    /// Writes a dataset's columns to a safetensors file.
    pub fn fetch_columns(&self, hash: &str, path: &std::path::Path) -> Result<(), ClientError> {
        self.background.runtime().block_on(self.client.fetch_columns(hash, path))
    }

    waiting! {
        /// Opens a job, creating it if it is new.
        fn open_job(config: &JobConfig) -> v1::Job;
        /// Returns a few consecutive batches in one answer.
        fn get_batches(request: v1::GetBatchesRequest) -> Vec<Batch>;
        /// Selects some of the crops that are proposed for a step.
        fn select_crops(request: &CropsRequest) -> SelectedCrops;
        /// Replaces values of a dataset's features under running jobs.
        fn refresh_features(request: &RefreshRequest) -> v1::RefreshedFeatures;
        /// Lists the datasets.
        fn list_datasets() -> Vec<v1::Dataset>;
        /// Returns a dataset.
        fn get_dataset(name: &str) -> v1::Dataset;
        /// Removes a dataset and its samplers; refused while a job reads it.
        fn remove_dataset(name: &str) -> ();
        /// Stores a sampler and returns it with its version.
        fn put_sampler(dataset: &str, spec_json: &str, origin: Option<v1::Origin>) -> v1::Sampler;
        /// Lists a dataset's sampler versions, ascending; studies' candidates only on request.
        fn list_samplers(dataset: &str, candidates: bool) -> Vec<v1::Sampler>;
        /// Returns a sampler version.
        fn get_sampler(dataset: &str, version: u64) -> v1::Sampler;
        /// Makes a version the active one; jobs take it up at their horizon.
        fn activate_sampler(dataset: &str, version: u64) -> v1::ActiveSampler;
        /// Activates the version that was active before.
        fn rollback_sampler(dataset: &str) -> v1::ActiveSampler;
        /// Lists the jobs.
        fn list_jobs() -> Vec<v1::Job>;
        /// Returns a job.
        fn get_job(name: &str) -> v1::Job;
        /// Removes a job.
        fn remove_job(name: &str) -> ();
        /// Returns the daemon's counters.
        fn get_stats() -> v1::Stats;
        /// Creates a study, or returns the one there is if its config is equal.
        fn create_study(request: v1::CreateStudyRequest) -> v1::Study;
        /// Returns a study.
        fn get_study(name: &str) -> v1::Study;
        /// Lists the studies.
        fn list_studies() -> Vec<v1::Study>;
        /// Ends a study with the policy's result.
        fn end_study(name: &str, result_json: &str) -> v1::Study;
        /// Removes a study and its trials; refused while a trial is running.
        fn remove_study(name: &str) -> ();
        /// Adds a trial.
        fn add_trial(request: v1::AddTrialRequest) -> v1::Trial;
        /// Leases a trial to a worker.
        fn lease_trial(request: v1::LeaseTrialRequest) -> v1::LeaseTrialResponse;
        /// Extends a lease and records progress; returns whether the worker is to stop.
        fn heartbeat_trial(request: v1::HeartbeatTrialRequest) -> bool;
        /// Tells how an attempt ended.
        fn tell_trial(request: v1::TellTrialRequest) -> v1::Trial;
        /// Lists a study's trials in order of number.
        fn list_trials(study: &str) -> Vec<v1::Trial>;
    }
}

/// The answer to a worker that asks for a trial.
#[derive(Debug)]
pub enum Leased {
    /// A trial, which is the worker's until it tells how it ended.
    Trial(TrialLease),
    /// None is to be had now: ask again.
    NoneNow,
    /// None will come any more.
    StudyEnded,
}

/// A leased trial; see [`crate::TrialLease`].
#[derive(Debug)]
pub struct TrialLease {
    lease: Box<crate::TrialLease>,
    background: Arc<Background>,
}

/// See [`crate::TrialLease`] for the failures of each call.
#[allow(clippy::missing_errors_doc, reason = "as the async lease's method of the same name")]
impl TrialLease {
    /// Returns the trial as it was leased.
    #[must_use]
    pub fn trial(&self) -> &v1::Trial {
        self.lease.trial()
    }

    /// Tells whether to give up: another worker has the trial, or the study has ended.
    #[must_use]
    pub fn is_lost(&self) -> bool {
        self.lease.is_lost()
    }

    /// Notes that the trial does not hang.
    pub fn note_progress(&self) {
        self.lease.note_progress();
    }

    /// Records progress and tells whether to go on.
    pub fn report(&self, report_json: &str) -> Result<bool, ClientError> {
        self.background.runtime().block_on(self.lease.report(report_json))
    }

    /// Tells how the attempt ended; an empty report leaves the last.
    pub fn tell(&self, outcome: Outcome, report_json: &str) -> Result<v1::Trial, ClientError> {
        self.background.runtime().block_on(self.lease.tell(outcome, report_json))
    }

    /// Returns the async lease that this one waits for; it works on this client's runtime only.
    #[must_use]
    pub fn inner(&self) -> &crate::TrialLease {
        &self.lease
    }

    /// Returns the runtime that keeps the lease, for calls that are to be waited for in other ways.
    #[must_use]
    pub fn runtime(&self) -> &Runtime {
        self.background.runtime()
    }
}

/// The batches of one rank; see [`crate::BatchStream`]. Ends after the last step or an error.
#[derive(Debug)]
pub struct BatchStream {
    stream: crate::BatchStream,
    background: Arc<Background>,
}

/// What a limited wait for a batch came to.
#[derive(Debug, Clone, PartialEq)]
pub enum Waited {
    /// A batch.
    Batch(Batch),
    /// The stream has ended.
    Ended,
    /// Nothing yet; waiting again loses nothing.
    NotYet,
}

impl BatchStream {
    /// Returns the step to be delivered next.
    #[must_use]
    pub fn next_step(&self) -> u64 {
        self.stream.next_step()
    }

    /// Returns the next batch if it was received already, without waiting.
    #[must_use]
    pub fn next_received(&mut self) -> Option<Batch> {
        self.stream.next_received()
    }

    /// Waits for the next batch, but no longer than `wait_max`.
    ///
    /// # Errors
    /// As [`crate::BatchStream::next`].
    pub fn next_within(&mut self, wait_max: Duration) -> Result<Waited, ClientError> {
        let Self { stream, background } = self;
        if let Some(batch) = stream.next_received() {
            return Ok(Waited::Batch(batch));
        }
        let next = async { tokio::time::timeout(wait_max, stream.next()).await };
        match background.runtime().block_on(next) {
            Ok(batch) => Ok(batch?.map_or(Waited::Ended, Waited::Batch)),
            Err(_elapsed) => Ok(Waited::NotYet),
        }
    }
}

impl Iterator for BatchStream {
    type Item = Result<Batch, ClientError>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(batch) = self.stream.next_received() {
            return Some(Ok(batch));
        }
        self.background.runtime().block_on(self.stream.next()).transpose()
    }
}
