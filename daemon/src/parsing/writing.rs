//! Values go from users' files to the file of columns.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use swift_sampler_files::{ColumnSink, FeatureFiles, ReadIntoError, SourceFile};

use super::{ParseError, Refusal, RefusedFor};
use crate::error::Error;
use crate::store::{StoreError, io_error};

/// Where values go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    /// The file of columns.
    pub path: PathBuf,
    /// For each column, the position of its first row's value in the file, in bytes; values follow as little-endian f64.
    pub starts: Vec<u64>,
}

/// Reads all values to their places, telling `done` how many, which may end it.
pub(super) fn write_columns(
    files: &FeatureFiles,
    sources: &[SourceFile],
    target: &Target,
    done: impl Fn(usize) -> Result<(), StoreError> + Sync,
) -> Result<(), Error> {
    let file = File::options().write(true).open(&target.path).map_err(io_error(&target.path))?;
    files.read_into(&Columns { file, target, sources, done }).map_err(|error| match error {
        ReadIntoError::File(error) => ParseError::Refused(Refusal::of(&error)).into(),
        ReadIntoError::Sink(error) => Error::from(error),
    })
}

struct Columns<'a, D> {
    file: File,
    target: &'a Target,
    sources: &'a [SourceFile],
    done: D,
}

impl<D: Fn(usize) -> Result<(), StoreError> + Sync> ColumnSink for Columns<'_, D> {
    type Error = StoreError;

    fn take(&self, column: usize, first_row: usize, values: &[f64]) -> Result<(), StoreError> {
        let at = self.target.starts[column] + (first_row * size_of::<f64>()) as u64;
        self.file.write_all_at(bytemuck::cast_slice(values), at).map_err(io_error(&self.target.path))?;
        (self.done)(values.len())
    }

    /// The disk need not hold the file beside the columns.
    fn file_done(&self, file: usize) -> Result<(), StoreError> {
        let path = &self.sources[file].path;
        fs::remove_file(path).map_err(io_error(path))
    }
}

impl Refusal {
    /// As a parsing process tells it.
    pub(super) fn of_failure(error: Error) -> Self {
        match error {
            Error::Parse(ParseError::Refused(refusal)) => refusal,
            error => Self { kind: RefusedFor::Disk, message: error.to_string() },
        }
    }
}
