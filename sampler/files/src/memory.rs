//! Columns in memory.

use std::convert::Infallible;
use std::sync::{Mutex, PoisonError};

use crate::reading::{ColumnSink, FeatureFiles, ReadIntoError};
use crate::{FeatureColumns, ReadError, Selection, SourceFile};

/// Reads files into memory. Blocks, for as long as parsing takes.
///
/// # Errors
/// [`ReadError`] naming the file, column and row that are wrong.
pub fn read(files: &[SourceFile], selection: &Selection, rows_max: usize) -> Result<FeatureColumns, ReadError> {
    let files = FeatureFiles::open(files, selection, rows_max)?;
    let memory = Memory::reserve(files.columns().len(), files.rows())?;
    match files.read_into(&memory) {
        // None is missing: it would have been refused.
        Ok(_) => {}
        Err(ReadIntoError::File(error)) => return Err(error),
        Err(ReadIntoError::Sink(never)) => match never {},
    }
    let values = memory.columns.into_iter().map(|column| column.into_inner().unwrap_or_else(PoisonError::into_inner));
    Ok(FeatureColumns {
        columns: files.columns().iter().cloned().zip(values).collect(),
        features: files.features().to_vec(),
        gradient_norm: files.gradient_norm().map(ToOwned::to_owned),
        skipped: files.skipped().to_vec(),
    })
}

/// A vector a column.
struct Memory {
    columns: Vec<Mutex<Vec<f64>>>,
}

impl Memory {
    /// Reserves room, which takes memory only as far as it is filled: files may state more rows than they have.
    fn reserve(columns: usize, rows: usize) -> Result<Self, ReadError> {
        let column = || {
            let mut values = Vec::new();
            values.try_reserve_exact(rows).map_err(|_full| ReadError::OutOfMemory { rows })?;
            Ok(Mutex::new(values))
        };
        Ok(Self { columns: (0..columns).map(|_| column()).collect::<Result<_, ReadError>>()? })
    }
}

impl ColumnSink for Memory {
    type Error = Infallible;

    fn take(&self, column: usize, first_row: usize, values: &[f64]) -> Result<(), Infallible> {
        let mut column = self.columns[column].lock().unwrap_or_else(PoisonError::into_inner);
        let end = first_row + values.len();
        if column.len() < end {
            column.resize(end, 0.0);
        }
        column[first_row..end].copy_from_slice(values);
        Ok(())
    }
}
