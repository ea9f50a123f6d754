//! The daemon's own copies of feature columns: content-addressed, never changed once written.
//!
//! A dataset lies in `datasets/HASH/`: `columns.safetensors` with its columns as f64, `cells.safetensors` with the
//! examples grouped by features, and `manifest.json` with checksums. HASH is that of the manifest's content, so a directory
//! whose name, manifest and columns agree is whole. It is written beside its place, flushed, and moved there in one step.

mod cells;
mod files;
mod manifest;
mod mapped;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use swift_sampler::{Dataset, DatasetContent, DatasetError};
use tempfile::TempDir;

pub use files::FILES;
pub(crate) use files::bytes_max;
pub use manifest::Manifest;

// Columns are mapped as they lie on disk, which is little-endian.
const _: () = assert!(cfg!(target_endian = "little"), "the store maps little-endian files");

/// Digits of a hash.
const HASH_DIGITS: usize = 64;

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
    /// A dataset was never stored here.
    #[error("dataset {hash} is not stored by this samplerd: import it again under its name")]
    Absent {
        /// Its hash.
        hash: String,
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

    /// Tells whether text may name a dataset: 64 lower-case hexadecimal digits.
    #[must_use]
    pub fn is_hash(text: &str) -> bool {
        text.len() == HASH_DIGITS && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    }

    /// Returns a directory for files that are being received; it is deleted when dropped.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub fn scratch(&self) -> Result<TempDir, StoreError> {
        tempfile::tempdir_in(&self.unfinished).map_err(io_error(&self.unfinished))
    }

    /// Returns the directory of a dataset's [`FILES`].
    #[must_use]
    pub fn place(&self, hash: &str) -> PathBuf {
        self.datasets.join(hash)
    }

    /// Tells whether a dataset is here, whole or damaged.
    #[must_use]
    pub fn holds(&self, hash: &str) -> bool {
        // Hashes come from a registry that others may write to: a path is no hash, and nothing is stored under it.
        Self::is_hash(hash) && self.place(hash).exists()
    }

    /// Writes a dataset, unless it is there and whole, and returns its hash. When this returns, it survives a crash.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub fn put(&self, dataset: &Dataset) -> Result<String, StoreError> {
        let content = DatasetContent::of(dataset);
        let hash = content.hash();
        match self.get(&hash) {
            Ok(_) => return Ok(hash),
            Err(StoreError::Absent { .. }) => {}
            Err(StoreError::Damaged { reason, .. }) => {
                tracing::warn!(hash, reason, "replacing a damaged dataset by the imported one");
            }
            Err(error) => return Err(error),
        }
        let scratch = self.scratch()?;
        files::write(scratch.path(), dataset, content)?;
        self.move_in(&scratch, &hash)?;
        Ok(hash)
    }

    /// Takes in a dataset whose files were received in a [scratch](Self::scratch) directory, in place of a damaged copy
    /// if there is one, and returns it. When this returns, it survives a crash.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] when the files are not those of dataset `hash`.
    pub fn adopt(&self, received: &TempDir, hash: &str) -> Result<Dataset, StoreError> {
        let damaged = |reason| StoreError::Damaged { hash: hash.to_owned(), reason };
        let dataset = files::read(received.path(), hash).map_err(damaged)?;
        self.move_in(received, hash)?;
        Ok(dataset)
    }

    /// Maps a dataset's files and checks all of them against their checksums.
    ///
    /// # Errors
    /// [`StoreError::Absent`] when it is not here, [`StoreError::Damaged`] when it is not what was written.
    pub fn get(&self, hash: &str) -> Result<Dataset, StoreError> {
        let place = self.place(hash);
        if !place.exists() {
            return Err(StoreError::Absent { hash: hash.to_owned() });
        }
        files::read(&place, hash).map_err(|reason| StoreError::Damaged { hash: hash.to_owned(), reason })
    }

    /// Removes a dataset. Whoever has it mapped keeps it.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub fn remove(&self, hash: &str) -> Result<(), StoreError> {
        if !self.holds(hash) {
            return Ok(());
        }
        let place = self.place(hash);
        let scratch = self.scratch()?;
        let aside = scratch.path().join(hash);
        match fs::rename(&place, &aside) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            moved => moved.map_err(io_error(&place)),
        }
    }

    /// Moves written files to their place, where there may be a damaged copy.
    fn move_in(&self, scratch: &TempDir, hash: &str) -> Result<(), StoreError> {
        files::flush(scratch.path())?;
        self.remove(hash)?;
        let place = self.place(hash);
        fs::rename(scratch.path(), &place).map_err(io_error(&place))?;
        files::flush_one(&self.datasets)
    }
}

pub(crate) fn io_error(path: &Path) -> impl FnOnce(io::Error) -> StoreError + use<> {
    let path = path.display().to_string();
    |source| StoreError::Io { path, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn under_a_path_in_place_of_a_hash_nothing_is_held_or_removed() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(&directory.path().join("data")).unwrap();
        let other = directory.path().join("other");
        fs::create_dir(&other).unwrap();
        for hash in ["../../other", other.to_str().unwrap(), ".", ""] {
            assert!(!store.holds(hash));
            store.remove(hash).unwrap();
        }
        assert!(other.exists() && store.datasets.exists());
    }
}
