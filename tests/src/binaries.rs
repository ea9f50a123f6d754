//! Finding what to start, copying what it is started on, and waiting for what it does.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Longest wait for anything a scenario waits for.
const WAIT_MAX: Duration = Duration::from_secs(60);
/// Pause between two looks.
const POLL_INTERVAL: Duration = Duration::from_millis(10);

/// Returns the path of a binary of this workspace, built in the same profile as the running test.
#[must_use]
pub fn binary(name: &str) -> PathBuf {
    let test = std::env::current_exe().expect("a running test has a path");
    // target/PROFILE/deps/TEST
    let folder = test.parent().and_then(|deps| deps.parent()).expect("tests run from the target folder");
    let path = folder.join(name);
    assert!(path.is_file(), "{} is not built: run `make build` first", path.display());
    path
}

/// Copies a folder with all that is in it to a place where there is nothing.
pub fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a temporary folder is made");
    for entry in fs::read_dir(from).expect("the folder is there") {
        let entry = entry.expect("the folder is read");
        let place = to.join(entry.file_name());
        if entry.file_type().expect("the folder is read").is_dir() {
            copy_folder(&entry.path(), &place);
        } else {
            fs::copy(entry.path(), place).expect("a file is copied");
        }
    }
}

/// Looks again and again until `look` finds something, and panics with `what` when it never does.
pub fn deadline<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(start.elapsed() < WAIT_MAX, "{what}: not within {WAIT_MAX:?}");
        std::thread::sleep(POLL_INTERVAL);
    }
}
