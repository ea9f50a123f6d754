//! Several daemons over one registry: what one imported all serve, to the bit.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use swift_sampler_daemon::registry::{Backend, Change, Expected, Write};
use swift_sampler_proto::v1;
use tempfile::TempDir;
use tonic::Code;

use crate::harness::{Batch, DEADLINE, SWIFT, Server, SharedRegistry, columns, csv, job, steps};

/// Pause between two looks.
const POLL_INTERVAL: Duration = Duration::from_millis(10);
/// Removed datasets are not kept.
const NO_GRACE: [&str; 2] = ["--removal-grace", "0"];

/// A registry, and folders for daemons.
struct Site {
    folder: TempDir,
    registry: Arc<SharedRegistry>,
}

impl Site {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self { registry: SharedRegistry::open(folder.path()), folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    async fn start(&self, name: &str) -> Server {
        self.start_with(name, &[]).await
    }

    async fn start_with(&self, name: &str, flags: &[&str]) -> Server {
        Server::start_over(&self.registry, &self.path(name), flags).await
    }

    /// Starts a daemon that uses the folder "shared".
    async fn start_sharing(&self, name: &str) -> Server {
        let shared = self.path("shared");
        self.start_with(name, &[&["--shared-dir", shared.to_str().unwrap()], &NO_GRACE[..]].concat()).await
    }

    /// The file of the only dataset in a daemon's folder, or in the shared one.
    fn stored(&self, name: &str, file: &str) -> PathBuf {
        self.datasets(name).pop().unwrap().join(file)
    }

    fn holds_a_dataset(&self, name: &str) -> bool {
        !self.datasets(name).is_empty()
    }

