//! The daemon's own copies of feature columns: content-addressed, never changed once written.
//!
//! A dataset lies in `datasets/HASH/`: `columns.safetensors` with its columns as f64, and `manifest.json` with a checksum
//! of each. HASH is that of the manifest's content, so a directory whose name, manifest and columns agree is whole. It is
//! written beside its place, flushed, and moved there in one step.

mod manifest;

use std::fs::{self, File};
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use memmap2::Mmap;
use safetensors::{Dtype, SafeTensors, View};
use swift_sampler::{Dataset, DatasetError, FeatureTable, FeatureTableError, SharedColumn};

pub use manifest::{ColumnEntry, Manifest};

/// The file of columns.
const COLUMNS_FILE: &str = "columns.safetensors";
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
        let manifest = Manifest::describe(dataset).map_err(DatasetError::from)?;
        let hash = manifest.hash();
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
        let view = |entry: &ColumnEntry| {
            let values = dataset.table().column(&entry.name)?;
            Ok((entry.name.clone(), ColumnView { shape: [values.len()], values }))
        };
        let columns: Vec<_> =
            manifest.columns.iter().map(view).collect::<Result<_, FeatureTableError>>().map_err(DatasetError::from)?;
        safetensors::serialize_to_file(columns, None, &columns_path)
            .map_err(|error| io_error(&columns_path)(io::Error::other(error)))?;
        let manifest_path = scratch.path().join(MANIFEST_FILE);
        fs::write(&manifest_path, manifest.to_json()).map_err(io_error(&manifest_path))?;
        for path in [&columns_path, &manifest_path, &scratch.path().to_path_buf()] {
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
        if manifest.hash() != hash {
            return Err(damaged(format!("{MANIFEST_FILE} describes dataset {}", manifest.hash())));
        }
        let columns = map_columns(&place.join(COLUMNS_FILE), &manifest)
            .map_err(|reason| damaged(format!("{COLUMNS_FILE}: {reason}")))?;
        let table =
            FeatureTable::from_shared(columns).map_err(|error: FeatureTableError| damaged(error.to_string()))?;
        Dataset::new(table, manifest.features, manifest.gradient_norm).map_err(|error| damaged(error.to_string()))
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

fn map_columns(path: &Path, manifest: &Manifest) -> Result<Vec<(String, SharedColumn<f64>)>, String> {
    let file = File::open(path).map_err(|error| error.to_string())?;
    #[allow(unsafe_code, reason = "mapping is what keeps large datasets out of memory")]
    // SAFETY: the file is the daemon's own and never changed once moved to its place; the data directory is locked
    // against other daemons.
    let map = Arc::new(unsafe { Mmap::map(&file) }.map_err(|error| error.to_string())?);
    let tensors = SafeTensors::deserialize(&map).map_err(|error| error.to_string())?;
    let base = map.as_ptr() as usize;
    manifest
        .columns
        .iter()
        .map(|entry| {
            let name = &entry.name;
            let tensor = tensors.tensor(name).map_err(|error| error.to_string())?;
            let start = tensor.data().as_ptr() as usize - base;
            let range = start..start + tensor.data().len();
            let column = MappedColumn::new(&map, range).ok_or_else(|| format!("column {name:?} is not of f64"))?;
            if tensor.dtype() != Dtype::F64 || column.as_ref().len() as u64 != manifest.rows {
                return Err(format!("column {name:?} does not hold {} f64", manifest.rows));
            }
            if manifest::checksum(column.as_ref()) != entry.sha256 {
                return Err(format!("column {name:?} does not match its checksum"));
            }
            Ok((name.clone(), Arc::new(column) as SharedColumn<f64>))
        })
        .collect()
}

/// A column in a mapped file.
struct MappedColumn {
    map: Arc<Mmap>,
    range: Range<usize>,
}

impl MappedColumn {
    /// Returns `None` where the bytes cannot be read in place as f64.
    fn new(map: &Arc<Mmap>, range: Range<usize>) -> Option<Self> {
        bytemuck::try_cast_slice::<u8, f64>(map.get(range.clone())?).ok()?;
        Some(Self { map: Arc::clone(map), range })
    }
}

impl AsRef<[f64]> for MappedColumn {
    fn as_ref(&self) -> &[f64] {
        bytemuck::cast_slice(&self.map[self.range.clone()])
    }
}

/// A column as safetensors writes it.
struct ColumnView<'a> {
    shape: [usize; 1],
    values: &'a [f64],
}

impl View for ColumnView<'_> {
    fn dtype(&self) -> Dtype {
        Dtype::F64
    }

    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn data(&self) -> std::borrow::Cow<'_, [u8]> {
        bytemuck::cast_slice(self.values).into()
    }

    fn data_len(&self) -> usize {
        size_of_val(self.values)
    }
}

fn flush(path: &Path) -> Result<(), StoreError> {
    File::open(path).and_then(|file| file.sync_all()).map_err(io_error(path))
}

fn io_error(path: &Path) -> impl FnOnce(io::Error) -> StoreError + use<> {
    let path = path.display().to_string();
    |source| StoreError::Io { path, source }
}
