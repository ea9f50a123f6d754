//! The daemon's own copies of feature columns: content-addressed, never changed once written.
//!
//! A dataset lies in `datasets/HASH/`: `columns.safetensors` with its columns as f64, `cells.safetensors` with the
//! examples grouped by features, and `manifest.json` with checksums. HASH is that of the manifest's content, so a directory
//! whose name, manifest and columns agree is whole. It is written beside its place, flushed, and moved there in one step.
//! Small datasets are checked whole before they are served, large ones right after: [`Store::get`] and [`Store::check`].
//! One that is found to be damaged is moved to `quarantine/HASH/`, and nothing is read of it any more.

mod build;
mod cells;
mod check;
mod files;
mod manifest;
mod mapped;
mod progress;
mod quarantine;
mod tensor_file;

use std::collections::HashMap;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use swift_sampler::{Dataset, DatasetError};
use tempfile::TempDir;

use check::CheckError;
use quarantine::Quarantine;

pub use build::{Building, Built, NewColumns};
pub use files::FILES;
pub(crate) use files::bytes_max;
pub use manifest::{CellsChecksums, Manifest};
pub use progress::{Phase, Progress};

// Columns are mapped as they lie on disk, which is little-endian.
const _: () = assert!(cfg!(target_endian = "little"), "the store maps little-endian files");

/// Datasets of up to this many bytes are checked whole before they are served, larger ones right after.
const CHECKED_FIRST_BYTES_MAX: u64 = 256 << 20;
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
    /// What was being done is no longer wanted.
    #[error("the dataset is no longer waited for")]
    Interrupted,
}

/// What is known of the bytes of a large dataset.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Known {
    /// They are those that were written.
    Whole,
    /// They are not.
    Damaged(String),
}

/// The directory of datasets.
#[derive(Debug, Clone)]
pub struct Store {
    datasets: PathBuf,
    /// Unfinished writes and what is being deleted; emptied when the store is opened.
    unfinished: PathBuf,
    quarantine: Quarantine,
    checked_first_bytes_max: u64,
    /// By hash. Held while files are moved.
    known: Arc<Mutex<HashMap<String, Known>>>,
}

