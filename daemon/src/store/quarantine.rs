//! Where damaged datasets lie, so that people may look at them, and nothing is served of them.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use super::{Store, StoreError, files, io_error};

/// What was found to be wrong, in a file beside those of the dataset.
const REASON_FILE: &str = "damage.txt";

/// The directory of damaged datasets. It is not emptied but by a dataset's removal, or by hand.
#[derive(Debug, Clone)]
pub(super) struct Quarantine {
    directory: PathBuf,
    datasets: Arc<AtomicUsize>,
    times: Arc<AtomicU64>,
}

impl Quarantine {
    pub(super) fn open(data_dir: &Path) -> Result<Self, StoreError> {
        let directory = data_dir.join("quarantine");
        fs::create_dir_all(&directory).map_err(io_error(&directory))?;
        let quarantine = Self { directory, datasets: Arc::default(), times: Arc::default() };
        quarantine.recount();
        Ok(quarantine)
    }

    /// Moves a dataset here, and returns what is wrong with it and where it is now. If it cannot be moved, it stays where it
    /// is, and is found to be damaged again after the next start.
    pub(super) fn put(&self, place: &Path, hash: &str, reason: &str) -> String {
        let to = self.directory.join(hash);
        match self.move_here(place, &to, reason) {
            Ok(()) => {
                self.recount();
                format!("{reason} (its files are now in {})", to.display())
            }
            Err(error) => {
                tracing::warn!(hash, %error, "a damaged dataset could not be moved to quarantine");
                reason.to_owned()
            }
        }
    }

    fn move_here(&self, place: &Path, to: &Path, reason: &str) -> io::Result<()> {
        match fs::remove_dir_all(to) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        fs::rename(place, to)?;
        fs::write(to.join(REASON_FILE), reason)?;
        files::flush_one(&self.directory).map_err(io::Error::other)
    }

    /// Notes that a dataset was found to be damaged.
    pub(super) fn count(&self) {
        self.times.fetch_add(1, Ordering::SeqCst);
    }

    /// Returns how many times that was.
    pub(super) fn times(&self) -> u64 {
        self.times.load(Ordering::SeqCst)
    }

    /// Returns how many datasets are here.
    pub(super) fn len(&self) -> usize {
        self.datasets.load(Ordering::Relaxed)
    }

    /// Returns what is wrong with a dataset, and where it is, if it is here.
    pub(super) fn reason(&self, hash: &str) -> Option<String> {
        let place = self.directory.join(hash);
        if !Store::is_hash(hash) || !place.exists() {
            return None;
        }
        let reason = fs::read_to_string(place.join(REASON_FILE)).unwrap_or_else(|_| "it is in quarantine".to_owned());
        Some(format!("{reason} (its files are now in {})", place.display()))
    }

    /// Deletes a dataset, if it is here.
    pub(super) fn remove(&self, hash: &str) -> Result<(), StoreError> {
        let place = self.directory.join(hash);
        if !Store::is_hash(hash) || !place.exists() {
            return Ok(());
        }
        fs::remove_dir_all(&place).map_err(io_error(&place))?;
        self.recount();
        Ok(())
    }

    fn recount(&self) {
        let there = fs::read_dir(&self.directory).map_or(0, Iterator::count);
        self.datasets.store(there, Ordering::Relaxed);
    }
}
