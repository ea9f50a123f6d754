//! Daemons over one Redis: what was imported through one is served by all, whoever of them is left.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::{Path, PathBuf};

use swift_sampler_client::blocking::Client;
use swift_sampler_client::{Batch, BatchesRequest};
use swift_sampler_tests::dataset::Columns;
use swift_sampler_tests::samplerctl::DrawJob;
use swift_sampler_tests::{RedisServer, Samplerd, deadline};
use tempfile::TempDir;

const JOB: DrawJob<'_> = DrawJob { name: "j", dataset: "d", seed: 1, batch_size: 64, follow: "step" };

/// A registry, and folders for daemons.
struct Site {
    folder: TempDir,
    redis: RedisServer,
}

impl Site {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self { redis: RedisServer::start(&folder.path().join("redis"), &[]), folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn start(&self, name: &str, flags: &[&str]) -> Samplerd {
        Samplerd::start_with(&self.path(name), &[&["--registry", &self.redis.url()], flags].concat())
    }

    /// Imports dataset "d" and opens the job.
    fn import(&self, daemon: &Samplerd) {
        let file = Columns::random(5000, 3).write_csv(self.folder.path(), "features.csv");
        daemon.ctl().one(&["dataset", "import", "d", file.to_str().unwrap()]);
        daemon.ctl().draw(&JOB, 0..1, 0, 1);
    }

    /// The directory of the only dataset in a daemon's folder, or in a shared one.
    fn dataset(&self, name: &str) -> Option<PathBuf> {
        let datasets = fs::read_dir(self.path(name).join("datasets")).ok()?.map(Result::unwrap);
        // Others are being written or removed.
        datasets.map(|entry| entry.path()).find(|path| path.file_name().unwrap().len() == 64)
    }
}

/// Reads a rank's batches up to a step.
fn read(daemon: &Samplerd, to_step: u64, rank: u32, world_size: u32) -> Vec<Batch> {
    let client = Client::connect(daemon.address()).unwrap();
    let request = BatchesRequest { rank, world_size, to_step: Some(to_step), ..BatchesRequest::new("j", 0) };
    client.batches(request).map(Result::unwrap).collect()
}

fn fetched_from(daemon: &Samplerd, source: &str) -> bool {
    daemon.http("/metrics").1.contains(&format!("swiftsampler_dataset_fetches_total{{source=\"{source}\"}} 1"))
}

fn flip_a_bit(path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(path, bytes).unwrap();
}

#[test]
fn a_dataset_outlives_the_daemon_it_was_imported_through() {
    let site = Site::new();
    let (a, b, c) = (site.start("a", &[]), site.start("b", &[]), site.start("c", &[]));
    site.import(&a);
    let expected = read(&a, 300, 0, 1);
    for other in [&b, &c] {
        assert_eq!(read(other, 300, 0, 1), expected);
        assert!(fetched_from(other, "peer"), "{}", other.log());
    }
    drop(a);
    fs::remove_dir_all(site.path("a")).unwrap();
    let d = site.start("d", &[]);
    assert_eq!(read(&d, 300, 0, 1), expected);
    assert!(fetched_from(&d, "peer"), "{}", d.log());
}

#[test]
fn the_shared_folder_is_enough() {
    let site = Site::new();
    let shared = site.path("shared");
    let sharing = ["--shared-dir", shared.to_str().unwrap()];
    let a = site.start("a", &sharing);
    site.import(&a);
    let expected = read(&a, 300, 0, 1);
    drop(a);
    fs::remove_dir_all(site.path("a")).unwrap();
    let b = site.start("b", &sharing);
    assert_eq!(read(&b, 300, 0, 1), expected);
    assert!(fetched_from(&b, "shared_folder"), "{}", b.log());
}

#[test]
fn ranks_that_read_through_different_daemons_switch_at_the_same_step() {
    let site = Site::new();
    let daemons = ["a", "b", "c"].map(|name| site.start(name, &[]));
    site.import(&daemons[0]);
    let version = daemons[1].ctl().put("d", site.folder.path(), r#"{"kind":"column","column":"grad_norm"}"#);
    // Ranks read until they have seen the new version for a while, each through a daemon of its own.
    let ranks: Vec<Vec<Batch>> = std::thread::scope(|scope| {
        let readers = (0..3).zip(&daemons).map(|(rank, daemon)| {
            scope.spawn(move || {
                let client = Client::connect(daemon.address()).unwrap();
                let request = BatchesRequest { rank, world_size: 3, ..BatchesRequest::new("j", 0) };
                let mut batches: Vec<Batch> = Vec::new();
                for batch in client.batches(request).map(Result::unwrap) {
                    let swapped = batches.iter().rev().take(200).filter(|batch| batch.version == version).count();
                    batches.push(batch);
                    if swapped == 200 {
                        break;
                    }
                }
                batches
            })
        });
        let readers: Vec<_> = readers.collect();
        daemons[2].ctl().activate("d", version);
        readers.into_iter().map(|reader| reader.join().unwrap()).collect()
    });
    let steps = ranks.iter().map(Vec::len).min().unwrap();
    let replay = read(&site.start("fresh", &[]), steps as u64, 0, 1);
    assert_eq!((replay[0].version, replay[steps - 1].version), (1, version));
    for (step, whole) in replay.iter().enumerate() {
        let shares: Vec<&Batch> = ranks.iter().map(|rank| &rank[step]).collect();
        assert!(
            shares.iter().all(|share| (share.step, share.version) == (whole.step, whole.version)),
            "at step {step}"
        );
        assert!(shares.iter().flat_map(|share| share.indices.iter()).eq(whole.indices.iter()));
    }
}

#[test]
fn a_damaged_copy_of_another_daemon_is_refused_and_another_source_used() {
    let site = Site::new();
    let (a, b) = (site.start("a", &[]), site.start("b", &[]));
    site.import(&a);
    let expected = read(&b, 300, 0, 1);
    drop(a);
    flip_a_bit(&site.dataset("a").unwrap().join("columns.safetensors"));
    // Daemon a mends its own copy when it comes back, so it comes back where b is not known, and b joins later.
    drop(b);
    let a = site.start("a", &[]);
    let c = site.start("c", &[]);
    deadline("c is told by a that its copy is damaged", || c.log().contains("has a damaged copy").then_some(()));
    assert!(site.dataset("c").is_none(), "nothing damaged is kept");
    let b = site.start("b", &[]);
    assert_eq!(read(&c, 300, 0, 1), expected);
    // And so is a's own.
    assert_eq!(read(&a, 300, 0, 1), expected);
    drop(b);
}

#[test]
fn a_dataset_removed_through_one_daemon_disappears_from_the_others() {
    let site = Site::new();
    let shared = site.path("shared");
    let flags = ["--shared-dir", shared.to_str().unwrap(), "--removal-grace", "0"];
    let (a, b, c) = (site.start("a", &flags), site.start("b", &flags), site.start("c", &flags));
    site.import(&a);
    read(&b, 10, 0, 1);
    read(&c, 10, 0, 1);
    b.ctl().run(&["job", "remove", "j"]).unwrap();
    c.ctl().run(&["dataset", "remove", "d"]).unwrap();
    assert!(site.dataset("c").is_none() && site.dataset("shared").is_none());
    deadline("the others remove their copies", || {
        (site.dataset("a").is_none() && site.dataset("b").is_none()).then_some(())
    });
    drop((a, b, c));
}
