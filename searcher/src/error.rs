//! Why a command of `searcher` failed, and its exit code.

use std::path::PathBuf;

use swift_sampler_client::ClientError;

use crate::devices::DeviceError;
use crate::policy::PolicyError;
use crate::target::TargetError;

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub enum SearcherError {
    /// Someone pressed Ctrl-C or asked the process to end.
    #[error("interrupted: what was finished is kept, run the same command again to go on")]
    Interrupted,
    /// A setting is wrong.
    #[error("{0}")]
    Config(String),
    /// The binary was built without libtorch.
    #[error(
        "target {target:?} needs libtorch and this searcher was built without it: run `make setup-torch`, then \
         `source scripts/env` and `cargo build --release -p swift-sampler-searcher --features torch` (or try \
         `--target simulated`)"
    )]
    WithoutTorch {
        /// The target asked for.
        target: String,
    },
    /// Data is missing or wrong.
    #[error("{0}")]
    Data(String),
    /// The daemon refused or cannot be reached.
    #[error(transparent)]
    Daemon(#[from] ClientError),
    /// The policy cannot go on.
    #[error("{0}")]
    Policy(#[from] PolicyError),
    /// Trials cannot be placed on the devices.
    #[error("{0}")]
    Devices(#[from] DeviceError),
    /// A target failed.
    #[error("target: {0}")]
    Target(#[source] TargetError),
    /// A file of the work folder.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What went wrong.
        source: std::io::Error,
    },
    /// Another searcher uses the work folder.
    #[error("{}: another searcher works in this folder; wait for it or give another --work-dir", path.display())]
    Locked {
        /// The folder.
        path: PathBuf,
    },
    /// Workers crash again and again.
    #[error("a worker ended {crashes} times in a row, last because {reason}; its log ends: {tail}")]
    WorkersCrash {
        /// Crashes in a row.
        crashes: u32,
        /// Why the last one ended.
        reason: String,
        /// Last lines of its log.
        tail: String,
    },
    /// A stored record is not this program's.
    #[error("study {study:?}: {reason}")]
    Record {
        /// The study.
        study: String,
        /// What is wrong.
        reason: String,
    },
    /// Something else.
    #[error("{0}")]
    Failed(String),
}

impl From<TargetError> for SearcherError {
    fn from(error: TargetError) -> Self {
        match error {
            TargetError::Interrupted => Self::Interrupted,
            error => Self::Target(error),
        }
    }
}

impl SearcherError {
    /// Returns the exit code: 1 failed, 3 configuration, 4 unavailable, 5 bad data.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Config(_) | Self::Devices(_) | Self::WithoutTorch { .. } | Self::Locked { .. } => 3,
            Self::Daemon(error) => u8::try_from(error.exit_code()).unwrap_or(1),
            Self::Data(_) | Self::Target(TargetError::Data(_) | TargetError::TooFewClasses { .. }) => 5,
            Self::Target(
                TargetError::Module { .. }
                | TargetError::OtherFile { .. }
                | TargetError::OtherData { .. }
                | TargetError::Weights { .. },
            ) => 5,
            Self::Target(TargetError::UnknownTarget { .. } | TargetError::InvalidRun { .. }) => 3,
            _ => 1,
        }
    }

    /// Returns what turns an I/O error into one that names its file: `.map_err(SearcherError::file(path))`.
    pub fn file(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { path, source }
    }
}
