//! The files of one dataset, in a directory of their own.

use std::fs::{self, File};
use std::path::Path;
use std::sync::Arc;

use swift_sampler::{ColumnContent, Dataset, DatasetContent, FeatureTable, SharedColumn};

use super::manifest::FORMAT;
use super::mapped::MappedFile;
use super::{Manifest, StoreError, cells, io_error};

/// The file of columns.
pub(super) const COLUMNS_FILE: &str = "columns.safetensors";
/// The file of cells.
pub(super) const CELLS_FILE: &str = "cells.safetensors";
/// The file of checksums.
pub(super) const MANIFEST_FILE: &str = "manifest.json";

/// The files of a dataset, the manifest first: it tells how long the others may be.
pub const FILES: [&str; 3] = [MANIFEST_FILE, COLUMNS_FILE, CELLS_FILE];

/// Longest manifest, in bytes.
const MANIFEST_BYTES_MAX: u64 = 16 << 20;
/// What a safetensors header holds beside the tensors' names, in bytes a tensor and altogether.
const HEADER_BYTES_MAX: (u64, u64) = (256, 4096);
/// Bytes an escaped character of a name may take in a header.
const NAME_BYTES_MAX: u64 = 6;

impl Manifest {
    /// Reads the manifest among files that are being received; a sentence says why it is none of dataset `hash`.
    pub(crate) fn read(directory: &Path, hash: &str) -> Result<Self, String> {
        let text = fs::read(directory.join(MANIFEST_FILE)).map_err(|error| format!("{MANIFEST_FILE}: {error}"))?;
        let manifest = Self::parse(&text).map_err(|reason| format!("{MANIFEST_FILE}: {reason}"))?;
        match manifest.content.hash() {
            described if described == hash => Ok(manifest),
            described => Err(format!("{MANIFEST_FILE} describes dataset {described}")),
        }
    }
}

impl Manifest {
    /// Tells whether a later samplerd wrote a dataset, which this one cannot read for that reason.
    pub(super) fn is_of_later_format(directory: &Path) -> bool {
        let text = fs::read(directory.join(MANIFEST_FILE)).unwrap_or_default();
        serde_json::from_slice::<serde_json::Value>(&text)
            .is_ok_and(|manifest| manifest["format"].as_u64().is_some_and(|format| format > u64::from(FORMAT)))
    }
}

/// Returns how long a file of [`FILES`] may be, in bytes; `None` for one that depends on a manifest that is not known.
pub(crate) fn bytes_max(file: &str, manifest: Option<&Manifest>) -> Option<u64> {
    if file == MANIFEST_FILE {
        return Some(MANIFEST_BYTES_MAX);
    }
    let content = &manifest?.content;
    let (features, columns) = (content.features.len() as u64, content.columns.len() as u64);
    let names = content.columns.iter().map(|column| column.name.len() as u64).sum::<u64>();
    let header = |tensors: u64| HEADER_BYTES_MAX.1 + HEADER_BYTES_MAX.0 * tensors;
    Some(if file == COLUMNS_FILE {
        let row = 8 * columns;
        content.rows.saturating_mul(row).saturating_add(header(columns) + NAME_BYTES_MAX * names)
    } else {
        // A row's place in the order; at most one cell a row, with its start and gradient mass; and for each feature the
        // cell's interval, the interval's quantile and a point of the table.
        let row = 4 + (4 + 8) + (4 + 8 + 16) * features;
        content.rows.saturating_add(1).saturating_mul(row).saturating_add(header(4 + 4 * features))
    })
}

/// Makes files survive a crash.
pub(super) fn flush(directory: &Path) -> Result<(), StoreError> {
    for file in FILES {
        flush_one(&directory.join(file))?;
    }
    flush_one(directory)
}

/// Makes one file, or a directory's entries, survive a crash.
pub(super) fn flush_one(path: &Path) -> Result<(), StoreError> {
    File::open(path).and_then(|file| file.sync_all()).map_err(io_error(path))
}

/// Makes sure that the system lets a dataset's files be opened, whatever is in them, and whether or not they are there.
pub(super) fn can_be_opened(directory: &Path) -> Result<(), StoreError> {
    for file in FILES {
        let path = directory.join(file);
        match File::open(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(io_error(&path)(error)),
            _ => {}
        }
    }
    Ok(())
}

/// Returns how long the files of a dataset are together, in bytes.
pub(super) fn bytes(directory: &Path) -> Result<u64, String> {
    let bytes = |file: &&str| {
        fs::metadata(directory.join(file)).map(|metadata| metadata.len()).map_err(|error| format!("{file}: {error}"))
    };
    FILES.iter().map(bytes).sum()
}

/// Maps a dataset's files, and checks what is read of them now: not the values of columns, nor of the row order. A sentence
/// says why they are not those of the manifest.
pub(super) fn open(directory: &Path, manifest: &Manifest) -> Result<Dataset, String> {
    let content = &manifest.content;
    let columns =
        map_columns(&directory.join(COLUMNS_FILE), content).map_err(|reason| format!("{COLUMNS_FILE}: {reason}"))?;
    let cells =
        cells::open(&directory.join(CELLS_FILE), manifest).map_err(|reason| format!("{CELLS_FILE}: {reason}"))?;
    let table = FeatureTable::from_stored(columns).map_err(|error| error.to_string())?;
    let dataset = Dataset::from_stored(table, content.gradient_norm.clone(), cells);
    dataset.and_then(|dataset| dataset.with_first_row(content.first_row)).map_err(|error| error.to_string())
}

fn map_columns(path: &Path, content: &DatasetContent) -> Result<Vec<(String, SharedColumn<f64>)>, String> {
    let file = MappedFile::open(path)?;
    let column = |entry: &ColumnContent| {
        let name = &entry.name;
        let column = file.tensor::<f64>(name)?;
        if column.as_ref().len() as u64 != content.rows {
            return Err(format!("column {name:?} does not have {} rows", content.rows));
        }
        Ok((name.clone(), Arc::new(column) as SharedColumn<f64>))
    };
    content.columns.iter().map(column).collect()
}
