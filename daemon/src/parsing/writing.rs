//! Values go from users' files to the file of columns.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use swift_sampler_files::{ColumnSink, FeatureFiles, MissingValues, ReadIntoError, SourceFile, median};

use super::{Imputed, ParseError, Refusal, RefusedFor};
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

/// Rows of a column that are looked at at once.
const BLOCK_ROWS: usize = 1 << 17;

/// Reads all values to their places, telling `done` how many, which may end it. Returns what was imputed.
pub(super) fn write_columns(
    files: &FeatureFiles,
    sources: &[SourceFile],
    target: &Target,
    done: impl Fn(usize) -> Result<(), StoreError> + Sync,
) -> Result<Vec<Imputed>, Error> {
    let file = File::options().read(true).write(true).open(&target.path).map_err(io_error(&target.path))?;
    let sink = Columns { file, target, sources, done };
    let missing = files.read_into(&sink).map_err(|error| match error {
        ReadIntoError::File(error) => ParseError::Refused(Refusal::of(&error)).into(),
        ReadIntoError::Sink(error) => Error::from(error),
    })?;
    missing.iter().map(|missing| sink.impute(files, missing)).collect()
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

impl<D: Fn(usize) -> Result<(), StoreError> + Sync> Columns<'_, D> {
    /// Puts the median of a column in place of its missing values.
    fn impute(&self, files: &FeatureFiles, missing: &MissingValues) -> Result<Imputed, Error> {
        let name = files.columns()[missing.column].clone();
        let median = median(|each| {
            self.each_block(missing.column, files.rows(), |_at, values| {
                each(values);
                Ok(())
            })
        })?;
        let Some(value) = median else {
            let message = format!("column {name:?} has no value in any row: leave it out, or give it values");
            return Err(ParseError::Refused(Refusal { kind: RefusedFor::Content, message }).into());
        };
        self.each_block(missing.column, files.rows(), |at, values| {
            if values.iter().all(|value| !value.is_nan()) {
                return Ok(());
            }
            values.iter_mut().filter(|value| value.is_nan()).for_each(|missing| *missing = value);
            self.file.write_all_at(bytemuck::cast_slice(values), at).map_err(io_error(&self.target.path))
        })?;
        Ok(Imputed { column: name, values: missing.values, first_row: missing.first_row as u64, value })
    }

    /// Reads a column block by block, with the position of each in the file.
    fn each_block(
        &self,
        column: usize,
        rows: usize,
        mut each: impl FnMut(u64, &mut [f64]) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let mut block = vec![0.0; BLOCK_ROWS.min(rows)];
        for first in (0..rows).step_by(BLOCK_ROWS) {
            let values = &mut block[..BLOCK_ROWS.min(rows - first)];
            let at = self.target.starts[column] + (first * size_of::<f64>()) as u64;
            self.file.read_exact_at(bytemuck::cast_slice_mut(values), at).map_err(io_error(&self.target.path))?;
            each(at, values)?;
            (self.done)(0)?;
        }
        Ok(())
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