impl Store {
    /// Opens the store under a data directory, and clears away what a crash left unfinished.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub fn open(data_dir: &Path) -> Result<Self, StoreError> {
        let store = Self {
            datasets: data_dir.join("datasets"),
            unfinished: data_dir.join("unfinished"),
            quarantine: Quarantine::open(data_dir)?,
            checked_first_bytes_max: CHECKED_FIRST_BYTES_MAX,
            known: Arc::default(),
        };
        if store.unfinished.exists() {
            fs::remove_dir_all(&store.unfinished).map_err(io_error(&store.unfinished))?;
        }
        for directory in [&store.datasets, &store.unfinished] {
            fs::create_dir_all(directory).map_err(io_error(directory))?;
        }
        Ok(store)
    }

    /// Checks only datasets of up to this many bytes before they are served.
    #[must_use]
    pub fn with_checked_first_bytes_max(self, bytes: u64) -> Self {
        Self { checked_first_bytes_max: bytes, ..self }
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

    /// Writes a dataset that is in memory, unless it is there and whole, and returns its hash. When this returns, it
    /// survives a crash.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn put(&self, dataset: &Dataset) -> Result<String, StoreError> {
        let building = self.begin(NewColumns::of(dataset))?;
        for (column, (_, values)) in dataset.table().columns().enumerate() {
            building.write(column, 0, values)?;
        }
        let built = building.finish(&Progress::default())?;
        self.keep(&built)?;
        Ok(built.hash().to_owned())
    }

    /// Takes in a dataset that was made, unless it is here and whole. When this returns, it survives a crash.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub fn keep(&self, built: &Built) -> Result<(), StoreError> {
        let hash = built.hash();
        match self.get(hash) {
            Ok(_) if self.is_checked(hash) => return Ok(()),
            // What was made just now is known to be whole.
            Ok(_) | Err(StoreError::Absent { .. }) => {}
            Err(StoreError::Damaged { reason, .. }) => {
                tracing::warn!(hash, reason, "replacing a damaged dataset by the imported one");
            }
            Err(error) => return Err(error),
        }
        self.move_in(built.directory(), hash)
    }

    /// Takes in a dataset whose files were received in a [scratch](Self::scratch) directory, in place of a damaged copy
    /// if there is one, and returns it. All of it is checked first. When this returns, it survives a crash.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] when the files are not those of dataset `hash`.
    pub fn adopt(&self, received: &TempDir, hash: &str) -> Result<Dataset, StoreError> {
        let manifest = Manifest::read(received.path(), hash).map_err(damaged(hash))?;
        check_all(received.path(), hash, &manifest, &Progress::default())?;
        let dataset = files::open(received.path(), &manifest).map_err(damaged(hash))?;
        files::flush(received.path())?;
        self.move_in(received.path(), hash)?;
        Ok(dataset)
    }

    /// Maps a dataset's files. A small one is checked whole before; of a large one only what is held in memory is, unless
    /// it [was checked](Self::is_checked): whatever else is in its files, it can be drawn from without harm.
    ///
    /// # Errors
    /// [`StoreError::Absent`] when it is not here, [`StoreError::Damaged`] when it is not what was written.
    pub fn get(&self, hash: &str) -> Result<Dataset, StoreError> {
        self.refuse_damaged(hash)?;
        let place = self.place(hash);
        let Ok(held) = File::open(&place) else {
            return Err(match self.quarantine.reason(hash) {
                Some(reason) => damaged(hash)(reason),
                None => StoreError::Absent { hash: hash.to_owned() },
            });
        };
        let opened = self.open_whole(&place, hash);
        match opened {
            Err(StoreError::Damaged { reason, .. }) => Err(self.found_damaged(hash, &held, reason)),
            opened => opened,
        }
    }

    fn open_whole(&self, place: &Path, hash: &str) -> Result<Dataset, StoreError> {
        let manifest = Manifest::read(place, hash).map_err(damaged(hash))?;
        if self.is_checked_first(place, &manifest).map_err(damaged(hash))? {
            check_all(place, hash, &manifest, &Progress::default())?;
        }
        files::open(place, &manifest).map_err(damaged(hash))
    }

    /// Refuses a dataset that was found to be damaged, also where somebody still has it mapped.
    ///
    /// # Errors
    /// [`StoreError::Damaged`].
    pub fn refuse_damaged(&self, hash: &str) -> Result<(), StoreError> {
        match locked(&self.known).get(hash) {
            Some(Known::Damaged(reason)) => Err(damaged(hash)(reason.clone())),
            Some(Known::Whole) | None => Ok(()),
        }
    }

    /// Returns how many times a dataset was found to be damaged: where it has grown, what is mapped may be of one.
    #[must_use]
    pub fn times_found_damaged(&self) -> u64 {
        self.quarantine.times()
    }

    /// Returns how many damaged datasets lie in quarantine.
    #[must_use]
    pub fn quarantined(&self) -> usize {
        self.quarantine.len()
    }

    /// Lists the datasets that are here. Blocks.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub fn hashes(&self) -> Result<Vec<String>, StoreError> {
        let entries = fs::read_dir(&self.datasets).map_err(io_error(&self.datasets))?;
        let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        Ok(names.filter(|name| Self::is_hash(name)).collect())
    }

    /// Tells whether all bytes of a dataset that is here were checked: those of small ones always are.
    #[must_use]
    pub fn is_checked(&self, hash: &str) -> bool {
        let place = self.place(hash);
        locked(&self.known).get(hash) == Some(&Known::Whole)
            || Manifest::read(&place, hash).is_ok_and(|manifest| self.is_checked_first(&place, &manifest) == Ok(true))
    }

    /// Checks all bytes of a dataset. A damaged one goes into quarantine and is not given out any more, until it is
    /// replaced. Takes as long as reading it, or longer if `progress` says so.
    ///
    /// # Errors
    /// [`StoreError::Damaged`], or [`StoreError::Interrupted`].
    pub fn check(&self, hash: &str, progress: &Progress) -> Result<(), StoreError> {
        let place = self.place(hash);
        let Ok(held) = File::open(&place) else {
            // It was removed meanwhile.
            return Ok(());
        };
        let checked = Manifest::read(&place, hash)
            .map_err(damaged(hash))
            .and_then(|manifest| check_all(&place, hash, &manifest, progress));
        match checked {
            Ok(()) => {
                let mut known = locked(&self.known);
                if is_same(&held, &place) {
                    known.insert(hash.to_owned(), Known::Whole);
                }
                Ok(())
            }
            Err(StoreError::Damaged { .. }) if !is_same(&held, &place) => Ok(()),
            Err(StoreError::Damaged { reason, .. }) => Err(self.found_damaged(hash, &held, reason)),
            Err(error) => Err(error),
        }
    }

    /// Puts a dataset into quarantine, unless it was replaced meanwhile or the system, not the disk, is why it cannot be
    /// read; returns why it is not served. `held` is its directory as it was read.
    fn found_damaged(&self, hash: &str, held: &File, reason: String) -> StoreError {
        let place = self.place(hash);
        if let Err(error) = files::can_be_opened(&place) {
            return error;
        }
        if Manifest::is_of_later_format(&place) {
            return damaged(hash)(reason);
        }
        let mut known = locked(&self.known);
        if !is_same(held, &place) {
            return damaged(hash)(reason);
        }
        let reason = self.quarantine.put(&place, hash, &reason);
        known.insert(hash.to_owned(), Known::Damaged(reason.clone()));
        // Last: whoever sees that it has grown is refused the dataset.
        self.quarantine.count();
        damaged(hash)(reason)
    }

    /// Removes a dataset. Whoever has it mapped keeps it.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub fn remove(&self, hash: &str) -> Result<(), StoreError> {
        self.move_out(hash, &mut locked(&self.known))?;
        self.quarantine.remove(hash)
    }

    /// Moves a dataset aside, into a directory that is deleted when dropped.
    fn move_out(&self, hash: &str, known: &mut HashMap<String, Known>) -> Result<Option<TempDir>, StoreError> {
        if Self::is_hash(hash) {
            known.remove(hash);
        }
        if !self.holds(hash) {
            return Ok(None);
        }
        let place = self.place(hash);
        let scratch = self.scratch()?;
        match fs::rename(&place, scratch.path().join(hash)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            moved => moved.map(|()| Some(scratch)).map_err(io_error(&place)),
        }
    }

    /// Moves flushed files that are known to be whole to their place, where there may be a damaged copy.
    fn move_in(&self, from: &Path, hash: &str) -> Result<(), StoreError> {
        let place = self.place(hash);
        let mut known = locked(&self.known);
        let _replaced = self.move_out(hash, &mut known)?;
        fs::rename(from, &place).map_err(io_error(&place))?;
        files::flush_one(&self.datasets)?;
        known.insert(hash.to_owned(), Known::Whole);
        Ok(())
    }

    fn is_checked_first(&self, place: &Path, manifest: &Manifest) -> Result<bool, String> {
        Ok(manifest.cells.cells_tables_sha256.is_none() || files::bytes(place)? <= self.checked_first_bytes_max)
    }
}

