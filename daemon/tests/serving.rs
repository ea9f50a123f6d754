//! Batches over the wire are the engine's draws.

use swift_sampler::job::Shard;
use swift_sampler::{Dataset, FeatureTable, Sampler, SamplerSpec, Seed};
use swift_sampler_proto::v1;
use tonic::Code;

use crate::harness::{Batch, DEADLINE, SWIFT, Server, columns, job, server_with_dataset, steps, unpack};

const ROWS: u32 = 1000;

/// The draws of a step, computed without the daemon.
fn direct(sampler: &Sampler, batch_size: u32, shard: Shard, step: u64) -> (Vec<u32>, Vec<f32>) {
    let first = step * u64::from(batch_size);
    let slice = shard.slice(batch_size);
    let draws = first + u64::from(slice.start)..first + u64::from(slice.end);
    let (mut indices, mut probabilities) = (vec![0; slice.len()], vec![0.0; slice.len()]);
    sampler.draw_into(Seed(7), draws, &mut indices, &mut probabilities);
    (indices, probabilities)
}

fn swift_sampler() -> Sampler {
    let table = FeatureTable::new(columns(ROWS)).unwrap();
    let features = vec!["loss".into(), "entropy".into()];
    let dataset = Dataset::new(table, features, Some("grad_norm".into())).unwrap();
    let spec: SamplerSpec = serde_json::from_str(SWIFT).unwrap();
    Sampler::build(&spec, &dataset).unwrap()
}

#[tokio::test]
async fn a_stream_equals_unary_answers_and_direct_draws() {
    let directory = tempfile::tempdir().unwrap();
    let server = server_with_dataset(directory.path(), ROWS).await;
    let version = server.put("d", SWIFT).await.unwrap().version;
    server.activate("d", version).await.unwrap();
    server.open_job(job("j", 50)).await.unwrap();
    let sampler = swift_sampler();
    for (rank, world_size) in [(0, 1), (0, 3), (1, 3), (2, 3), (5, 7)] {
        let shard = Shard::new(rank, world_size).unwrap();
        let request = v1::StreamBatchesRequest { rank, world_size, ..steps("j", 3, 300) };
        let streamed = server.stream(request).await.unwrap();
        assert_eq!(streamed.iter().map(|batch| batch.step).collect::<Vec<_>>(), (3..300).collect::<Vec<_>>());
        let request =
            v1::GetBatchesRequest { job: "j".into(), from_step: 3, steps: 297, rank, world_size, ..Default::default() };
        let unary = server.sampling().get_batches(request).await.unwrap().into_inner();
        assert_eq!(unpack(&unary), streamed);
        for batch in streamed {
            let (indices, probabilities) = direct(&sampler, 50, shard, batch.step);
            let epoch = batch.step * 50 / u64::from(ROWS);
            assert_eq!(batch, Batch { step: batch.step, epoch, version, indices, probabilities });
        }
    }
    server.stopped().await;
}

#[tokio::test]
async fn ranks_together_are_the_global_batch() {
    let directory = tempfile::tempdir().unwrap();
    let server = server_with_dataset(directory.path(), ROWS).await;
    server.open_job(job("j", 50)).await.unwrap();
    let whole = server.stream(steps("j", 0, 100)).await.unwrap();
    let mut joined = vec![Vec::new(); 100];
    for rank in 0..3 {
        let request = v1::StreamBatchesRequest { rank, world_size: 3, ..steps("j", 0, 100) };
        for (batch, joined) in server.stream(request).await.unwrap().into_iter().zip(&mut joined) {
            joined.extend(batch.indices);
        }
    }
    assert_eq!(whole.into_iter().map(|batch| batch.indices).collect::<Vec<_>>(), joined);
    server.stopped().await;
}

#[tokio::test]
async fn the_first_message_is_small_unless_more_is_asked_for_and_a_limit_is_kept() {
    let directory = tempfile::tempdir().unwrap();
    let server = server_with_dataset(directory.path(), ROWS).await;
    server.open_job(job("j", 8)).await.unwrap();
    for limit in [0, 3] {
        let request = v1::StreamBatchesRequest { batches_per_message: limit, ..steps("j", 0, 200) };
        let mut blocks = server.sampling().stream_batches(request).await.unwrap().into_inner();
        let mut sizes = Vec::new();
        while let Some(block) = blocks.message().await.unwrap() {
            sizes.push(block.batches.len());
        }
        assert_eq!(sizes[0], if limit == 0 { 1 } else { 3 });
        assert!(limit == 0 || sizes.iter().all(|size| *size <= 3), "{sizes:?}");
        assert_eq!(sizes.iter().sum::<usize>(), 200);
    }
    server.stopped().await;
}

