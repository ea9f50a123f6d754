//! Why a call fails, whichever part of the daemon refuses it.

use swift_sampler::job::ShardError;
use swift_sampler::{ProposalsError, SelectionError};
use swift_sampler_files::ReadError;

use crate::loaded::LoadError;
use crate::parsing::ParseError;
use crate::registry::RegistryError;
use crate::replicas::{FetchError, SharedFolderError};
use crate::store::StoreError;

/// Why a call fails.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The registry refuses, or cannot answer.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// A user's file is refused.
    #[error(transparent)]
    Files(#[from] ReadError),
    /// Users' files are not parsed.
    #[error(transparent)]
    Parse(#[from] ParseError),
    /// The store refuses.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A sampler that is stored cannot be served.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// A sampler that is put cannot be built.
    #[error(transparent)]
    PutSampler(swift_sampler::SamplerError),
    /// A rank its world does not have.
    #[error(transparent)]
    Shard(#[from] ShardError),
    /// Features of proposals are refused.
    #[error(transparent)]
    Proposals(#[from] ProposalsError),
    /// Proposals cannot be selected from.
    #[error("sampler version {version} of dataset {dataset:?}: {source}")]
    Selection {
        /// The dataset.
        dataset: String,
        /// The version that was to weigh them.
        version: u64,
        /// Why.
        source: SelectionError,
    },
    /// A request is malformed.
    #[error("{0}")]
    Invalid(String),
    /// What is asked for is beyond a limit of this daemon.
    #[error("{0}")]
    Exhausted(String),
    /// A limit of this daemon is reached for now.
    #[error("{0}")]
    Busy(String),
    /// A call is not answered in time.
    #[error("not answered within {} s: {limit}", .after.as_secs_f64())]
    TimedOut {
        /// How long it took.
        after: std::time::Duration,
        /// What says so.
        limit: &'static str,
    },
    /// The job was removed, and maybe another opened under its name, while it was read.
    #[error("job {0:?} was removed while it was read")]
    JobReplaced(String),
    /// A peer does not take what it asked for.
    #[error("{0}")]
    Stalled(String),
    /// The daemon is going down.
    #[error("samplerd is shutting down: continue at the next step with another, or when it is back")]
    ShuttingDown,
    /// The connection that a stream runs on retires.
    #[error("this connection has reached its age: continue at the next step on another")]
    ConnectionRetired,
    /// A dataset is not here, and could not be fetched.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// The shared folder does not take part.
    #[error(transparent)]
    SharedFolder(#[from] SharedFolderError),
    /// A task of the daemon's died.
    #[error("internal: {0}")]
    Task(#[from] tokio::task::JoinError),
}

impl Error {
    /// Tells whether the registry has refused, or what was to be registered cannot be built: what was asked for did not happen, and will not.
    #[must_use]
    pub fn is_refusal(&self) -> bool {
        use RegistryError::{Backend, Contended, Damaged};
        match self {
            Self::Registry(error) => !matches!(error, Backend(_) | Contended { .. } | Damaged { .. }),
            Self::PutSampler(_) => true,
            _ => false,
        }
    }

    /// Returns what the store refuses, if it is the store that does.
    #[must_use]
    pub fn store(&self) -> Option<&StoreError> {
        match self {
            Self::Store(error) | Self::Load(LoadError::Store(error)) => Some(error),
            _ => None,
        }
    }
}

/// Runs blocking work off the async runtime.
///
/// # Errors
/// The work's error, or [`Error::Task`] when it panicked.
pub async fn off_runtime<T, E>(work: impl FnOnce() -> Result<T, E> + Send + 'static) -> Result<T, Error>
where
    T: Send + 'static,
    E: Into<Error> + Send + 'static,
{
    tokio::task::spawn_blocking(work).await?.map_err(Into::into)
}
