//! The folder a search works in.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::error::SearcherError;

/// A work folder that this process alone uses while the value lives.
#[derive(Debug)]
pub struct WorkDir {
    path: PathBuf,
    /// Holds the lock; the operating system releases it when the process ends, however it ends.
    _lock: File,
}

impl WorkDir {
    /// Creates the folder if need be and locks it.
    ///
    /// # Errors
    /// [`SearcherError::Locked`] when another searcher uses it, [`SearcherError::File`] when it cannot be made.
    pub fn open(path: &Path) -> Result<Self, SearcherError> {
        std::fs::create_dir_all(path).map_err(SearcherError::file(path))?;
        let path = path.canonicalize().map_err(SearcherError::file(path))?;
        let lock_path = path.join("searcher.lock");
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&lock_path)
            .map_err(SearcherError::file(&lock_path))?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { path, _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(SearcherError::Locked { path }),
            Err(TryLockError::Error(source)) => Err(SearcherError::File { path: lock_path, source }),
        }
    }

    /// Returns the folder's absolute path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes a file, replacing it at once or not at all.
    ///
    /// # Errors
    /// [`SearcherError::File`].
    pub fn write(&self, name: &str, content: &str) -> Result<(), SearcherError> {
        replace_file(&self.path, name, content)
    }
}

/// Writes a file of a folder, replacing it at once or not at all.
///
/// # Errors
/// [`SearcherError::File`].
pub fn replace_file(folder: &Path, name: &str, content: &str) -> Result<(), SearcherError> {
    let path = folder.join(name);
    // As readable as any new file, not only to its owner.
    let mut builder = tempfile::Builder::new();
    builder.permissions(std::fs::Permissions::from_mode(0o666));
    let mut file = builder.tempfile_in(folder).map_err(SearcherError::file(&path))?;
    file.write_all(content.as_bytes()).map_err(SearcherError::file(&path))?;
    file.persist(&path).map_err(|error| SearcherError::File { path, source: error.error })?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_serves_one_searcher_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/b");
        let first = WorkDir::open(&path).unwrap();
        assert!(matches!(WorkDir::open(&path), Err(SearcherError::Locked { .. })));
        first.write("x", "1").unwrap();
        drop(first);
        let second = WorkDir::open(&path).unwrap();
        assert_eq!(std::fs::read_to_string(second.path().join("x")).unwrap(), "1");
    }
}
