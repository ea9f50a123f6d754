//! A folder that several daemons mount, with a copy of every dataset: `datasets/HASH/`, laid out as in the store.
//!
//! It may lie on a network, so whatever is asked of it runs off the async runtime and is given up when nothing moves for
//! a while; it is read and written, never mapped.

mod files;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::Semaphore;

use super::receiving::{Receiving, SourceError};
use crate::store::Store;
use files::{put, read_files, remove};

/// Accesses at work at once; those that are stuck count.
const ACCESSES_MAX: usize = 4;
/// How long an access may make no progress before it is given up.
const STALL_MAX: Duration = Duration::from_secs(30);
/// Why the shared folder does not take or give something.
#[derive(Debug, thiserror::Error)]
#[error("shared folder {folder}: {reason}")]
pub struct SharedFolderError {
    /// The folder.
    folder: String,
    /// Why.
    reason: String,
}

/// The shared folder.
#[derive(Debug)]
pub(super) struct SharedFolder {
    datasets: PathBuf,
    accesses: Arc<Semaphore>,
    stall_max: Duration,
}

/// How far an access is; shared with whoever waits for it.
#[derive(Debug, Default)]
struct Progress {
    steps: AtomicU64,
    given_up: AtomicBool,
}

impl Progress {
    /// Notes that something moved.
    fn step(&self) -> io::Result<()> {
        self.steps.fetch_add(1, Ordering::Relaxed);
        if self.given_up.load(Ordering::Relaxed) { Err(io::Error::other("it was given up")) } else { Ok(()) }
    }
}

impl SharedFolder {
    pub(super) fn new(shared_dir: &Path) -> Self {
        let accesses = Arc::new(Semaphore::new(ACCESSES_MAX));
        Self { datasets: shared_dir.join("datasets"), accesses, stall_max: STALL_MAX }
    }

    /// Copies a dataset's files into a directory, and returns their bytes.
    pub(super) async fn fetch(&self, hash: &str, into: &Path) -> Result<u64, SourceError> {
        let (place, receiving) = (self.datasets.join(hash), Receiving::new(into.to_owned(), hash));
        let copied = self.access(move |progress| Ok(read_files(&place, receiving, progress))).await;
        copied.unwrap_or_else(|error| Err(SourceError::Broken(error.reason)))
    }

    /// Copies a dataset's files from a directory, unless they are there. Other daemons may do the same.
    pub(super) async fn put(&self, hash: &str, from: &Path) -> Result<(), SharedFolderError> {
        let (datasets, hash, from) = (self.datasets.clone(), hash.to_owned(), from.to_owned());
        self.access(move |progress| put(&datasets, &hash, &from, progress)).await
    }

    /// Deletes a dataset's files, if they are there.
    pub(super) async fn remove(&self, hash: &str) -> Result<(), SharedFolderError> {
        // As for the daemon's own copies: a path is no hash.
        if !Store::is_hash(hash) {
            return Ok(());
        }
        let (datasets, place) = (self.datasets.clone(), self.datasets.join(hash));
        self.access(move |_| if place.exists() { remove(&datasets, &place) } else { Ok(()) }).await
    }

    /// Returns which of these datasets have no copy.
    pub(super) async fn lacking(&self, hashes: Vec<String>) -> Result<Vec<String>, SharedFolderError> {
        let datasets = self.datasets.clone();
        self.access(move |progress| {
            let mut lacking = Vec::new();
            for hash in hashes {
                progress.step()?;
                if !datasets.join(&hash).try_exists()? {
                    lacking.push(hash);
                }
            }
            Ok(lacking)
        })
        .await
    }

