//! What the daemon and a parsing process say to each other: lines of JSON, on the process's standard input and output.

use std::io::{self, BufRead, Read, Write};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::{Description, Imputed, Refusal, Upload};

/// Longest line, in bytes: the names of all columns there may be, every character of them escaped.
const LINE_BYTES_MAX: u64 = 64 << 20;

/// The first line to the process. The second says where values go.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Request {
    pub(super) upload: Upload,
    pub(super) rows_max: usize,
    pub(super) memory_bytes_max: u64,
    /// Processor time of all threads together.
    pub(super) cpu_seconds_max: u64,
    /// The process that the parser is to end with.
    pub(super) parent: u32,
}

/// Lines from the process.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Told {
    /// What the files consist of.
    Described(Description),
    /// How many values were read so far.
    Read(u64),
    /// All values are at their places, these among them.
    Done(Vec<Imputed>),
    /// The files are refused; nothing follows.
    Refused(Refusal),
}

/// Writes a line.
pub(super) fn send(to: &mut impl Write, message: &impl Serialize) -> io::Result<()> {
    let mut line = serde_json::to_vec(message)?;
    line.push(b'\n');
    to.write_all(&line)?;
    to.flush()
}

/// Reads a line; `None` at the end.
pub(super) fn receive<T: DeserializeOwned>(from: &mut impl BufRead) -> io::Result<Option<T>> {
    let mut line = Vec::new();
    from.take(LINE_BYTES_MAX).read_until(b'\n', &mut line)?;
    if line.is_empty() { Ok(None) } else { Ok(Some(serde_json::from_slice(&line)?)) }
}
