//! Where files lie that are read once and again.

use std::path::Path;

use tempfile::{NamedTempFile, TempDir};

/// A file system in memory, where there is one: what is flushed there waits for no disk.
const IN_MEMORY: &str = "/dev/shm";

/// Makes a folder that is deleted when dropped.
pub(crate) fn folder() -> TempDir {
    let made = if has_memory() { TempDir::new_in(IN_MEMORY) } else { TempDir::new() };
    made.expect("the system has a folder for temporary files")
}

/// Makes a file that is deleted when dropped.
pub(crate) fn file() -> NamedTempFile {
    let made = if has_memory() { NamedTempFile::new_in(IN_MEMORY) } else { NamedTempFile::new() };
    made.expect("the system has a folder for temporary files")
}

fn has_memory() -> bool {
    Path::new(IN_MEMORY).is_dir()
}
