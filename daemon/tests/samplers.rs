//! Sampler versions are put, activated, rolled back and watched; a bad one changes nothing.

use safetensors::Dtype;
use safetensors::tensor::TensorView;
use swift_sampler_daemon::registry::{Change, Expected, SamplerFigures, Write};
use swift_sampler_proto::v1;
use tonic::Code;

use crate::harness::{
    DEADLINE, ManualClock, SWIFT, Server, backend, job, new_dataset, registry, server_with_dataset, steps,
};

#[tokio::test]
async fn a_bad_spec_is_refused_and_the_active_sampler_keeps_serving() {
    let directory = tempfile::tempdir().unwrap();
    let server = server_with_dataset(directory.path(), 100).await;
    for (spec, message) in [
        ("{", "sampler spec"),
        (r#"{"kind":"magic"}"#, "unknown variant `magic`"),
        (r#"{"kind":"column","column":"nope"}"#, "there is no column \"nope\""),
        (
            r#"{"kind":"swift","features":["loss","entropy"],"coefficients":[1],"knots":[0.5],"values":[1,1,1]}"#,
            "\"coefficients\" has 1 numbers for 2 features",
        ),
        (
            r#"{"kind":"swift","features":["loss"],"coefficients":[1],"knots":[0.5],"values":[0,0,0]}"#,
            "\"values\" is all zeros",
        ),
    ] {
        let status = server.put("d", spec).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument, "{}", status.message());
        assert!(status.message().contains(message), "{}", status.message());
    }
    let request = v1::ListSamplersRequest { dataset: "d".into(), candidates: true };
    let samplers = server.control().list_samplers(request).await.unwrap().into_inner().samplers;
    assert_eq!(samplers.len(), 1);
    assert!(samplers[0].active);
    assert_eq!(server.put("nowhere", SWIFT).await.unwrap_err().code(), Code::NotFound);
    assert_eq!(server.activate("d", 9).await.unwrap_err().code(), Code::NotFound);
    server.open_job(job("j", 8)).await.unwrap();
    assert_eq!(server.stream(steps("j", 0, 3)).await.unwrap().len(), 3);
    server.stopped().await;
}

#[tokio::test]
async fn a_rollback_returns_to_what_was_active_before() {
    let directory = tempfile::tempdir().unwrap();
    let server = server_with_dataset(directory.path(), 100).await;
    let rollback = v1::RollbackSamplerRequest { dataset: "d".into() };
    let status = server.control().rollback_sampler(rollback.clone()).await.unwrap_err();
    assert_eq!(status.code(), Code::FailedPrecondition);
    for version in [2, 3] {
        server.put("d", SWIFT).await.unwrap();
        let active = server.activate("d", version).await.unwrap();
        assert_eq!(active.previous_version, Some(version - 1));
    }
    let mut versions = Vec::new();
    let mut generation = 0;
    while let Ok(active) = server.control().rollback_sampler(rollback.clone()).await {
        let active = active.into_inner();
        assert!(active.generation > generation);
        generation = active.generation;
        versions.push(active.version);
    }
    assert_eq!(versions, [2, 1]);
    server.stopped().await;
}

#[tokio::test]
async fn a_watcher_sees_the_active_sampler_and_every_later_one() {
    let directory = tempfile::tempdir().unwrap();
    let server = server_with_dataset(directory.path(), 100).await;
    let request = v1::WatchActiveSamplerRequest { dataset: "d".into() };
    let mut watch = server.control().watch_active_sampler(request).await.unwrap().into_inner();
    assert_eq!(watch.message().await.unwrap().unwrap().version, 1);
    for version in [2, 3] {
        server.put("d", SWIFT).await.unwrap();
        server.activate("d", version).await.unwrap();
        let seen = tokio::time::timeout(DEADLINE, watch.message()).await.unwrap().unwrap().unwrap();
        assert_eq!(seen.version, version);
    }
    drop(watch);
    server.stopped().await;
}

#[tokio::test]
async fn a_dataset_that_jobs_read_is_not_removed() {
    let directory = tempfile::tempdir().unwrap();
    let server = server_with_dataset(directory.path(), 100).await;
    server.open_job(job("j", 8)).await.unwrap();
    let remove = v1::RemoveDatasetRequest { name: "d".into() };
    let status = server.control().remove_dataset(remove.clone()).await.unwrap_err();
    assert_eq!(status.code(), Code::FailedPrecondition);
    assert!(status.message().contains("job \"j\""), "{}", status.message());
    server.control().remove_job(v1::RemoveJobRequest { name: "j".into() }).await.unwrap();
    server.control().remove_dataset(remove.clone()).await.unwrap();
    assert_eq!(server.control().remove_dataset(remove).await.unwrap_err().code(), Code::NotFound);
    assert_eq!(std::fs::read_dir(directory.path().join("datasets")).unwrap().count(), 0);
    assert!(!server.get("/metrics").await.1.contains("dataset=\"d\""));
    server.stopped().await;
}

async fn get(server: &Server, version: u64) -> v1::Sampler {
    let request = v1::GetSamplerRequest { dataset: "d".into(), version };
    server.control().get_sampler(request).await.unwrap().into_inner()
}

async fn shown_total_variation(server: &Server) -> f64 {
    let (_, metrics) = server.get("/metrics").await;
    let line =
        metrics.lines().find_map(|line| line.strip_prefix("swiftsampler_sampler_total_variation{dataset=\"d\"} "));
    line.unwrap_or_else(|| panic!("no such gauge in {metrics}")).parse().unwrap()
}

/// Beyond 2^20 examples cells are not exact. The figure is in the record, and in the gauge once the sampler is active.
#[tokio::test]
async fn a_sampler_says_how_far_from_the_exact_one_it_is() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(directory.path()).await;
    let rows = (1u32 << 20) + 5;
    let column = |multiplier: u32| (0..rows).flat_map(move |row| f64::from(row.wrapping_mul(multiplier)).to_le_bytes());
    let (loss, entropy): (Vec<u8>, Vec<u8>) = (column(2_654_435_761).collect(), column(2_246_822_519).collect());
    let shape = vec![rows as usize];
    let tensor = |bytes| TensorView::new(Dtype::F64, shape.clone(), bytes).unwrap();
    let file = safetensors::serialize([("loss", tensor(&loss)), ("entropy", tensor(&entropy))], None).unwrap();
    server.import("d", &["loss", "entropy"], &[("d.safetensors", file)]).await.unwrap();
    assert_eq!(get(&server, 1).await.total_variation, Some(0.0), "the uniform sampler is exact");

    let spec = SWIFT.replace("\"knots\"", "\"transform\":\"cdf\",\"knots\"");
    let put = server.put("d", &spec).await.unwrap();
    let distance = put.total_variation.unwrap();
    assert!(distance > 1e-5 && distance < 5e-3, "{distance}");
    assert_eq!(get(&server, 2).await.total_variation, Some(distance));
    assert!(shown_total_variation(&server).await.abs() < f64::MIN_POSITIVE, "version 1 is active");
    server.activate("d", 2).await.unwrap();
    assert!((shown_total_variation(&server).await - distance).abs() < 1e-12);
    server.stopped().await;
}

/// A record as the version before this field wrote it.
const RECORD_WITHOUT_TOTAL_VARIATION: &str = include_str!("fixtures/sampler_without_total_variation.json");

#[test]
fn a_sampler_from_before_its_distance_was_estimated_is_read() {
    let directory = tempfile::tempdir().unwrap();
    let registry = registry(directory.path(), ManualClock::at(1));
    registry.create_dataset(&new_dataset("d", "0")).unwrap();
    let change = Change::Put(RECORD_WITHOUT_TOTAL_VARIATION.trim().to_owned());
    let write = Write { key: format!("sampler/d/{:020}", 2), expected: Expected::Absent, change };
    backend(directory.path()).commit(&[write]).unwrap();
    let figures = SamplerFigures { effective_sample_size: 40.5, total_variation: None };
    assert_eq!(registry.sampler("d", 2).unwrap().figures, figures);
}
