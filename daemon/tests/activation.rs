//! A sampler is swapped under running streams.

use std::time::Duration;

use swift_sampler_proto::v1;
use swift_sampler_proto::v1::follow_policy::Policy;

use crate::harness::{Batch, DEADLINE, SWIFT, Server, job, server_with_dataset, steps, unpack};

/// Reads a rank's batches until so many follow `version`.
async fn read_until(server: &Server, request: v1::StreamBatchesRequest, version: u64) -> Vec<Batch> {
    let mut blocks = server.sampling().stream_batches(request).await.unwrap().into_inner();
    let mut batches: Vec<Batch> = Vec::new();
    while batches.iter().filter(|batch| batch.version == version).count() < 100 {
        batches.extend(unpack(&blocks.message().await.unwrap().unwrap()));
    }
    batches
}

#[tokio::test]
async fn ranks_switch_at_the_same_step_under_load() {
    let directory = tempfile::tempdir().unwrap();
    let server = server_with_dataset(directory.path(), 1000).await;
    server.open_job(job("j", 64)).await.unwrap();
    let last = 6;
    let endless = |rank| v1::StreamBatchesRequest { rank, world_size: 2, to_step: None, ..steps("j", 0, 0) };
    let swaps = async {
        for version in 2..=last {
            assert_eq!(server.put("d", SWIFT).await.unwrap().version, version);
            server.activate("d", version).await.unwrap();
        }
    };
    let ranks =
        async { tokio::join!(read_until(&server, endless(0), last), read_until(&server, endless(1), last), swaps) };
    let (first, second, ()) = tokio::time::timeout(DEADLINE, ranks).await.unwrap();
    for (step, (first, second)) in first.iter().zip(&second).enumerate() {
        assert_eq!((first.step, second.step), (step as u64, step as u64), "no batch is lost or repeated");
        assert_eq!(first.version, second.version, "at step {step}");
    }
    let replay = server.stream(v1::StreamBatchesRequest { world_size: 2, ..steps("j", 0, 100) }).await.unwrap();
    assert_eq!(replay, first[..100]);
    server.stopped().await;
}

#[tokio::test]
async fn an_activation_is_taken_up_at_the_horizon() {
    let directory = tempfile::tempdir().unwrap();
    let server = server_with_dataset(directory.path(), 1000).await;
    server.open_job(job("j", 8)).await.unwrap();
    server.stream(steps("j", 0, 10)).await.unwrap();
    let get_job = v1::GetJobRequest { name: "j".into() };
    let horizon = server.control().get_job(get_job.clone()).await.unwrap().into_inner().horizon;
    server.put("d", SWIFT).await.unwrap();
    server.activate("d", 2).await.unwrap();
    for batch in server.stream(steps("j", 0, horizon + 5)).await.unwrap() {
        assert_eq!(batch.version, if batch.step < horizon { 1 } else { 2 }, "at step {}", batch.step);
    }
    let log = server.control().get_job(get_job).await.unwrap().into_inner().log;
    let expected = [(0, 1), (horizon, 2)].map(|(from_step, version)| v1::VersionChange {
        from_step,
        version,
        features_revision: 1,
    });
    assert_eq!(log, expected);
    server.stopped().await;
}

#[tokio::test]
async fn a_job_that_follows_epochs_switches_where_one_starts() {
    let directory = tempfile::tempdir().unwrap();
    let server = server_with_dataset(directory.path(), 1000).await;
    let follow = Some(v1::FollowPolicy { policy: Some(Policy::Epoch(true)) });
    server.open_job(v1::OpenJobRequest { follow, ..job("j", 30) }).await.unwrap();
    server.stream(steps("j", 0, 10)).await.unwrap();
    server.put("d", SWIFT).await.unwrap();
    server.activate("d", 2).await.unwrap();
    for batch in server.stream(steps("j", 0, 100)).await.unwrap() {
        assert_eq!(batch.version, if batch.epoch == 0 { 1 } else { 2 }, "at step {}", batch.step);
    }
    server.stopped().await;
}

#[tokio::test]
async fn a_pinned_job_keeps_its_version() {
    let directory = tempfile::tempdir().unwrap();
    let server = server_with_dataset(directory.path(), 1000).await;
    server.put("d", SWIFT).await.unwrap();
    let follow = Some(v1::FollowPolicy { policy: Some(Policy::Pinned(2)) });
    server.open_job(v1::OpenJobRequest { follow, ..job("j", 30) }).await.unwrap();
    let batches = server.stream(steps("j", 1_000_000, 1_000_010)).await.unwrap();
    assert!(batches.iter().all(|batch| batch.version == 2));
    server.stopped().await;
}

#[tokio::test]
async fn little_is_frozen_ahead_of_a_reader_that_stalls() {
    let directory = tempfile::tempdir().unwrap();
    let server = server_with_dataset(directory.path(), 1000).await;
    server.open_job(job("j", 256)).await.unwrap();
    let endless = v1::StreamBatchesRequest { to_step: None, ..steps("j", 0, 0) };
    let mut blocks = server.sampling().stream_batches(endless).await.unwrap().into_inner();
    blocks.message().await.unwrap().unwrap();
    // The daemon goes on until buffers are full: then its counter stands still.
    let mut served = Vec::new();
    let full = async {
        let mut ticks = tokio::time::interval(Duration::from_millis(10));
        while served.len() < 30 || served[served.len() - 30] != served[served.len() - 1] {
            ticks.tick().await;
            let stats = server.control().get_stats(v1::GetStatsRequest {}).await.unwrap().into_inner();
            served.push(stats.batches_served);
        }
    };
    tokio::time::timeout(DEADLINE, full).await.unwrap();
    let horizon = server.control().get_job(v1::GetJobRequest { name: "j".into() }).await.unwrap().into_inner().horizon;
    assert!(horizon <= 256, "the horizon is {horizon} when the reader has one batch");
    drop(blocks);
    server.stopped().await;
}