    /// The directories of datasets; not those that are being written or removed.
    fn datasets(&self, name: &str) -> Vec<PathBuf> {
        let Ok(datasets) = std::fs::read_dir(self.path(name).join("datasets")) else { return Vec::new() };
        let entries = datasets.map(|entry| entry.unwrap());
        entries.filter(|entry| entry.file_name().len() == 64).map(|entry| entry.path()).collect()
    }
}

async fn import(server: &Server) -> v1::Dataset {
    server.import("d", &[], &[("d.csv", csv(&columns(1000)))]).await.unwrap()
}

async fn eventually(what: &str, mut look: impl AsyncFnMut() -> bool) {
    let found = async {
        while !look().await {
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    };
    tokio::time::timeout(DEADLINE, found).await.unwrap_or_else(|_| panic!("{what}: not within {DEADLINE:?}"));
}

async fn shows(server: &Server, metric: &str) -> bool {
    let (_, metrics) = server.get("/metrics").await;
    metrics.lines().any(|line| line == format!("swiftsampler_{metric}"))
}

async fn is_up(server: &Server) {
    eventually("the dataset is here", async || shows(server, "dataset_up{dataset=\"d\"} 1").await).await;
}

fn damage(path: &Path) {
    let mut bytes = std::fs::read(path).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    // Another file under the name: the daemon may have this one mapped.
    std::fs::remove_file(path).unwrap();
    std::fs::write(path, bytes).unwrap();
}

async fn read(server: &Server) -> Vec<Batch> {
    server.stream(steps("j", 0, 50)).await.unwrap()
}

#[tokio::test]
async fn a_dataset_is_fetched_before_it_is_asked_for_and_served_to_the_bit() {
    let site = Site::new();
    let (a, b, c) = (site.start("a").await, site.start("b").await, site.start("c").await);
    import(&a).await;
    a.open_job(job("j", 16)).await.unwrap();
    let expected = read(&a).await;
    for other in [&b, &c] {
        is_up(other).await;
        assert!(shows(other, "dataset_fetches_total{source=\"peer\"} 1").await);
        assert_eq!(read(other).await, expected);
    }
    for server in [a, b, c] {
        server.stopped().await;
    }
}

#[tokio::test]
async fn a_call_that_needs_a_dataset_waits_until_it_is_fetched() {
    let site = Site::new();
    let a = site.start("a").await;
    import(&a).await;
    a.open_job(job("j", 16)).await.unwrap();
    let expected = read(&a).await;
    // A daemon that has only just started has fetched nothing yet.
    let b = site.start("b").await;
    assert_eq!(read(&b).await, expected);
    let c = site.start("c").await;
    assert_eq!(c.put("d", SWIFT).await.unwrap().version, 2);
    assert_eq!(c.activate("d", 2).await.unwrap().version, 2);
    for server in [a, b, c] {
        server.stopped().await;
    }
}

#[tokio::test]
async fn three_daemons_read_in_turn_with_a_swap_between_are_one() {
    let site = Site::new();
    let (a, b, c) = (site.start("a").await, site.start("b").await, site.start("c").await);
    import(&a).await;
    a.open_job(job("j", 17)).await.unwrap();
    let servers = [&a, &b, &c];
    let mut read: Vec<Batch> = Vec::new();
    for turn in 0..30 {
        if turn == 10 {
            c.put("d", SWIFT).await.unwrap();
            b.activate("d", 2).await.unwrap();
        }
        let mut ranks = Vec::new();
        for (rank, server) in (0..).zip(servers) {
            let share = v1::StreamBatchesRequest { rank, world_size: 3, ..steps("j", turn * 20, (turn + 1) * 20) };
            ranks.push(server.stream(share).await.unwrap());
        }
        for step in 0..20 {
            let shares = ranks.iter().map(|rank| &rank[step]);
            read.push(shares.cloned().reduce(joined).unwrap());
        }
    }
    assert_eq!((read[0].version, read[599].version), (1, 2));
    let fresh = site.start("fresh").await;
    assert_eq!(fresh.stream(steps("j", 0, 600)).await.unwrap(), read);
    for server in [a, b, c, fresh] {
        server.stopped().await;
    }
}

/// Two shares of one global batch.
fn joined(mut first: Batch, second: Batch) -> Batch {
    assert_eq!((first.step, first.version, first.epoch), (second.step, second.version, second.epoch));
    first.indices.extend(second.indices);
    first.probabilities.extend(second.probabilities);
    first
}

#[tokio::test]
async fn the_shared_folder_gives_what_no_daemon_is_left_to_give() {
    let site = Site::new();
    let a = site.start_sharing("a").await;
    import(&a).await;
    a.open_job(job("j", 16)).await.unwrap();
    let expected = read(&a).await;
    a.stopped().await;
    std::fs::remove_dir_all(site.path("a")).unwrap();
    let b = site.start_sharing("b").await;
    assert_eq!(read(&b).await, expected);
    assert!(shows(&b, "dataset_fetches_total{source=\"shared_folder\"} 1").await);
    b.stopped().await;
}

#[tokio::test]
async fn a_damaged_copy_is_refused_and_another_source_used() {
    let site = Site::new();
    let a = site.start_sharing("a").await;
    import(&a).await;
    a.open_job(job("j", 16)).await.unwrap();
    let expected = read(&a).await;
    damage(&site.stored("shared", "columns.safetensors"));
    let b = site.start_sharing("b").await;
    assert_eq!(read(&b).await, expected);
    assert!(shows(&b, "dataset_fetch_failures_total{source=\"shared_folder\"} 1").await);
    assert!(shows(&b, "dataset_fetches_total{source=\"peer\"} 1").await);
    // The folder is mended with what was fetched.
    let (whole, mended) = (site.stored("b", "columns.safetensors"), site.stored("shared", "columns.safetensors"));
    let whole = std::fs::read(whole).unwrap();
    eventually("the folder is mended", async || std::fs::read(&mended).is_ok_and(|bytes| bytes == whole)).await;
    b.stopped().await;
    a.stopped().await;
    let c = site.start_sharing("c").await;
    assert_eq!(read(&c).await, expected);
    assert!(shows(&c, "dataset_fetches_total{source=\"shared_folder\"} 1").await);
    c.stopped().await;
}

#[tokio::test]
async fn what_arrives_damaged_from_another_daemon_is_not_kept() {
    let site = Site::new();
    let a = site.start("a").await;
    import(&a).await;
    a.open_job(job("j", 16)).await.unwrap();
    // The daemon has the whole file mapped, and sends the damaged one.
    read(&a).await;
    damage(&site.stored("a", "cells.safetensors"));
    let b = site.start("b").await;
    let status = b.stream(steps("j", 0, 1)).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    let expected = format!("the daemon at {}: has a damaged copy: cells.safetensors", a.grpc);
    assert!(status.message().contains(&expected), "{}", status.message());
    assert!(!site.holds_a_dataset("b"));
    assert!(shows(&b, "dataset_up{dataset=\"d\"} 0").await);
    b.stopped().await;
    a.stopped().await;
}

#[tokio::test]
async fn a_damaged_dataset_is_fetched_again() {
    let site = Site::new();
    let (a, b) = (site.start("a").await, site.start("b").await);
    import(&a).await;
    a.open_job(job("j", 16)).await.unwrap();
    let expected = read(&a).await;
    is_up(&b).await;
    b.stopped().await;
    damage(&site.stored("b", "columns.safetensors"));
    let b = site.start("b").await;
    assert_eq!(read(&b).await, expected);
    b.stopped().await;
    a.stopped().await;
}

#[tokio::test]
async fn a_dataset_that_is_nowhere_is_named_until_a_daemon_that_has_it_comes() {
    let site = Site::new();
    let a = site.start("a").await;
    let dataset = import(&a).await;
    a.open_job(job("j", 16)).await.unwrap();
    let expected = read(&a).await;
    a.stopped().await;
    let b = site.start("b").await;
    let status = b.stream(steps("j", 0, 1)).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    assert!(status.message().contains(&dataset.hash), "{}", status.message());
    let a = site.start("a").await;
    eventually("the dataset is fetched", async || b.stream(steps("j", 0, 1)).await.is_ok()).await;
    assert_eq!(read(&b).await, expected);
    b.stopped().await;
    a.stopped().await;
}

#[tokio::test]
async fn a_dataset_removed_through_one_daemon_disappears_from_the_others() {
    let site = Site::new();
    let (a, b) = (site.start_sharing("a").await, site.start_sharing("b").await);
    import(&a).await;
    is_up(&b).await;
    assert!(site.holds_a_dataset("b") && site.holds_a_dataset("shared"));
    a.control().remove_dataset(v1::RemoveDatasetRequest { name: "d".into() }).await.unwrap();
    assert!(!site.holds_a_dataset("a") && !site.holds_a_dataset("shared"));
    eventually("the other daemon removes its copy", async || !site.holds_a_dataset("b")).await;
    // It can be imported again, by any.
    import(&b).await;
    is_up(&a).await;
    b.stopped().await;
    a.stopped().await;
}

#[tokio::test]
async fn a_removed_dataset_is_kept_for_a_while_and_not_removed_if_imported_again() {
    let site = Site::new();
    let (a, b) = (site.start("a").await, site.start_with("b", &["--removal-grace", "1"]).await);
    import(&a).await;
    is_up(&b).await;
    let fetched = std::fs::metadata(site.stored("b", "manifest.json")).unwrap().modified().unwrap();
    a.control().remove_dataset(v1::RemoveDatasetRequest { name: "d".into() }).await.unwrap();
    assert!(site.holds_a_dataset("b"));
    import(&a).await;
    // Another dataset comes and goes, so that the grace is over for whatever was to be removed.
    let other = csv(&columns(10));
    a.import("other", &[], &[("o.csv", other)]).await.unwrap();
    eventually("b has both", async || shows(&b, "dataset_up{dataset=\"other\"} 1").await).await;
    a.control().remove_dataset(v1::RemoveDatasetRequest { name: "other".into() }).await.unwrap();
    eventually("b removes the other", async || site.datasets("b").len() == 1).await;
    assert_eq!(std::fs::metadata(site.stored("b", "manifest.json")).unwrap().modified().unwrap(), fetched);
    b.stopped().await;
    a.stopped().await;
}

#[tokio::test]
async fn nothing_is_removed_because_a_registry_was_lost() {
    let site = Site::new();
    let (a, b) = (site.start("a").await, site.start_with("b", &NO_GRACE).await);
    import(&a).await;
    a.import("other", &[], &[("o.csv", csv(&columns(10)))]).await.unwrap();
    is_up(&b).await;
    eventually("b has both", async || shows(&b, "dataset_up{dataset=\"other\"} 1").await).await;
    // A removal that is one, so that it is known when b has looked at the registry.
    a.control().remove_dataset(v1::RemoveDatasetRequest { name: "other".into() }).await.unwrap();
    let lost = site.registry.list("").unwrap().into_iter().filter(|(key, _)| !key.starts_with("removed/"));
    let lost: Vec<Write> = lost
        .map(|(key, stored)| Write { key, expected: Expected::Revision(stored.revision), change: Change::Delete })
        .collect();
    site.registry.commit(&lost).unwrap();
    eventually("b removes what was removed", async || site.datasets("b").len() == 1).await;
    for server in [a, b] {
        server.stopped().await;
    }
    assert!(site.holds_a_dataset("a") && site.holds_a_dataset("b"));
}

#[tokio::test]
async fn an_import_that_cannot_be_shared_is_refused_and_leaves_nothing() {
    let site = Site::new();
    std::fs::write(site.path("shared"), "a file").unwrap();
    let a = site.start_sharing("a").await;
    let status = a.import("d", &[], &[("d.csv", csv(&columns(10)))]).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    assert!(status.message().contains("shared folder"), "{}", status.message());
    assert!(!site.holds_a_dataset("a"));
    let listed = a.control().list_datasets(v1::ListDatasetsRequest {}).await.unwrap().into_inner();
    assert_eq!(listed.datasets, []);
    a.stopped().await;
}

#[tokio::test]
async fn an_import_whose_acknowledgement_was_lost_keeps_what_it_stored() {
    let site = Site::new();
    let a = site.start_sharing("a").await;
    site.registry.answers_are_lost.store(true, Ordering::SeqCst);
    let status = a.import("d", &[], &[("d.csv", csv(&columns(1000)))]).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    site.registry.answers_are_lost.store(false, Ordering::SeqCst);
    assert!(site.holds_a_dataset("a") && site.holds_a_dataset("shared"));
    a.open_job(job("j", 16)).await.unwrap();
    assert_eq!(read(&a).await.len(), 50);
    a.stopped().await;
}

#[tokio::test]
async fn what_was_imported_before_there_was_a_shared_folder_is_copied_there() {
    let site = Site::new();
    let a = site.start("a").await;
    import(&a).await;
    a.stopped().await;
    let a = site.start_sharing("a").await;
    eventually("the folder has the dataset", async || site.holds_a_dataset("shared")).await;
    a.stopped().await;
}

#[tokio::test]
async fn a_dataset_that_cannot_be_written_says_why_until_it_can() {
    let site = Site::new();
    let (a, b) = (site.start("a").await, site.start("b").await);
    let unfinished = site.path("b/unfinished");
    std::fs::remove_dir_all(&unfinished).unwrap();
    std::fs::write(&unfinished, "a file").unwrap();
    import(&a).await;
    a.open_job(job("j", 16)).await.unwrap();
    let status = b.stream(steps("j", 0, 1)).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    let expected = format!("cannot be stored: {}", unfinished.display());
    assert!(status.message().contains(&expected), "{}", status.message());
    std::fs::remove_file(&unfinished).unwrap();
    std::fs::create_dir(&unfinished).unwrap();
    is_up(&b).await;
    b.stopped().await;
    a.stopped().await;
}

#[tokio::test]
async fn a_daemon_sends_what_it_holds_whole_and_nothing_else() {
    let site = Site::new();
    let a = site.start("a").await;
    let hash = import(&a).await.hash;
    let fetch = |hash: &str| v1::FetchDatasetRequest { hash: hash.to_owned() };
    let mut chunks = a.replicas().fetch_dataset(fetch(&hash)).await.unwrap().into_inner();
    let mut files: Vec<(String, Vec<u8>)> = Vec::new();
    while let Some(chunk) = chunks.message().await.unwrap() {
        if files.last().is_none_or(|(file, _)| *file != chunk.file) {
            files.push((chunk.file.clone(), Vec::new()));
        }
        let bytes = &mut files.last_mut().unwrap().1;
        assert_eq!(chunk.offset, bytes.len() as u64);
        bytes.extend_from_slice(&chunk.data);
        assert!(bytes.len() as u64 <= chunk.size && chunk.data.len() <= 1 << 20);
    }
    let names: Vec<_> = files.iter().map(|(file, _)| file.as_str()).collect();
    assert_eq!(names, ["manifest.json", "columns.safetensors", "cells.safetensors"]);
    for (file, bytes) in &files {
        assert_eq!(*bytes, std::fs::read(site.stored("a", file)).unwrap(), "{file}");
    }
    for (hash, code) in [
        ("../../registry.sqlite", Code::InvalidArgument),
        (&hash[1..], Code::InvalidArgument),
        (&"0".repeat(64), Code::NotFound),
    ] {
        assert_eq!(a.replicas().fetch_dataset(fetch(hash)).await.unwrap_err().code(), code, "{hash}");
    }
    a.stopped().await;
    damage(&site.stored("a", "columns.safetensors"));
    let a = site.start("a").await;
    assert_eq!(a.replicas().fetch_dataset(fetch(&hash)).await.unwrap_err().code(), Code::DataLoss);
    a.stopped().await;
}
