//! What one daemon imported all of its registry serve, to the bit.

use swift_sampler_proto::v1;
use tonic::Code;

use crate::harness::{Batch, SWIFT, job, steps};
use crate::site::{Site, damage, eventually, import, is_up, read, shows};

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
