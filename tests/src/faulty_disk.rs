//! A disk on which the calls that are chosen fail: the library of `tests/faulty-disk`, preloaded into a daemon.

use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::binary;

/// What becomes of the chosen calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DiskFault {
    /// They fail because the disk is full.
    Full,
    /// They fail because the disk is broken.
    Broken,
    /// The process ends there, with half of a write done.
    Kill,
}

/// A faulty disk under a daemon's data directory.
#[derive(Debug)]
pub struct FaultyDisk {
    data_dir: PathBuf,
    log: PathBuf,
    fault: PathBuf,
}

impl FaultyDisk {
    /// Prepares a disk on which nothing fails so far. `folder` is not on it: the disk's own log is kept there.
    #[must_use]
    pub fn new(folder: &Path, data_dir: &Path) -> Self {
        std::fs::create_dir_all(folder).expect("a temporary folder is made");
        let disk = Self { data_dir: data_dir.to_owned(), log: folder.join("calls.log"), fault: folder.join("fault") };
        disk.heal();
        disk
    }

    /// Lets the calls of these numbers fail from now on; 0 is the daemon's first.
    pub fn fail(&self, fault: DiskFault, calls: RangeInclusive<u64>) {
        let kind = match fault {
            DiskFault::Full => "ENOSPC",
            DiskFault::Broken => "EIO",
            DiskFault::Kill => "KILL",
        };
        self.describe(&format!("{kind} {} {}", calls.start(), calls.end()));
    }

    /// Lets no call fail from now on.
    pub fn heal(&self) {
        self.describe("");
    }

    /// Returns a command that starts `samplerd` on this disk.
    #[must_use]
    pub fn samplerd(&self) -> Command {
        let mut command = Command::new(binary("samplerd"));
        command.args(["--listen", "127.0.0.1:0", "--http", "127.0.0.1:0"]);
        command.env("LD_PRELOAD", binary("libfaulty_disk.so"));
        command.env("FAULTY_DISK_DIR", &self.data_dir);
        command.env("FAULTY_DISK_LOG", &self.log).env("FAULTY_DISK_FAULT", &self.fault);
        command
    }

    /// Returns the calls so far, a kind and a path in the data directory each.
    #[must_use]
    pub fn calls(&self) -> Vec<String> {
        let log = std::fs::read_to_string(&self.log).unwrap_or_default();
        log.lines().map(str::to_owned).collect()
    }

    fn describe(&self, fault: &str) {
        // Renamed into place: the daemon reads it at any time.
        let part = self.fault.with_extension("part");
        std::fs::write(&part, fault).expect("a temporary file is written");
        std::fs::rename(&part, &self.fault).expect("a temporary file is renamed");
    }
}
