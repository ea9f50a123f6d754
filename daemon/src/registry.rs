//! Datasets, samplers, jobs and studies as records, and the rules they obey.
//!
//! A [`Backend`] stores records and compares-and-sets; everything else stands here, once: `datasets`, `samplers`, `jobs`
//! and `studies` read what a rule needs, decide, and commit against the revisions they read, again and again until no
//! other writer came between. Calls block; asynchronous callers move them off the runtime.

mod askers;
mod backend;
pub mod conformance;
mod datasets;
mod error;
mod jobs;
mod limits;
mod mirror;
mod owner;
mod records;
mod redis;
mod revisions;
mod samplers;
mod sqlite;
mod studies;
mod trials;

use std::fmt;
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::watch;

use crate::clock::Clock;

pub use backend::{Backend, BackendError, Change, Commit, Expected, PRESENCE_TTL, Stored, Write};
pub use datasets::NewDataset;
pub(crate) use error::NAME_LENGTH_MAX;
pub use error::RegistryError;
pub use jobs::{Frozen, JobParameters, LEASE_STEPS, LEASE_STEPS_MAX, STEPS_BEYOND_HORIZON_MAX};
pub use limits::RecordLimits;
pub use mirror::Mirrored;
pub use owner::Owner;
pub use records::{
    ActiveRecord, DatasetRecord, FIRST_REVISION, JobRecord, OriginRecord, RevisionRecord, SamplerFigures,
    SamplerRecord, StudyRecord, StudyState, TrialRecord, TrialState,
};
pub use redis::{RedisUrl, RedisUrlError};
pub use revisions::NewRevision;
pub use sqlite::Sqlite;
pub use studies::NewStudy;
pub(crate) use studies::{ATTEMPTS_MAX, JSON_BYTES_MAX};
pub use trials::{LEASE_DEFAULT_MS, LEASE_RANGE_MS, LEASE_WAIT_MAX_MS, Lease, NewTrial, Outcome, Report};
pub(crate) use trials::{TRIALS_MAX, WORKER_NAME_MAX};

/// How often a rule is tried against other writers before the caller is told to come again.
const COMMIT_ATTEMPTS_MAX: u32 = 100;

/// The rules over a backend.
#[derive(Clone)]
pub struct Registry {
    backend: Arc<dyn Backend>,
    clock: Arc<dyn Clock>,
    generation: Arc<watch::Sender<u64>>,
    limits: RecordLimits,
}

impl fmt::Debug for Registry {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Registry").field("generation", &*self.generation.borrow()).finish_non_exhaustive()
    }
}

/// A record and the revision it was read at; [`Expected::Absent`] stands for none.
#[derive(Debug, Clone)]
struct Read<T> {
    key: String,
    expected: Expected,
    record: Option<T>,
}

impl<T: Serialize> Read<T> {
    /// Writes `record` if the key is still as it was read.
    fn put(&self, record: &T) -> Write {
        let value = serde_json::to_string(record).expect("records are plain data, whose serialisation cannot fail");
        Write { key: self.key.clone(), expected: self.expected, change: Change::Put(value) }
    }

    /// Requires the key to be still as it was read.
    fn keep(&self) -> Write {
        Write { key: self.key.clone(), expected: self.expected, change: Change::Keep }
    }

    /// Deletes the record if it is still as it was read.
    fn delete(&self) -> Write {
        Write { key: self.key.clone(), expected: self.expected, change: Change::Delete }
    }
}

/// What one run of a rule came to.
enum Decision<T> {
    /// Nothing to write.
    Answer(T),
    /// The answer, once these writes are committed.
    Commit(Vec<Write>, T),
    /// As [`Self::Commit`], for what goes on while the registry is down.
    CommitOrHold(Vec<Write>, T),
}

impl Registry {
    /// Puts the rules over a backend.
    #[must_use]
    pub fn new(backend: Arc<dyn Backend>, clock: Arc<dyn Clock>) -> Self {
        let generation = Arc::new(watch::Sender::new(0));
        backend.tell(&generation);
        Self { backend, clock, generation, limits: RecordLimits::default() }
    }

    /// Keeps at most as many records as `limits` says.
    #[must_use]
    pub fn limited(self, limits: RecordLimits) -> Self {
        Self { limits, ..self }
    }

