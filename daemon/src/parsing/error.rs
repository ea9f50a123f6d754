//! Why files are not parsed.

use std::io;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use swift_sampler_files::ReadError;

/// Why files are not parsed.
#[derive(Debug, thiserror::Error)]
pub enum ParseError {
    /// The parser refuses them, and says why.
    #[error("{}", .0.message)]
    Refused(Refusal),
    /// They take too long.
    #[error(
        "parsing the files took over {} s: they are damaged, or large for this samplerd, whose limit is --parse-timeout",
        .0.as_secs()
    )]
    Time(Duration),
    /// They take too much memory.
    #[error(
        "parsing the files took more than {0} bytes of memory: they are damaged, or large for this samplerd, whose limit is \
         --parse-memory-bytes-max"
    )]
    Memory(u64),
    /// Their parser ended by itself.
    #[error("the parser of the files ended with {how}{said}: they are damaged, or made to do harm", said = quoted(.said))]
    Crashed {
        /// With which signal or code.
        how: String,
        /// The end of what it said.
        said: String,
    },
    /// The parser says what no parser says.
    #[error("the parser of the files says what this samplerd does not know: {0}")]
    Answer(String),
    /// There is no parser.
    #[error("the parser of files cannot be started: {0}")]
    Start(io::Error),
}

/// Why the parser refuses files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// What kind of reason it is.
    pub kind: RefusedFor,
    /// What is wrong, and what would be right.
    pub message: String,
}

/// Kinds of reasons.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum RefusedFor {
    /// What is in the files.
    Content,
    /// They have more rows than are taken.
    Rows,
    /// What is read cannot be written.
    Disk,
}

impl Refusal {
    pub(super) fn of(error: &ReadError) -> Self {
        let kind = match error {
            ReadError::TooManyRows { .. } => RefusedFor::Rows,
            _ => RefusedFor::Content,
        };
        Self { kind, message: error.to_string() }
    }
}

fn quoted(said: &str) -> String {
    if said.is_empty() { String::new() } else { format!(" ({said})") }
}