#[tokio::test]
async fn probabilities_can_be_left_out() {
    let directory = tempfile::tempdir().unwrap();
    let server = server_with_dataset(directory.path(), ROWS).await;
    server.open_job(job("j", 8)).await.unwrap();
    let with = server.stream(steps("j", 0, 5)).await.unwrap();
    let request = v1::StreamBatchesRequest { without_probabilities: true, ..steps("j", 0, 5) };
    for (without, with) in server.stream(request).await.unwrap().into_iter().zip(with) {
        assert!(without.probabilities.is_empty());
        assert_eq!(without.indices, with.indices);
    }
    server.stopped().await;
}

#[tokio::test]
async fn a_large_batch_arrives_whole() {
    let directory = tempfile::tempdir().unwrap();
    let server = server_with_dataset(directory.path(), ROWS).await;
    server.open_job(job("j", 1 << 20)).await.unwrap();
    let batches = server.stream(steps("j", 0, 2)).await.unwrap();
    assert_eq!(batches.iter().map(|batch| batch.indices.len()).collect::<Vec<_>>(), [1 << 20; 2]);
    server.stopped().await;
}

#[tokio::test]
async fn a_job_is_opened_again_only_with_equal_parameters() {
    let directory = tempfile::tempdir().unwrap();
    let server = server_with_dataset(directory.path(), ROWS).await;
    let opened = server.open_job(job("j", 8)).await.unwrap();
    assert_eq!(server.open_job(job("j", 8)).await.unwrap(), opened);
    let mut other = job("j", 9);
    other.seed = 8;
    let status = server.open_job(other).await.unwrap_err();
    assert_eq!(status.code(), Code::AlreadyExists);
    assert!(status.message().contains("seed: it has 7, 8 was given"), "{}", status.message());
    server.stopped().await;
}

#[tokio::test]
async fn requests_that_cannot_be_served_say_why() {
    let directory = tempfile::tempdir().unwrap();
    let server = server_with_dataset(directory.path(), ROWS).await;
    let unknown = v1::OpenJobRequest { dataset: "nowhere".into(), ..job("k", 8) };
    let distinct = v1::OpenJobRequest {
        mode: v1::ReplacementMode::Distinct.into(),
        epoch_draws: u64::from(ROWS) + 1,
        ..job("k", 8)
    };
    let pinned = v1::FollowPolicy { policy: Some(v1::follow_policy::Policy::Pinned(9)) };
    for (request, code, message) in [
        (unknown, Code::NotFound, "there is no dataset \"nowhere\": there are d"),
        (job("k", 0), Code::InvalidArgument, "batch_size is 0"),
        (job("a b", 8), Code::InvalidArgument, "job name \"a b\""),
        (distinct, Code::InvalidArgument, "in mode distinct it can be no more"),
        (v1::OpenJobRequest { follow: Some(pinned), ..job("k", 8) }, Code::NotFound, "no sampler version 9"),
    ] {
        let status = server.open_job(request).await.unwrap_err();
        assert_eq!(status.code(), code, "{}", status.message());
        assert!(status.message().contains(message), "{}", status.message());
    }
    server.open_job(job("j", 8)).await.unwrap();
    let far = steps("j", 1_000_000, 1_000_001);
    for (request, code, message) in [
        (steps("nothing", 0, 1), Code::NotFound, "there is no job \"nothing\""),
        (steps("j", 2, 1), Code::InvalidArgument, "from_step 2 is beyond to_step 1"),
        (v1::StreamBatchesRequest { rank: 2, world_size: 2, ..steps("j", 0, 1) }, Code::InvalidArgument, "rank 2"),
        (far.clone(), Code::FailedPrecondition, "set seek"),
    ] {
        let status = server.stream(request).await.unwrap_err();
        assert_eq!(status.code(), code, "{}", status.message());
        assert!(status.message().contains(message), "{}", status.message());
    }
    let seeked = server.stream(v1::StreamBatchesRequest { seek: true, ..far }).await.unwrap();
    assert_eq!(seeked[0].step, 1_000_000);
    server.stopped().await;
}

#[tokio::test]
async fn a_unary_answer_that_would_be_too_large_freezes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let server = server_with_dataset(directory.path(), ROWS).await;
    server.open_job(job("j", 8192)).await.unwrap();
    let request = v1::GetBatchesRequest { job: "j".into(), steps: 4096, world_size: 1, ..Default::default() };
    let status = server.sampling().get_batches(request).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    assert!(status.message().contains("ask for at most 4194304"), "{}", status.message());
    let found = server.control().get_job(v1::GetJobRequest { name: "j".into() }).await.unwrap().into_inner();
    assert_eq!(found.horizon, 0);
    server.stopped().await;
}

