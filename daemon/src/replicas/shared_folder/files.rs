//! Files in the shared folder: read, written beside their place and moved there, taken away in one step.

use std::fs::{self, File, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, SystemTime};

use tempfile::TempDir;

use super::Progress;
use crate::replicas::receiving::{CHUNK_BYTES_MAX, Receiving, SourceError};
use crate::store::FILES;

/// Prefix of directories that are being written or deleted.
const UNFINISHED: &str = ".unfinished-";
/// Unfinished directories older than this were left by a crash.
const UNFINISHED_AGE_MAX: Duration = Duration::from_secs(24 * 3600);

/// Hands a dataset's files over to what receives them.
pub(super) fn read_files(place: &Path, mut receiving: Receiving, progress: &Progress) -> Result<u64, SourceError> {
    let broken = |error: io::Error| SourceError::Broken(error.to_string());
    if !place.try_exists().map_err(broken)? {
        return Err(SourceError::Absent);
    }
    let mut chunk = vec![0; CHUNK_BYTES_MAX];
    for name in FILES {
        let damaged = |error: io::Error| match error.kind() {
            io::ErrorKind::NotFound => SourceError::Damaged(format!("{name} is missing")),
            _ => broken(error),
        };
        let mut file = File::open(place.join(name)).map_err(damaged)?;
        let size = file.metadata().map_err(broken)?.len();
        let mut offset = 0;
        while offset < size {
            let read = file.read(&mut chunk).map_err(broken)?;
            receiving.write(name, offset, size, &chunk[..read])?;
            offset += read as u64;
            progress.step().map_err(broken)?;
        }
    }
    receiving.finish()
}

/// Copies a dataset's files to their place, unless they are there; other daemons may do the same.
pub(super) fn put(datasets: &Path, hash: &str, from: &Path, progress: &Progress) -> io::Result<()> {
    let place = datasets.join(hash);
    if is_copy(&place, from, progress)? {
        return Ok(());
    }
    fs::create_dir_all(datasets)?;
    remove_leftovers(datasets)?;
    let unfinished = unfinished(datasets)?;
    let mut chunk = vec![0; CHUNK_BYTES_MAX];
    for name in FILES {
        let mut source = File::open(from.join(name))?;
        let mut copy = File::create(unfinished.path().join(name))?;
        loop {
            let read = source.read(&mut chunk)?;
            if read == 0 {
                break;
            }
            copy.write_all(&chunk[..read])?;
            progress.step()?;
        }
        copy.sync_all()?;
    }
    flush_entries(unfinished.path())?;
    if fs::rename(unfinished.path(), &place).is_err() {
        // Another daemon came first, or a damaged copy is there.
        if is_copy(&place, from, progress)? {
            return Ok(());
        }
        if place.try_exists()? {
            remove(datasets, &place)?;
        }
        fs::rename(unfinished.path(), &place)?;
    }
    flush_entries(datasets)
}

/// Makes a directory's entries survive a crash, where the file system can.
fn flush_entries(directory: &Path) -> io::Result<()> {
    match File::open(directory)?.sync_all() {
        Err(error) if matches!(error.kind(), io::ErrorKind::Unsupported | io::ErrorKind::InvalidInput) => Ok(()),
        flushed => flushed,
    }
}

/// Tells whether a place holds the same files as a directory.
pub(super) fn is_copy(place: &Path, of: &Path, progress: &Progress) -> io::Result<bool> {
    let (mut theirs, mut ours) = (vec![0; CHUNK_BYTES_MAX], vec![0; CHUNK_BYTES_MAX]);
    for name in FILES {
        let mut there = match File::open(place.join(name)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            opened => opened?,
        };
        let mut here = File::open(of.join(name))?;
        let mut left = here.metadata()?.len();
        if there.metadata()?.len() != left {
            return Ok(false);
        }
        while left > 0 {
            let length = usize::try_from(left).unwrap_or(usize::MAX).min(CHUNK_BYTES_MAX);
            there.read_exact(&mut theirs[..length])?;
            here.read_exact(&mut ours[..length])?;
            if theirs[..length] != ours[..length] {
                return Ok(false);
            }
            left -= length as u64;
            progress.step()?;
        }
    }
    Ok(true)
}

/// Takes a dataset away in one step, and then its files.
pub(super) fn remove(datasets: &Path, place: &Path) -> io::Result<()> {
    let aside = unfinished(datasets)?;
    match fs::rename(place, aside.path().join("removed")) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        moved => moved,
    }?;
    aside.close()
}

/// Makes a directory that is deleted when dropped; others of the same group may read what is moved out of it.
fn unfinished(datasets: &Path) -> io::Result<TempDir> {
    tempfile::Builder::new().prefix(UNFINISHED).permissions(Permissions::from_mode(0o755)).tempdir_in(datasets)
}

fn remove_leftovers(datasets: &Path) -> io::Result<()> {
    for entry in fs::read_dir(datasets)? {
        let entry = entry?;
        let is_unfinished = entry.file_name().to_string_lossy().starts_with(UNFINISHED);
        let age = |modified| SystemTime::now().duration_since(modified).unwrap_or_default();
        // An entry that is gone by now was finished by its writer.
        let is_old = entry.metadata().and_then(|entry| entry.modified()).is_ok_and(|at| age(at) > UNFINISHED_AGE_MAX);
        if is_unfinished
            && is_old
            && let Err(error) = fs::remove_dir_all(entry.path())
        {
            // Another daemon may be removing it too, or it may be another user's: no reason to refuse a dataset.
            tracing::debug!(path = %entry.path().display(), %error, "a leftover in the shared folder was not removed");
        }
    }
    Ok(())
}