    /// Runs blocking work, as long as it makes progress.
    async fn access<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Progress) -> io::Result<T> + Send + 'static,
    ) -> Result<T, SharedFolderError> {
        let failed = |reason| SharedFolderError { folder: self.datasets.display().to_string(), reason };
        let stalled = || failed(format!("nothing moved for {:?}", self.stall_max));
        let permit = tokio::time::timeout(self.stall_max, Arc::clone(&self.accesses).acquire_owned()).await;
        let permit = permit.map_err(|_elapsed| stalled())?.map_err(|error| failed(error.to_string()))?;
        let progress = Arc::new(Progress::default());
        let shared = Arc::clone(&progress);
        let mut access = tokio::task::spawn_blocking(move || {
            // Held by the work, which may be stuck long after nobody waits for it.
            let _permit = permit;
            work(&shared)
        });
        loop {
            let before = progress.steps.load(Ordering::Relaxed);
            match tokio::time::timeout(self.stall_max, &mut access).await {
                Ok(Ok(done)) => return done.map_err(|error| failed(error.to_string())),
                Ok(Err(panic)) => return Err(failed(panic.to_string())),
                Err(_elapsed) if progress.steps.load(Ordering::Relaxed) > before => {}
                Err(_elapsed) => {
                    progress.given_up.store(true, Ordering::Relaxed);
                    return Err(stalled());
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::store::FILES;
    use files::is_copy;
    use tempfile::TempDir;

    fn directory(content: &str) -> TempDir {
        let directory = tempfile::tempdir().unwrap();
        for file in FILES {
            fs::write(directory.path().join(file), format!("{file}: {content}")).unwrap();
        }
        directory
    }

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder.join("datasets")).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    #[tokio::test]
    async fn many_daemons_put_the_same_dataset_and_one_copy_is_there() {
        let (folder, from) = (tempfile::tempdir().unwrap(), directory("a"));
        let puts = (0..8).map(|_| {
            let (shared, from) = (SharedFolder::new(folder.path()), from.path().to_owned());
            tokio::spawn(async move { shared.put("h", &from).await })
        });
        for put in puts.collect::<Vec<_>>() {
            put.await.unwrap().unwrap();
        }
        assert_eq!(names(folder.path()), ["h"]);
        assert!(is_copy(&folder.path().join("datasets/h"), from.path(), &Progress::default()).unwrap());
    }

    #[tokio::test]
    async fn a_damaged_copy_is_replaced_and_a_removed_one_is_gone() {
        let (folder, from) = (tempfile::tempdir().unwrap(), directory("a"));
        let (shared, hash) = (SharedFolder::new(folder.path()), "0f".repeat(32));
        shared.put(&hash, from.path()).await.unwrap();
        fs::write(folder.path().join("datasets").join(&hash).join(FILES[1]), "damaged").unwrap();
        shared.put(&hash, from.path()).await.unwrap();
        assert!(is_copy(&folder.path().join("datasets").join(&hash), from.path(), &Progress::default()).unwrap());
        assert_eq!(shared.lacking(vec!["g".into(), hash.clone()]).await.unwrap(), ["g"]);
        shared.remove(&hash).await.unwrap();
        shared.remove(&hash).await.unwrap();
        assert_eq!(names(folder.path()), [""; 0]);
    }

    #[tokio::test]
    async fn a_leftover_that_cannot_be_removed_keeps_no_dataset_out() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("datasets")).unwrap();
        // Old, and no directory.
        let leftover = fs::File::create(folder.path().join("datasets/.unfinished-x")).unwrap();
        leftover.set_modified(std::time::UNIX_EPOCH).unwrap();
        SharedFolder::new(folder.path()).put("h", directory("a").path()).await.unwrap();
        assert!(names(folder.path()).contains(&"h".to_owned()));
    }

    #[tokio::test]
    async fn a_folder_that_cannot_be_written_says_why() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("datasets"), "a file").unwrap();
        let error = SharedFolder::new(folder.path()).put("h", directory("a").path()).await.unwrap_err().to_string();
        assert!(error.contains("datasets: ") && error.contains(folder.path().to_str().unwrap()), "{error}");
    }

    #[tokio::test]
    async fn an_access_that_does_not_move_is_given_up() {
        let shared = SharedFolder { stall_max: Duration::from_millis(10), ..SharedFolder::new(Path::new("/nowhere")) };
        let (stuck, until) = std::sync::mpsc::channel::<()>();
        let error = shared.access(move |_| Ok(until.recv().is_ok())).await.unwrap_err().to_string();
        assert!(error.contains("nothing moved for 10ms"), "{error}");
        drop(stuck);
    }
}