#[tokio::test]
async fn the_last_steps_of_all_can_be_read_and_none_beyond() {
    let directory = tempfile::tempdir().unwrap();
    let server = server_with_dataset(directory.path(), ROWS).await;
    server.open_job(job("j", 8)).await.unwrap();
    let last = u64::MAX / 8;
    let request = v1::StreamBatchesRequest { seek: true, to_step: None, ..steps("j", last - 2, 0) };
    assert_eq!(server.stream(request).await.unwrap().len(), 2);
    let request = v1::StreamBatchesRequest { seek: true, ..steps("j", u64::MAX - 1, u64::MAX) };
    assert_eq!(server.stream(request).await.unwrap_err().code(), Code::InvalidArgument);
    server.stopped().await;
}

#[tokio::test]
async fn more_streams_than_the_limit_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start_with(directory.path(), &["--streams-max", "1"]).await;
    server.import("d", &[], &[("d.csv", crate::harness::csv(&columns(ROWS)))]).await.unwrap();
    server.open_job(job("j", 8)).await.unwrap();
    let endless = v1::StreamBatchesRequest { to_step: None, ..steps("j", 0, 0) };
    let mut first = server.sampling().stream_batches(endless.clone()).await.unwrap().into_inner();
    first.message().await.unwrap();
    let refused = server.sampling().stream_batches(endless.clone()).await.unwrap_err();
    assert_eq!(refused.code(), Code::ResourceExhausted);
    drop(first);
    let admitted = async { while server.sampling().stream_batches(endless.clone()).await.is_err() {} };
    tokio::time::timeout(DEADLINE, admitted).await.unwrap();
    server.stopped().await;
}

#[tokio::test]
async fn shutdown_ends_streams_as_unavailable_between_batches() {
    let directory = tempfile::tempdir().unwrap();
    let server = server_with_dataset(directory.path(), ROWS).await;
    server.open_job(job("j", 8)).await.unwrap();
    let endless = v1::StreamBatchesRequest { to_step: None, ..steps("j", 0, 0) };
    let mut blocks = server.sampling().stream_batches(endless).await.unwrap().into_inner();
    let mut received: Vec<Batch> = unpack(&blocks.message().await.unwrap().unwrap());
    let ended = server.stop();
    let status = loop {
        match blocks.message().await {
            Ok(Some(block)) => received.extend(unpack(&block)),
            Ok(None) => panic!("an endless stream ended without a status"),
            Err(status) => break status,
        }
    };
    assert_eq!(status.code(), Code::Unavailable);
    assert!(received.iter().enumerate().all(|(step, batch)| batch.step == step as u64 && batch.indices.len() == 8));
    drop(blocks);
    tokio::time::timeout(DEADLINE, ended).await.unwrap().unwrap();
}

#[tokio::test]
async fn metrics_health_page_and_counters_tell_what_happened() {
    let directory = tempfile::tempdir().unwrap();
    let server = server_with_dataset(directory.path(), ROWS).await;
    server.open_job(job("j", 8)).await.unwrap();
    server.stream(steps("j", 0, 10)).await.unwrap();
    assert_eq!(server.get("/healthz").await.0, "HTTP/1.1 200 OK");
    assert_eq!(server.get("/readyz").await.0, "HTTP/1.1 200 OK");
    let (_, metrics) = server.get("/metrics").await;
    for line in [
        "swiftsampler_batches_served_total 10",
        "swiftsampler_draws_served_total 80",
        "swiftsampler_registry_up 1",
        "swiftsampler_dataset_rows{dataset=\"d\"} 1000",
        "swiftsampler_active_version{dataset=\"d\"} 1",
        "swiftsampler_features_revision{dataset=\"d\"} 1",
        "swiftsampler_effective_sample_size_ratio{dataset=\"d\"} 1",
    ] {
        assert!(metrics.lines().any(|found| found == line), "no {line:?} in {metrics}");
    }
    let (_, page) = server.get("/").await;
    assert!(page.contains("<td>d</td><td>1000</td><td>1</td><td>1</td><td>1000 (100.0%)</td>"), "{page}");
    let stats = server.control().get_stats(v1::GetStatsRequest {}).await.unwrap().into_inner();
    assert_eq!((stats.batches_served, stats.draws_served, stats.swaps), (10, 80, 0));
    server.stopped().await;
}
