//! The daemon's own copies of feature columns: content-addressed, never changed once written.
//!
//! A dataset lies in `datasets/HASH/`: `columns.safetensors` with its columns as f64, `cells.safetensors` with the
//! examples grouped by features, and `manifest.json` with checksums. HASH is that of the manifest's content, so a directory
//! whose name, manifest and columns agree is whole. It is written beside its place, flushed, and moved there in one step.

mod cells;
mod manifest;
mod mapped;

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use swift_sampler::{ColumnContent, Dataset, DatasetContent, DatasetError, FeatureTable, SharedColumn};

use mapped::{MappedFile, Tensor};

pub use manifest::Manifest;

/// The file of columns.
const COLUMNS_FILE: &str = "columns.safetensors";
/// The file of cells.
const CELLS_FILE: &str = "cells.safetensors";
/// The file of checksums.
const MANIFEST_FILE: &str = "manifest.json";

// Columns are mapped as they lie on disk, which is little-endian.
const _: () = assert!(cfg!(target_endian = "little"), "the store maps little-endian files");

/// Why the store cannot keep or give back a dataset.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The file system refuses.
    #[error("{path}: {source}")]
    Io {
        /// Where.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// A stored dataset is not what was written.
    #[error("stored dataset {hash} is damaged: {reason}: remove the dataset, or import it again under its name")]
    Damaged {
        /// Its hash.
        hash: String,
        /// What is wrong.
        reason: String,
    },
    /// The columns do not make a dataset.
    #[error(transparent)]
    Dataset(#[from] DatasetError),
}

/// The directory of datasets.
#[derive(Debug, Clone)]
pub struct Store {
    datasets: PathBuf,
    /// Unfinished writes and what is being deleted; emptied when the store is opened.
    unfinished: PathBuf,
}

impl Store {
    /// Opens the store under a data directory, and clears away what a crash left unfinished.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub fn open(data_dir: &Path) -> Result<Self, StoreError> {
        let store = Self { datasets: data_dir.join("datasets"), unfinished: data_dir.join("unfinished") };
        if store.unfinished.exists() {
            fs::remove_dir_all(&store.unfinished).map_err(io_error(&store.unfinished))?;
        }
        for directory in [&store.datasets, &store.unfinished] {
            fs::create_dir_all(directory).map_err(io_error(directory))?;
        }
        Ok(store)
    }

    /// Returns a directory for files that are being received; it is deleted when dropped.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub fn scratch(&self) -> Result<tempfile::TempDir, StoreError> {
        tempfile::tempdir_in(&self.unfinished).map_err(io_error(&self.unfinished))
    }

    /// Writes a dataset, unless it is there and whole, and returns its hash. When this returns, it survives a crash.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub fn put(&self, dataset: &Dataset) -> Result<String, StoreError> {
        let content = DatasetContent::of(dataset);
        let hash = content.hash();
        let place = self.datasets.join(&hash);
        if place.exists() {
            match self.get(&hash) {
                Ok(_) => return Ok(hash),
                Err(StoreError::Damaged { reason, .. }) => {
                    tracing::warn!(hash, reason, "replacing a damaged dataset by the imported one");
                    self.remove(&hash)?;
                }
                Err(error) => return Err(error),
            }
        }
        let scratch = self.scratch()?;
        let columns_path = scratch.path().join(COLUMNS_FILE);
        let mut columns: Vec<_> = dataset.table().columns().map(|(name, values)| (name, Tensor::new(values))).collect();
        columns.sort_by_key(|(name, _)| *name);
        safetensors::serialize_to_file(columns, None, &columns_path)
            .map_err(|error| io_error(&columns_path)(io::Error::other(error)))?;
        let cells_path = scratch.path().join(CELLS_FILE);
        let parts = dataset.cells().to_parts().ok_or(DatasetError::CellsMismatch("they have no row order"))?;
        cells::write(&cells_path, &parts).map_err(|error| io_error(&cells_path)(io::Error::other(error)))?;
        let cells_bytes =
            MappedFile::open(&cells_path).map_err(|error| io_error(&cells_path)(io::Error::other(error)))?;
        let manifest = Manifest::new(content, manifest::sha256(cells_bytes.bytes()));
        let manifest_path = scratch.path().join(MANIFEST_FILE);
        fs::write(&manifest_path, manifest.to_json()).map_err(io_error(&manifest_path))?;
        for path in [&columns_path, &cells_path, &manifest_path, &scratch.path().to_path_buf()] {
            flush(path)?;
        }
        fs::rename(scratch.path(), &place).map_err(io_error(&place))?;
        flush(&self.datasets)?;
        Ok(hash)
    }

    /// Maps a dataset's columns, checks them against their checksums, and groups them into cells.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] when the directory is not what was written, or is not there.
    pub fn get(&self, hash: &str) -> Result<Dataset, StoreError> {
        let damaged = |reason: String| StoreError::Damaged { hash: hash.to_owned(), reason };
        let place = self.datasets.join(hash);
        let text = fs::read(place.join(MANIFEST_FILE)).map_err(|error| damaged(format!("{MANIFEST_FILE}: {error}")))?;
        let manifest = Manifest::parse(&text).map_err(|reason| damaged(format!("{MANIFEST_FILE}: {reason}")))?;
        let content = manifest.content;
        if content.hash() != hash {
            return Err(damaged(format!("{MANIFEST_FILE} describes dataset {}", content.hash())));
        }
        let columns = map_columns(&place.join(COLUMNS_FILE), &content)
            .map_err(|reason| damaged(format!("{COLUMNS_FILE}: {reason}")))?;
        let with_mass = content.gradient_norm.is_some();
        let cells = cells::read(&place.join(CELLS_FILE), &manifest.cells_sha256, &content.features, with_mass)
            .map_err(|reason| damaged(format!("{CELLS_FILE}: {reason}")))?;
        let table = FeatureTable::from_shared(columns).map_err(|error| damaged(error.to_string()))?;
        Dataset::from_stored(table, content.gradient_norm, cells).map_err(|error| damaged(error.to_string()))
    }

    /// Removes a dataset. Whoever has it mapped keeps it.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub fn remove(&self, hash: &str) -> Result<(), StoreError> {
        let place = self.datasets.join(hash);
        let scratch = self.scratch()?;
        let aside = scratch.path().join(hash);
        match fs::rename(&place, &aside) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            moved => moved.map_err(io_error(&place)),
        }
    }
}

fn map_columns(path: &Path, content: &DatasetContent) -> Result<Vec<(String, SharedColumn<f64>)>, String> {
    let file = MappedFile::open(path)?;
    let column = |entry: &ColumnContent| {
        let name = &entry.name;
        let column = file.tensor::<f64>(name)?;
        if column.as_ref().len() as u64 != content.rows {
            return Err(format!("column {name:?} does not have {} rows", content.rows));
        }
        if swift_sampler::column_sha256(column.as_ref()) != entry.sha256 {
            return Err(format!("column {name:?} does not match its checksum"));
        }
        Ok((name.clone(), Arc::new(column) as SharedColumn<f64>))
    };
    content.columns.iter().map(column).collect()
}

fn flush(path: &Path) -> Result<(), StoreError> {
    File::open(path).and_then(|file| file.sync_all()).map_err(io_error(path))
}

fn io_error(path: &Path) -> impl FnOnce(io::Error) -> StoreError + use<> {
    let path = path.display().to_string();
    |source| StoreError::Io { path, source }
}