/// Tells whether a directory lies at a place still.
fn is_same(held: &File, place: &Path) -> bool {
    match (held.metadata(), fs::metadata(place)) {
        (Ok(held), Ok(there)) => (held.dev(), held.ino()) == (there.dev(), there.ino()),
        _ => false,
    }
}

fn check_all(directory: &Path, hash: &str, manifest: &Manifest, progress: &Progress) -> Result<(), StoreError> {
    check::check(directory, manifest, progress).map_err(|error| match error {
        CheckError::Damaged(reason) => damaged(hash)(reason),
        CheckError::Interrupted => StoreError::Interrupted,
    })
}

fn damaged(hash: &str) -> impl FnOnce(String) -> StoreError + use<> {
    let hash = hash.to_owned();
    |reason| StoreError::Damaged { hash, reason }
}

/// Makes an error of what is wrong with a file that was just written.
fn damage_of_own_file(path: &Path) -> impl FnOnce(String) -> StoreError + use<> {
    let in_file = io_error(path);
    |reason| in_file(io::Error::other(reason))
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Locks what no panic leaves half done.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
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

    fn dataset() -> Dataset {
        let column = |name: &str| (name.to_owned(), (0..100).map(f64::from).collect());
        let table = swift_sampler::FeatureTable::new(vec![column("loss"), column("grad_norm")]).unwrap();
        Dataset::new(table, vec!["loss".into()], Some("grad_norm".into())).unwrap()
    }

    fn flip_a_bit(path: &Path, position: usize) {
        let mut bytes = fs::read(path).unwrap();
        bytes[position] ^= 0x40;
        fs::write(path, bytes).unwrap();
    }

    /// A store that takes every dataset for a large one, after a restart.
    fn of_large_ones(directory: &Path) -> Store {
        Store::open(directory).unwrap().with_checked_first_bytes_max(0)
    }

    #[test]
    fn a_large_dataset_is_opened_before_it_is_checked_and_not_once_it_is_found_to_be_damaged() {
        let directory = tempfile::tempdir().unwrap();
        let hash = Store::open(directory.path()).unwrap().put(&dataset()).unwrap();
        let store = of_large_ones(directory.path());
        assert_eq!(store.get(&hash).unwrap().rows(), 100);
        assert!(!store.is_checked(&hash));
        store.check(&hash, &Progress::default()).unwrap();
        assert!(store.is_checked(&hash));

        for file in [FILES[1], FILES[2]] {
            let path = store.place(&hash).join(file);
            let last = usize::try_from(fs::metadata(&path).unwrap().len()).unwrap() - 1;
            flip_a_bit(&path, last);
            let store = of_large_ones(directory.path());
            assert_eq!(store.get(&hash).unwrap().rows(), 100, "what is held in memory is whole");
            let refused = store.check(&hash, &Progress::default()).unwrap_err().to_string();
            assert!(refused.contains(file) && refused.contains("does not match its checksum"), "{refused}");
            assert_eq!(store.get(&hash).unwrap_err().to_string(), refused);
            // A whole copy takes its place.
            assert_eq!(store.put(&dataset()).unwrap(), hash);
            assert!(store.get(&hash).is_ok() && store.is_checked(&hash));
        }
    }

    #[test]
    fn damage_to_what_is_held_in_memory_is_noticed_when_a_large_dataset_is_opened() {
        let directory = tempfile::tempdir().unwrap();
        let store = of_large_ones(directory.path());
        let hash = store.put(&dataset()).unwrap();
        let cells = store.place(&hash).join(FILES[2]);
        let order_bytes = 4 * 100;
        let tables_bytes = fs::metadata(&cells).unwrap().len() - order_bytes;
        for position in (0..usize::try_from(tables_bytes).unwrap()).step_by(97) {
            flip_a_bit(&cells, position);
            let opened = of_large_ones(directory.path()).get(&hash);
            assert!(matches!(opened, Err(StoreError::Damaged { .. })), "byte {position}");
            assert_eq!(of_large_ones(directory.path()).put(&dataset()).unwrap(), hash);
        }
        assert!(of_large_ones(directory.path()).get(&hash).is_ok());
    }

    #[test]
    fn whatever_order_a_large_dataset_has_before_it_is_checked_it_can_be_drawn_from() {
        use swift_sampler::{Plan, Replacement, Sampler, SamplerSpec, Seed, Segment};

        let directory = tempfile::tempdir().unwrap();
        let store = of_large_ones(directory.path());
        let hash = store.put(&dataset()).unwrap();
        let cells = store.place(&hash).join(FILES[2]);
        let mut bytes = fs::read(&cells).unwrap();
        let order = bytes.len() - 4 * 100;
        bytes[order..].fill(0xff);
        fs::write(&cells, bytes).unwrap();
        let dataset = of_large_ones(directory.path()).get(&hash).unwrap();
        let spec = r#"{"kind":"swift","features":["loss"],"coefficients":[1.0],"knots":[0.2,0.5,0.8],"values":[0.5,1.0,0.7,0.9,0.1]}"#;
        let spec: SamplerSpec = serde_json::from_str(spec).unwrap();
        let sampler = Arc::new(Sampler::build(&spec, &dataset).unwrap());
        for replacement in [Replacement::Independent, Replacement::Stratified, Replacement::Distinct] {
            let segment = Segment { epoch_start: 0, start: 0, end: 250 };
            let plan = Plan::new(Arc::clone(&sampler), Seed(1), replacement, segment, None).unwrap();
            // Which rows these are is anyone's guess, but there are 250.
            assert_eq!((0..250).map(|draw| plan.draw(draw)).filter(|draw| draw.probability > 0.0).count(), 250);
        }
    }
}