    /// Returns a receiver that is notified when a record may have changed.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<u64> {
        self.generation.subscribe()
    }

    /// Asks the backend for its generation, and notifies watchers if another process moved it.
    ///
    /// # Errors
    /// [`RegistryError::Backend`] when it cannot answer.
    pub fn poll(&self) -> Result<u64, RegistryError> {
        let generation = self.backend.generation()?;
        self.advance(generation);
        Ok(generation)
    }

    /// Returns why records are served from a mirror; none while the registry itself is asked.
    #[must_use]
    pub fn outage(&self) -> Option<String> {
        self.backend.outage()
    }

    /// Makes it known, for [`PRESENCE_TTL`], where this daemon is reached by others of the same registry.
    ///
    /// # Errors
    /// [`RegistryError::Backend`].
    pub fn announce(&self, daemon: &str, address: &str) -> Result<(), RegistryError> {
        Ok(self.backend.announce(daemon, address)?)
    }

    /// Returns the daemons of the same registry that announced themselves lately, each with its address.
    ///
    /// # Errors
    /// [`RegistryError::Backend`].
    pub fn daemons(&self) -> Result<Vec<(String, String)>, RegistryError> {
        Ok(self.backend.daemons()?)
    }

    fn advance(&self, to: u64) {
        self.generation.send_if_modified(|generation| {
            let grows = to > *generation;
            *generation = to.max(*generation);
            grows
        });
    }

    /// Returns milliseconds since 1970.
    fn now_ms(&self) -> u64 {
        self.clock.now_ms()
    }

    fn read<T: DeserializeOwned>(&self, key: String) -> Result<Read<T>, RegistryError> {
        let stored = self.backend.get(&key)?;
        parse(key, stored)
    }

    fn list<T: DeserializeOwned>(&self, prefix: &str) -> Result<Vec<Read<T>>, RegistryError> {
        self.backend.list(prefix)?.into_iter().map(|(key, stored)| parse(key, Some(stored))).collect()
    }

    fn records<T: DeserializeOwned>(&self, prefix: &str) -> Result<Vec<T>, RegistryError> {
        Ok(self.list(prefix)?.into_iter().filter_map(|read| read.record).collect())
    }

    /// Runs a rule until its writes are committed against what it read.
    fn decide<T>(&self, mut rule: impl FnMut() -> Result<Decision<T>, RegistryError>) -> Result<T, RegistryError> {
        for _ in 0..COMMIT_ATTEMPTS_MAX {
            let (commit, answer) = match rule()? {
                Decision::Answer(answer) => return Ok(answer),
                Decision::Commit(writes, answer) => (self.backend.commit(&writes)?, answer),
                Decision::CommitOrHold(writes, answer) => (self.backend.commit_or_hold(&writes)?, answer),
            };
            match commit {
                Commit::Done(generation) => {
                    self.advance(generation);
                    return Ok(answer);
                }
                Commit::Conflict(key) => tracing::debug!(key, "another writer came first, deciding again"),
            }
        }
        Err(RegistryError::Contended { attempts: COMMIT_ATTEMPTS_MAX })
    }
}

fn parse<T: DeserializeOwned>(key: String, stored: Option<Stored>) -> Result<Read<T>, RegistryError> {
    let Some(stored) = stored else { return Ok(Read { key, expected: Expected::Absent, record: None }) };
    match serde_json::from_str(&stored.value) {
        Ok(record) => Ok(Read { key, expected: Expected::Revision(stored.revision), record: Some(record) }),
        Err(source) => Err(RegistryError::Damaged { key, source }),
    }
}

fn dataset_key(name: &str) -> String {
    format!("dataset/{name}")
}

/// Prefix of the records of what is active.
const ACTIVE_PREFIX: &str = "active/";

fn active_key(dataset: &str) -> String {
    format!("{ACTIVE_PREFIX}{dataset}")
}

fn sampler_key(dataset: &str, version: u64) -> String {
    format!("{}{version:020}", samplers_prefix(dataset))
}

fn samplers_prefix(dataset: &str) -> String {
    format!("sampler/{dataset}/")
}

/// Prefix of the records of removed contents.
const REMOVED_PREFIX: &str = "removed/";

fn removed_key(hash: &str) -> String {
    format!("{REMOVED_PREFIX}{hash}")
}

fn job_key(name: &str) -> String {
    format!("job/{name}")
}

fn study_key(name: &str) -> String {
    format!("study/{name}")
}

fn askers_key(study: &str) -> String {
    format!("askers/{study}")
}

fn trial_key(study: &str, number: u64) -> String {
    format!("{}{number:020}", trials_prefix(study))
}

fn trials_prefix(study: &str) -> String {
    format!("trial/{study}/")
}
