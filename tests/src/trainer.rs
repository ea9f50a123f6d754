//! A training process of a scenario's own.

use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::Duration;

use crate::{binary, progress};

/// One rank of a job: a process that may be killed and started again, and its progress file, which stays.
#[derive(Debug)]
pub struct Trainer {
    addresses: String,
    job: String,
    progress: PathBuf,
    rank: u32,
    world_size: u32,
    process: Option<Child>,
}

impl Trainer {
    /// Describes a rank, whose process is not started yet.
    #[must_use]
    pub fn new(addresses: &str, job: &str, folder: &Path, rank: u32, world_size: u32) -> Self {
        let progress = folder.join(format!("{job}-{rank}.progress"));
        Self { addresses: addresses.into(), job: job.into(), progress, rank, world_size, process: None }
    }

    /// Starts the process, in place of the one there is.
    pub fn start(&mut self, step_time: Duration) {
        self.kill();
        let (rank, world_size) = (self.rank.to_string(), self.world_size.to_string());
        let child = Command::new(binary("trainer"))
            .args([&self.addresses, &self.job])
            .arg(&self.progress)
            .args([rank, world_size, step_time.as_micros().to_string()])
            .spawn()
            .expect("the trainer starts");
        self.process = Some(child);
    }

    /// Kills the process as `kill -9` does.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            let ended = process.try_wait().expect("the child is ours");
            assert!(ended.is_none(), "rank {} ended by itself: {ended:?}", self.rank);
            process.kill().expect("a running child can be killed");
            process.wait().expect("a killed child ends");
        }
    }

    /// Tells whether it has a process.
    #[must_use]
    pub fn runs(&self) -> bool {
        self.process.is_some()
    }

    /// Returns its rank.
    #[must_use]
    pub fn rank(&self) -> u32 {
        self.rank
    }

    /// Returns how many steps it has trained.
    #[must_use]
    pub fn steps(&self) -> u64 {
        progress::count(&self.progress)
    }

    /// Returns what it has trained on.
    #[must_use]
    pub fn trained(&self) -> Vec<progress::Trained> {
        progress::read(&self.progress)
    }
}

impl Drop for Trainer {
    fn drop(&mut self) {
        if let Some(mut process) = self.process.take() {
            // It may have ended already; either way it is gone afterwards.
            process.kill().ok();
            process.wait().ok();
        }
    }
}
