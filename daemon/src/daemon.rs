//! What all calls share.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rayon::ThreadPoolBuildError;
use tokio::sync::{Mutex, OwnedMutexGuard, OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

use crate::batches::{Buffers, CommitTime, Drawing};
use crate::budget::{Budget, Reservation};
use crate::connections::Peer;
use crate::error::{Error, off_runtime};
use crate::limits::Limits;
use crate::loaded::Loaded;
use crate::metrics::{DatasetGauges, Metrics};
use crate::parsing::{ParseLimits, Parsing};
use crate::registry::Registry;
use crate::replicas::{FetchError, Replicas};
use crate::store::StoreError;
use crate::turns::Turns;

/// How long a call waits for a dataset that it needs to be fetched.
pub const FETCH_WAIT_MAX: Duration = Duration::from_secs(20);
/// Imports at work at once; others wait.
pub(crate) const IMPORTS_MAX: usize = 2;

/// What all calls share: the registry, what is in memory, counters and limits.
#[derive(Debug)]
pub struct Daemon {
    /// The records and their rules.
    pub registry: Registry,
    /// Datasets and samplers in memory.
    pub loaded: Loaded,
    /// Counters.
    pub metrics: Metrics,
    /// Limits.
    pub limits: Limits,
    /// The other daemons of the registry.
    pub replicas: Replicas,
    /// Cancelled when the daemon goes down.
    pub shutdown: CancellationToken,
    /// Memory of the blocks on their way.
    pub buffers: Buffers,
    /// The threads that draw.
    pub drawing: Drawing,
    /// Where users' files are parsed.
    pub parsing: Parsing,
    /// How long it takes to extend a job.
    pub commit_time: CommitTime,
    /// When it started.
    pub started: Instant,
    /// Whose call is worked on next.
    pub turns: Turns,
    calls: Budget,
    streams: Budget,
    answers: Budget,
    requests: Budget,
    imports: Arc<Semaphore>,
    placing: Arc<Mutex<()>>,
}

impl Daemon {
    /// Brings the parts together.
    ///
    /// # Errors
    /// When the system gives no threads to draw with.
    pub fn new(
        registry: Registry,
        loaded: Loaded,
        metrics: Metrics,
        limits: Limits,
        replicas: Replicas,
        parsing: Parsing,
    ) -> Result<Self, ThreadPoolBuildError> {
        Ok(Self {
            registry,
            loaded,
            metrics,
            limits,
            replicas,
            parsing,
            shutdown: CancellationToken::new(),
            buffers: Buffers::default(),
            drawing: Drawing::new()?,
            commit_time: CommitTime::default(),
            started: Instant::now(),
            turns: Turns::default(),
            calls: Budget::new("calls", limits.calls_max as u64, "--calls-max"),
            streams: Budget::new("streams", limits.streams_max as u64, "--streams-max"),
            answers: Budget::new("bytes of answers", limits.answer_bytes_max, "--answer-bytes-max"),
            requests: Budget::new("bytes of requests", limits.request_bytes_max, "--request-bytes-max"),
            imports: Arc::new(Semaphore::new(IMPORTS_MAX)),
            placing: Arc::default(),
        })
    }

    /// Returns what parsing an upload may take.
    #[must_use]
    pub fn parse_limits(&self) -> ParseLimits {
        ParseLimits {
            rows_max: self.limits.rows_max,
            memory_bytes_max: self.limits.parse_memory_bytes_max,
            time_max: self.limits.parse_timeout,
        }
    }

    /// Admits a call, until what is returned is dropped.
    ///
    /// # Errors
    /// [`Error::Busy`] when as many are open as may be.
    pub fn admit_call(&self, peer: Peer) -> Result<Reservation, Error> {
        self.calls.reserve(peer, 1)
    }

    /// Admits a stream, until what is returned is dropped.
    ///
    /// # Errors
    /// [`Error::Busy`] when as many are open as may be.
    pub fn admit_stream(&self, peer: Peer) -> Result<Reservation, Error> {
        self.streams.reserve(peer, 1)
    }

    /// Reserves memory for an answer, until what is returned is dropped.
    ///
    /// # Errors
    /// [`Error::Busy`] when others have too much of it.
    pub fn reserve_answer(&self, peer: Peer, bytes: u64) -> Result<Reservation, Error> {
        self.answers.reserve(peer, bytes)
    }

    /// Returns the memory for requests that are being received.
    #[must_use]
    pub fn request_budget(&self) -> &Budget {
        &self.requests
    }

    /// Waits until an import may start.
    ///
    /// # Errors
    /// [`Error::ShuttingDown`].
    pub async fn admit_import(&self) -> Result<OwnedSemaphorePermit, Error> {
        tokio::select! {
            permit = Arc::clone(&self.imports).acquire_owned() => permit.map_err(|_closed| Error::ShuttingDown),
            () = self.shutdown.cancelled() => Err(Error::ShuttingDown),
        }
    }

    /// Keeps others from adding or removing stored columns while the registry is told of them.
    pub async fn place(&self) -> OwnedMutexGuard<()> {
        Arc::clone(&self.placing).lock_owned().await
    }

    /// Runs a rule of the registry off the async runtime.
    ///
    /// # Errors
    /// The rule's.
    pub async fn with_registry<T, E>(
        self: &Arc<Self>,
        rule: impl FnOnce(&Self) -> Result<T, E> + Send + 'static,
    ) -> Result<T, Error>
    where
        T: Send + 'static,
        E: Into<Error> + Send + 'static,
    {
        let daemon = Arc::clone(self);
        off_runtime(move || rule(&daemon)).await
    }

    /// As [`Self::with_registry`], for a rule that reads a dataset's columns: if they are not here, or damaged, they are
    /// fetched and the rule is run again.
    ///
    /// # Errors
    /// The rule's, or [`Error::Fetch`] when columns are not here and did not come within `wait_max`.
    pub async fn with_dataset<T, E>(
        self: &Arc<Self>,
        wait_max: Duration,
        rule: impl Fn(&Self) -> Result<T, E> + Send + Sync + 'static,
    ) -> Result<T, Error>
    where
        T: Send + 'static,
        E: Into<Error> + Send + 'static,
    {
        let rule = Arc::new(rule);
        let run = || {
            let rule = Arc::clone(&rule);
            self.with_registry(move |daemon| rule(daemon))
        };
        let error = match run().await {
            Err(error) if self.replicas.has_sources() => error,
            answered => return answered,
        };
        let (hash, is_damaged) = match error.store() {
            Some(StoreError::Absent { hash }) => (hash.clone(), false),
            Some(StoreError::Damaged { hash, .. }) => (hash.clone(), true),
            _ => return Err(error),
        };
        match self.fetch_dataset(&hash, wait_max).await {
            Ok(()) => run().await,
            Err(FetchError::Nowhere { .. }) if is_damaged => Err(error),
            Err(fetch) => Err(fetch.into()),
        }
    }

    /// Opens every dataset, as it was imported and as its features are now, and shows which are whole, as far as that tells.
    /// Blocks.
    ///
    /// # Errors
    /// [`Error::Registry`] when it cannot be read.
    pub fn check_datasets(&self) -> Result<(), Error> {
        for (dataset, active) in self.registry.activations()? {
            let mut is_whole = true;
            let present = dataset.hash_of(active.revision).filter(|hash| *hash != dataset.hash);
            for hash in present.into_iter().chain([dataset.hash.as_str()]) {
                let checked = self.loaded.dataset(hash);
                match &checked {
                    Err(StoreError::Absent { .. }) if self.replicas.has_sources() => {
                        tracing::info!(dataset = dataset.name, hash, "a dataset is not here yet");
                    }
                    Err(error) => tracing::error!(dataset = dataset.name, %error, "a dataset cannot be served"),
                    Ok(_) => {}
                }
                is_whole &= checked.is_ok();
            }
            self.metrics.show_dataset_up(&dataset.name, is_whole);
        }
        Ok(())
    }

    /// Shows that a content is damaged, for all datasets that have it. Blocks.
    ///
    /// # Errors
    /// [`Error::Registry`] when it cannot be read.
    pub fn show_damaged(&self, hash: &str) -> Result<(), Error> {
        let datasets = self.registry.datasets()?;
        for dataset in datasets.iter().filter(|dataset| dataset.hashes().any(|of| of == hash)) {
            self.metrics.show_dataset_up(&dataset.name, false);
        }
        Ok(())
    }

    /// Shows whether the registry itself answers, or a mirror serves.
    pub fn show_registry(&self) {
        self.metrics.registry_up.set(i64::from(self.registry.outage().is_none()));
    }

    /// Brings the gauges of all datasets up to date, without reading their columns. Blocks.
    ///
    /// # Errors
    /// [`Error::Registry`] when it cannot be read.
    pub fn show_datasets(&self) -> Result<(), Error> {
        let datasets = self.registry.active_samplers()?;
        self.metrics.keep_datasets(&datasets.iter().map(|(dataset, ..)| dataset.name.as_str()).collect::<Vec<_>>());
        for (dataset, active, sampler) in datasets {
            let gauges = DatasetGauges {
                active_version: active.version,
                features_revision: active.revision,
                sampler: sampler.figures,
                rows: dataset.rows,
            };
            self.metrics.show_dataset(&dataset.name, gauges);
        }
        Ok(())
    }

    /// As [`Self::show_datasets`], after a commit: what was committed stands, so a failure is logged. Blocks.
    pub fn show_committed(&self) {
        if let Err(error) = self.show_datasets() {
            tracing::warn!(%error, "the gauges of datasets are behind until the registry is asked again");
        }
    }
}
