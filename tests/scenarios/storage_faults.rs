//! Every call that changes a daemon's files, in turn, fails or is the daemon's last: what was acknowledged is there
//! afterwards, nothing goes backwards, and a daemon whose disk is well again works on without a restart.
//!
//! `EVERY=1` tries each call, where the tests try one in a few.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(clippy::print_stdout, reason = "what was measured is to be seen with --nocapture")]

#[path = "storage_faults/promises.rs"]
mod promises;

use std::fs;
use std::path::PathBuf;

use swift_sampler_tests::dataset::Columns;
use swift_sampler_tests::faulty_disk::{DiskFault, FaultyDisk};
use swift_sampler_tests::{Samplerd, copy_folder};

use promises::Promises;

/// How a disk fails: why, and whether it stays so or fails once.
const FAULTS: [(DiskFault, bool); 4] =
    [(DiskFault::Full, false), (DiskFault::Full, true), (DiskFault::Broken, false), (DiskFault::Broken, true)];
/// Of so many calls one is tried, unless `EVERY` says otherwise.
const EVERY_DEFAULT: usize = 9;

#[test]
fn a_daemon_killed_at_any_change_of_its_files_keeps_every_promise() {
    let setting = Setting::new();
    let calls = setting.calls_of_a_life();
    let tried = chosen(&calls);
    for &call in &tried {
        let (folder, data_dir) = setting.copy();
        let disk = FaultyDisk::new(&folder.path().join("disk"), &data_dir);
        disk.fail(DiskFault::Kill, call..=call);
        let mut promises = Promises::new("first");
        if let Ok(mut daemon) = Samplerd::try_start(&data_dir, &mut disk.samplerd()) {
            promises.ask(&daemon, &setting.features);
            daemon.kill();
        }
        let context = format!("killed at call {call}, {:?}", disk.calls().last());
        let daemon = Samplerd::start(&data_dir);
        promises.check(&daemon, &context);
        check_nothing_is_left(&daemon, &context);
        Promises::new("then").ask_all(&daemon, &setting.features, &context);
    }
    println!("figure: kill -9 at {} of {} changes of files: 0 promises broken", tried.len(), calls.len());
}

#[test]
fn a_full_or_broken_disk_costs_answers_but_no_promise_and_heals_without_a_restart() {
    let setting = Setting::new();
    let calls = setting.calls_of_a_life();
    let tried = chosen(&calls);
    for (&call, (fault, lasts)) in tried.iter().flat_map(|call| FAULTS.iter().map(move |fault| (call, *fault))) {
        let (folder, data_dir) = setting.copy();
        let disk = FaultyDisk::new(&folder.path().join("disk"), &data_dir);
        disk.fail(fault, call..=if lasts { u64::MAX } else { call });
        let ends = if lasts { " and after" } else { "" };
        let context = format!("{fault:?} at call {call}{ends}: {:?}", calls[usize::try_from(call).unwrap()]);
        let (mut promises, mut then) = (Promises::new("first"), Promises::new("then"));
        let daemon = match Samplerd::try_start(&data_dir, &mut disk.samplerd()) {
            Ok(mut daemon) => {
                promises.ask(&daemon, &setting.features);
                assert!(!daemon.has_ended(), "{context}: the daemon lives; log: {}", daemon.log());
                disk.heal();
                promises.check(&daemon, &context);
                then.ask_all(&daemon, &setting.features, &context);
                daemon.kill_and_restart()
            }
            // It may not be able to start on such a disk, but it says why.
            Err(log) => {
                assert!(log.contains("samplerd: ") && !log.contains("panicked"), "{context}: {log}");
                let daemon = Samplerd::start(&data_dir);
                then.ask_all(&daemon, &setting.features, &context);
                daemon
            }
        };
        promises.check_stored(&daemon, &context);
        then.check(&daemon, &context);
        check_nothing_is_left(&daemon, &context);
    }
    println!(
        "figure: ENOSPC and EIO, once and lasting, at {} of {} changes of files: 0 promises broken",
        tried.len(),
        calls.len()
    );
}

/// A data directory with a dataset, to be copied for every fault.
struct Setting {
    folder: tempfile::TempDir,
    data_dir: PathBuf,
    /// Features of a second dataset.
    features: PathBuf,
}

impl Setting {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let data_dir = folder.path().join("data");
        let first = Columns::random(300, 3).write_csv(folder.path(), "first.csv");
        let features = Columns::random(300, 4).write_csv(folder.path(), "second.csv");
        let mut daemon = Samplerd::start(&data_dir);
        daemon.ctl().one(&["dataset", "import", "d", first.to_str().unwrap()]);
        daemon.terminate();
        assert!(daemon.wait().success());
        Self { folder, data_dir, features }
    }

    fn copy(&self) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir_in(self.folder.path()).unwrap();
        let data_dir = folder.path().join("data");
        copy_folder(&self.data_dir, &data_dir);
        (folder, data_dir)
    }

    /// The changes of files in a life where nothing fails.
    fn calls_of_a_life(&self) -> Vec<String> {
        let (folder, data_dir) = self.copy();
        let disk = FaultyDisk::new(&folder.path().join("disk"), &data_dir);
        let mut daemon = Samplerd::try_start(&data_dir, &mut disk.samplerd()).unwrap();
        Promises::new("first").ask_all(&daemon, &self.features, "nothing fails");
        daemon.terminate();
        assert!(daemon.wait().success());
        let calls = disk.calls();
        for kind in ["write", "fsync", "rename", "create", "unlink"] {
            assert!(calls.iter().any(|call| call.starts_with(kind)), "the disk sees {kind}: {calls:?}");
        }
        calls
    }
}

fn chosen(calls: &[String]) -> Vec<u64> {
    let every = std::env::var("EVERY").map_or(EVERY_DEFAULT, |every| every.parse().unwrap());
    (0..calls.len() as u64).step_by(every).collect()
}

/// What a fault left half done is gone once a daemon serves, and is not mistaken for data.
fn check_nothing_is_left(daemon: &Samplerd, context: &str) {
    let unfinished = daemon.data_dir().join("unfinished");
    let left: Vec<_> =
        fs::read_dir(&unfinished).map_or_else(|_| Vec::new(), |entries| entries.map(|it| it.unwrap().path()).collect());
    assert!(left.is_empty(), "{context}: left in {}: {left:?}", unfinished.display());
}
