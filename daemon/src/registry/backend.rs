//! What a registry backend has to do, and no more: the rules stand above it and are written once.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

/// How long an announced daemon counts as present.
pub const PRESENCE_TTL: Duration = Duration::from_secs(15);

/// A stored record and the revision it carries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// The generation of the commit that wrote the record; no two states of a key share one.
    pub revision: u64,
    /// JSON text.
    pub value: String,
}

/// What a write requires of its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expected {
    /// No record.
    Absent,
    /// A record of this revision.
    Revision(u64),
}

/// What a write does to its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Stores JSON text.
    Put(String),
    /// Deletes the record.
    Delete,
    /// Leaves it alone; only the expectation counts.
    Keep,
}

/// One part of a commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Write {
    /// The key.
    pub key: String,
    /// What must be so for the commit to happen.
    pub expected: Expected,
    /// What happens.
    pub change: Change,
}

/// How a commit ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Commit {
    /// All of it happened; this is the new generation.
    Done(u64),
    /// None of it happened: this key was not as expected.
    Conflict(String),
}

/// Why a backend could not answer.
#[derive(Debug, thiserror::Error)]
pub enum BackendError {
    /// The backend cannot be reached or refuses; trying again later may help.
    #[error("the registry cannot be used: {0}")]
    Unavailable(String),
    /// The stored registry is of another version, or damaged.
    #[error("the registry cannot be opened: {0}")]
    Unusable(String),
}

/// A store of JSON records under string keys, with a compare-and-set over several keys.
///
/// Calls block; asynchronous callers move them off the runtime. A commit that returned [`Commit::Done`] survives a crash
/// of the process and of the machine. Every implementation passes [`super::conformance`].
pub trait Backend: Send + Sync + 'static {
    /// Returns the record of `key`.
    ///
    /// # Errors
    /// [`BackendError`] when the backend cannot answer.
    fn get(&self, key: &str) -> Result<Option<Stored>, BackendError>;

    /// Returns all records whose key starts with `prefix`, as of one moment, ascending in key.
    ///
    /// # Errors
    /// [`BackendError`] when the backend cannot answer.
    fn list(&self, prefix: &str) -> Result<Vec<(String, Stored)>, BackendError>;

    /// Returns how many records have a key that starts with `prefix`.
    ///
    /// # Errors
    /// [`BackendError`] when the backend cannot answer.
    fn count(&self, prefix: &str) -> Result<usize, BackendError> {
        Ok(self.list(prefix)?.len())
    }

    /// Applies all writes, or none.
    ///
    /// # Errors
    /// [`BackendError`] when the backend cannot answer; the commit may then have happened or not.
    fn commit(&self, writes: &[Write]) -> Result<Commit, BackendError>;

    /// As [`Self::commit`], for writes that may not wait for a registry that is down: a backend with a mirror holds what is
    /// put there, serves it, and commits it once the registry is back, where another daemon's may have come first.
    ///
    /// # Errors
    /// As [`Self::commit`].
    fn commit_or_hold(&self, writes: &[Write]) -> Result<Commit, BackendError> {
        self.commit(writes)
    }

    /// Returns the generation of the last commit. It never decreases, and grows with every commit that changes a record.
    ///
    /// # Errors
    /// [`BackendError`] when the backend cannot answer.
    fn generation(&self) -> Result<u64, BackendError>;

    /// Makes it known, for [`PRESENCE_TTL`], that a daemon serves this registry and where others reach it. No record, and
    /// no generation, changes; a store that one daemon has for itself keeps nothing.
    ///
    /// # Errors
    /// [`BackendError`] when the backend cannot answer.
    fn announce(&self, _daemon: &str, _address: &str) -> Result<(), BackendError> {
        Ok(())
    }

    /// Returns the daemons that were announced within [`PRESENCE_TTL`], each with its address, ascending.
    ///
    /// # Errors
    /// [`BackendError`] when the backend cannot answer.
    fn daemons(&self) -> Result<Vec<(String, String)>, BackendError> {
        Ok(Vec::new())
    }

    /// Returns why records are served from a mirror; none while the registry itself is asked.
    fn outage(&self) -> Option<String> {
        None
    }

    /// Asks for generations as they become known without a call, such as those that other daemons made.
    fn tell(&self, _watchers: &Arc<watch::Sender<u64>>) {}
}
