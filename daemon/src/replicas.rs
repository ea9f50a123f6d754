//! Several daemons as one: each holds every dataset that its registry names.
//!
//! A dataset that is not in this daemon's store is fetched from the shared folder or from another daemon, checked by its
//! hash and only then moved in place: in advance by `follow`, or when a call needs it. One that was removed anywhere is
//! removed here, a while later.

mod fetching;
mod follow;
mod peer;
mod presence;
mod receiving;
mod shared_folder;
#[cfg(test)]
mod test_daemon;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use fetching::Flights;
use presence::Presence;
use shared_folder::SharedFolder;

pub(crate) use follow::follow;
pub use peer::PeerAccess;
pub(crate) use presence::announce;
pub(crate) use receiving::CHUNK_BYTES_MAX;
pub use shared_folder::SharedFolderError;

/// Datasets sent to other daemons at once.
pub(crate) const SENDS_MAX: usize = 4;

/// How a daemon works together with others.
#[derive(Debug, Clone)]
pub struct ReplicaSettings {
    /// A folder that all daemons of the registry mount.
    pub shared_dir: Option<PathBuf>,
    /// How long a dataset is kept after it was removed through another daemon.
    pub removal_grace: Duration,
    /// How it knows others, and what it shows them.
    pub peers: PeerAccess,
}

/// Why a dataset could not be fetched.
#[derive(Debug, Clone, thiserror::Error)]
pub enum FetchError {
    /// It takes longer than the call may wait.
    #[error("dataset {hash} is not here yet: it is still being fetched after {waited_s} s; try again")]
    Slow {
        /// Its hash.
        hash: String,
        /// How long the call waited, in seconds.
        waited_s: u64,
    },
    /// No source has it, or can give it.
    #[error("dataset {hash} is not here yet, and cannot be fetched: {reasons}")]
    Nowhere {
        /// Its hash.
        hash: String,
        /// What each source said.
        reasons: String,
    },
    /// It cannot be written to this daemon's disk.
    #[error("dataset {hash} is not here yet, and cannot be stored: {reason}")]
    Unkept {
        /// Its hash.
        hash: String,
        /// Why.
        reason: String,
    },
}

/// What this daemon needs to work together with others.
#[derive(Debug)]
pub struct Replicas {
    registry_is_shared: bool,
    shared_folder: Option<SharedFolder>,
    removal_grace: Duration,
    peer_access: PeerAccess,
    presence: Presence,
    flights: Flights,
    sends: Arc<Semaphore>,
}

impl Replicas {
    /// Takes the settings, and whether other daemons may use the same registry. No I/O yet.
    #[must_use]
    pub fn new(settings: &ReplicaSettings, registry_is_shared: bool) -> Self {
        Self {
            registry_is_shared,
            shared_folder: settings.shared_dir.as_deref().map(SharedFolder::new),
            removal_grace: settings.removal_grace,
            peer_access: settings.peers.clone(),
            presence: Presence::new(),
            flights: Flights::default(),
            sends: Arc::new(Semaphore::new(SENDS_MAX)),
        }
    }

    /// Tells whether there may be another source of a dataset than an import.
    #[must_use]
    pub fn has_sources(&self) -> bool {
        self.registry_is_shared || self.shared_folder.is_some()
    }

    /// Copies a dataset's files from a directory to the shared folder, if there is one.
    ///
    /// # Errors
    /// [`SharedFolderError`].
    pub async fn share(&self, hash: &str, from: &Path) -> Result<(), SharedFolderError> {
        match &self.shared_folder {
            Some(folder) => folder.put(hash, from).await,
            None => Ok(()),
        }
    }

    /// Deletes a dataset from the shared folder, if there is one.
    ///
    /// # Errors
    /// [`SharedFolderError`].
    pub async fn unshare(&self, hash: &str) -> Result<(), SharedFolderError> {
        match &self.shared_folder {
            Some(folder) => folder.remove(hash).await,
            None => Ok(()),
        }
    }

    /// Admits the sending of a dataset, unless as many are being sent as may be.
    #[must_use]
    pub fn admit_send(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.sends).try_acquire_owned().ok()
    }
}
