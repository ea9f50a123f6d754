//! What can go wrong, by cause.

use std::path::PathBuf;
use std::time::Duration;

use tonic::{Code, Status};

/// What can go wrong, by cause.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// An address that cannot be one of a daemon.
    #[error(
        "daemon address {address:?}: {reason}; right would be HOST:PORT, such as 127.0.0.1:7431, https://HOST:PORT, or unix:PATH"
    )]
    Address {
        /// The address.
        address: String,
        /// What is wrong with it.
        reason: String,
    },
    /// TLS, or a token, cannot be used as it is configured.
    #[error("{0}")]
    Access(String),
    /// The daemon wants a token, or another one.
    #[error("{0}")]
    Unauthenticated(String),
    /// The token may not do this.
    #[error("{0}")]
    PermissionDenied(String),
    /// The daemon could not be reached, or said it cannot serve now, until the retries ran out.
    #[error("samplerd at {address} cannot be used, tried for {:.1} s: {reason}", waited.as_secs_f64())]
    Unavailable {
        /// The daemon's address; several, when replicas were tried.
        address: String,
        /// How long it was tried.
        waited: Duration,
        /// The last failure.
        reason: String,
    },
    /// A dataset, sampler version, job, study or trial does not exist.
    #[error("{0}")]
    NotFound(String),
    /// The daemon refuses a value or the content of a file.
    #[error("{0}")]
    Invalid(String),
    /// The name is taken by something different.
    #[error("{0}")]
    AlreadyExists(String),
    /// The state of what is named does not allow the call.
    #[error("{0}")]
    FailedPrecondition(String),
    /// Another client was faster; look again and decide anew.
    #[error("{0}")]
    Aborted(String),
    /// A limit of the daemon is reached.
    #[error("{0}")]
    ResourceExhausted(String),
    /// Any other answer of the daemon.
    #[error("samplerd failed ({code:?}): {message}")]
    Daemon {
        /// Its gRPC code.
        code: Code,
        /// Its message.
        message: String,
    },
    /// A stream of batches lost or repeated a step.
    #[error("step {received} came where step {expected} was due")]
    OutOfOrder {
        /// The step that was due.
        expected: u64,
        /// The step that came.
        received: u64,
    },
    /// An answer that the protocol does not allow.
    #[error("samplerd broke the protocol: {0}")]
    Protocol(String),
    /// A file of an import cannot be read.
    #[error("{}: {reason}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: std::io::Error,
    },
    /// The threads of a blocking client could not be started.
    #[error("the client's threads cannot be started: {0}")]
    Threads(std::io::Error),
}

impl ClientError {
    /// Returns the exit code of a command that fails for this reason: 1 failed, 3 configuration, 4 unavailable,
    /// 5 bad data.
    #[must_use]
    pub fn exit_code(&self) -> i32 {
        match self {
            Self::Address { .. } | Self::Access(_) | Self::Unauthenticated(_) => 3,
            Self::Unavailable { .. } => 4,
            Self::Invalid(_) | Self::File { .. } => 5,
            _ => 1,
        }
    }

    /// Maps an answer of the daemon that trying again does not change.
    pub(crate) fn from_status(status: &Status) -> Self {
        let message = status.message().to_owned();
        match status.code() {
            Code::NotFound => Self::NotFound(message),
            Code::InvalidArgument => Self::Invalid(message),
            Code::AlreadyExists => Self::AlreadyExists(message),
            Code::FailedPrecondition => Self::FailedPrecondition(message),
            Code::Unauthenticated => Self::Unauthenticated(message),
            Code::PermissionDenied => Self::PermissionDenied(message),
            Code::Aborted => Self::Aborted(message),
            Code::ResourceExhausted => Self::ResourceExhausted(message),
            code => Self::Daemon { code, message },
        }
    }
}
