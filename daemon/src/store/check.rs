//! Checks all bytes of a dataset's files, without mapping them: what is read once need not be in the daemon's memory.

use std::path::Path;

use super::cells::ORDER;
use super::files::{CELLS_FILE, COLUMNS_FILE};
use super::manifest::CellsChecksums;
use super::progress::Progress;
use super::tensor_file::TensorFile;
use super::{Manifest, StoreError};

/// Why files are not those of a dataset, or are not known to be.
#[derive(Debug)]
pub(super) enum CheckError {
    /// What is wrong.
    Damaged(String),
    /// The check was ended before.
    Interrupted,
}

impl From<String> for CheckError {
    fn from(reason: String) -> Self {
        Self::Damaged(reason)
    }
}

/// Checks the columns and the cells against the manifest's checksums, and that they can be served.
pub(super) fn check(directory: &Path, manifest: &Manifest, progress: &Progress) -> Result<(), CheckError> {
    let within = |file: &'static str| {
        move |error: CheckError| match error {
            CheckError::Damaged(reason) => CheckError::Damaged(format!("{file}: {reason}")),
            CheckError::Interrupted => CheckError::Interrupted,
        }
    };
    check_columns(&directory.join(COLUMNS_FILE), manifest, progress).map_err(within(COLUMNS_FILE))?;
    check_cells(&directory.join(CELLS_FILE), manifest, progress).map_err(within(CELLS_FILE))
}

fn check_columns(path: &Path, manifest: &Manifest, progress: &Progress) -> Result<(), CheckError> {
    let file = TensorFile::open(path)?;
    for column in &manifest.content.columns {
        let name = &column.name;
        let tensor = file.tensor::<f64>(name)?;
        if file.len_of(tensor) as u64 != manifest.content.rows {
            return Err(format!("column {name:?} does not have {} rows", manifest.content.rows).into());
        }
        let mut wrong = None;
        let find = |first: usize, values: &[f64]| {
            let position = values.iter().position(|value| !value.is_finite());
            wrong = wrong.or(position.map(|position| (first + position, values[position])));
        };
        if file.sha256(tensor, progress, find).map_err(unread)? != column.sha256 {
            return Err(format!("column {name:?} does not match its checksum").into());
        }
        if let Some((row, value)) = wrong {
            return Err(format!("column {name:?}, row {row} is {value}").into());
        }
    }
    Ok(())
}

fn check_cells(path: &Path, manifest: &Manifest, progress: &Progress) -> Result<(), CheckError> {
    let file = TensorFile::open(path)?;
    let order = file.tensor::<u32>(ORDER)?;
    let (tables, whole) = file.sha256_split(order, progress).map_err(unread)?;
    let CellsChecksums { cells_sha256, cells_tables_sha256 } = &manifest.cells;
    if whole != *cells_sha256 || cells_tables_sha256.as_ref().is_some_and(|checksum| *checksum != tables) {
        return Err("it does not match its checksum".to_owned().into());
    }
    let rows = file.len_of(order);
    let mut seen = vec![0u64; rows.div_ceil(64)];
    let mut is_permutation = true;
    let look = |_first: usize, order: &[u32]| {
        for &row in order {
            let (word, bit) = (row as usize / 64, 1 << (row % 64));
            is_permutation &= (row as usize) < rows && seen[word] & bit == 0;
            if let Some(word) = seen.get_mut(word) {
                *word |= bit;
            }
        }
    };
    file.scan(order, (0, rows), progress, look).map_err(unread)?;
    if is_permutation { Ok(()) } else { Err("the row order is not a permutation of the rows".to_owned().into()) }
}

fn unread(error: StoreError) -> CheckError {
    match error {
        StoreError::Interrupted => CheckError::Interrupted,
        error => CheckError::Damaged(error.to_string()),
    }
}
