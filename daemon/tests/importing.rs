//! Files of every format become datasets, and refused ones leave nothing behind.

use std::time::Duration;

use swift_sampler_proto::v1;
use swift_sampler_proto::v1::control_client::ControlClient;
use swift_sampler_proto::v1::import_dataset_progress::State;
use swift_sampler_proto::v1::import_dataset_request::Part;
use tokio_stream::StreamExt;
use tonic::Code;
use tonic::transport::Channel;

use crate::harness::{Server, columns, csv, job, steps};

#[tokio::test]
async fn the_same_columns_are_one_dataset_whatever_the_files() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(directory.path()).await;
    let columns = columns(500);
    let mut hashes = Vec::new();
    let halves = |range: std::ops::Range<usize>| -> Vec<(String, Vec<f64>)> {
        columns.iter().map(|(name, values)| (name.clone(), values[range.clone()].to_vec())).collect()
    };
    for (name, files) in [
        ("d", vec![("a.csv", csv(&columns))]),
        ("halves", vec![("a.csv", csv(&halves(0..200))), ("b.csv", csv(&halves(200..500)))]),
    ] {
        let dataset = server.import(name, &[], &files).await.unwrap();
        assert_eq!((dataset.rows, dataset.active_version), (500, 1));
        assert_eq!(dataset.features, ["loss", "entropy"]);
        assert_eq!(dataset.gradient_norm, "grad_norm");
        hashes.push(dataset.hash);
    }
    assert!(hashes.iter().all(|hash| *hash == hashes[0]), "{hashes:?}");
    server.open_job(job("j", 8)).await.unwrap();
    assert_eq!(server.stream(steps("j", 0, 4)).await.unwrap().len(), 4);
    server.stopped().await;
}

#[tokio::test]
async fn many_files_are_imported_and_an_empty_one_among_them_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(directory.path()).await;
    let names: Vec<_> = (0..100).map(|file| format!("{file}.csv")).collect();
    let mut files: Vec<_> = names.iter().map(|name| (name.as_str(), csv(&columns(5)))).collect();
    assert_eq!(server.import("d", &[], &files).await.unwrap().rows, 500);
    files[98].1.clear();
    let status = server.import("e", &[], &files).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    assert!(status.message().starts_with("file \"98.csv\" is empty"), "{}", status.message());
    server.stopped().await;
}

#[tokio::test]
async fn importing_again_changes_nothing_and_other_content_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(directory.path()).await;
    let first = server.import("d", &[], &[("d.csv", csv(&columns(20)))]).await.unwrap();
    assert_eq!(server.import("d", &[], &[("d.csv", csv(&columns(20)))]).await.unwrap(), first);
    let status = server.import("d", &[], &[("d.csv", csv(&columns(21)))]).await.unwrap_err();
    assert_eq!(status.code(), Code::AlreadyExists);
    assert_eq!(std::fs::read_dir(directory.path().join("datasets")).unwrap().count(), 1);
    assert_eq!(std::fs::read_dir(directory.path().join("unfinished")).unwrap().count(), 0);
    server.stopped().await;
}

#[tokio::test]
async fn a_refused_import_leaves_nothing_behind() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(directory.path()).await;
    let status = server.import("d", &[], &[("d.csv", b"loss,entropy\n1,2\nNaN,3\n".to_vec())]).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    assert!(status.message().contains("column \"loss\", row 1 (counted from 0) is NaN"), "{}", status.message());
    let negative = csv(&[("loss".into(), vec![1.0]), ("entropy".into(), vec![1.0]), ("grad_norm".into(), vec![-1.0])]);
    let status = server.import("d", &[], &[("d.csv", negative)]).await.unwrap_err();
    assert!(status.message().contains("a gradient norm is not negative"), "{}", status.message());
    for place in ["datasets", "unfinished"] {
        assert_eq!(std::fs::read_dir(directory.path().join(place)).unwrap().count(), 0);
    }
    server.stopped().await;
}

#[tokio::test]
async fn an_import_beyond_the_limit_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start_with(directory.path(), &["--import-bytes-max", "1000", "--rows-max", "30"]).await;
    let status = server.import("d", &[], &[("d.csv", csv(&columns(100)))]).await.unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted);
    let short = csv(&[("loss".into(), vec![1.0; 31]), ("entropy".into(), vec![1.0; 31])]);
    let status = server.import("d", &[], &[("d.csv", short)]).await.unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted, "{}", status.message());
    server.stopped().await;
}

/// The parts of an import of one file that stops before its end.
fn unfinished_upload() -> impl tokio_stream::Stream<Item = v1::ImportDatasetRequest> + Send + 'static {
    let file = v1::ImportFile { name: "d.csv".into(), format: 0 };
    let header = v1::ImportHeader { name: "d".into(), files: vec![file], ..Default::default() };
    let chunk = v1::ImportChunk { file: 0, data: csv(&columns(100)).into() };
    let parts = [Part::Header(header), Part::Chunk(chunk)];
    let parts = parts.map(|part| v1::ImportDatasetRequest { part: Some(part) });
    tokio_stream::iter(parts).chain(tokio_stream::pending())
}

#[tokio::test]
async fn a_caller_is_told_how_far_its_import_is_and_nothing_is_left_when_it_goes_away() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(directory.path()).await;
    // A client with a connection of its own, which ends with it.
    let client = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let endpoint = Channel::from_shared(format!("http://{}", server.grpc)).unwrap();
    let asked = client.spawn(async move {
        let mut control = ControlClient::new(endpoint.connect().await.unwrap());
        let mut answers = control.import_dataset_with_progress(unfinished_upload()).await.unwrap().into_inner();
        (answers.message().await.unwrap().unwrap().state, control, answers)
    });
    let (state, control, answers) = asked.await.unwrap();
    let Some(State::Work(work)) = state else { panic!("it cannot be done") };
    assert_eq!(work.phase(), v1::ImportPhase::Receiving);
    let received = directory.path().join("unfinished");
    let files = || std::fs::read_dir(&received).unwrap().count();
    until(|| files() == 1).await;
    client.shutdown_background();
    drop((control, answers));
    until(|| files() == 0).await;
    // The place of the import is free as well.
    for name in ["a", "b", "c"] {
        server.import(name, &[], &[("d.csv", csv(&columns(20)))]).await.unwrap();
    }
    server.stopped().await;
}

#[tokio::test]
async fn an_import_whose_progress_is_told_ends_with_the_dataset_and_its_first_row() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(directory.path()).await;
    let header = v1::ImportHeader {
        name: "d".into(),
        files: vec![v1::ImportFile { name: "d.csv".into(), format: 0 }],
        first_row: 1 << 40,
        ..Default::default()
    };
    let chunk = v1::ImportChunk { file: 0, data: csv(&columns(100)).into() };
    let parts = [Part::Header(header), Part::Chunk(chunk)].map(|part| v1::ImportDatasetRequest { part: Some(part) });
    let parts = tokio_stream::iter(parts);
    let mut answers = server.control().import_dataset_with_progress(parts).await.unwrap().into_inner();
    let mut last = None;
    while let Some(answer) = answers.message().await.unwrap() {
        last = answer.state;
    }
    let Some(State::Dataset(dataset)) = last else { panic!("{last:?}") };
    assert_eq!((dataset.rows, dataset.first_row), (100, 1 << 40));
    let without = server.import("e", &[], &[("d.csv", csv(&columns(100)))]).await.unwrap();
    assert_eq!(without.first_row, 0);
    assert_ne!(without.hash, dataset.hash);
    server.stopped().await;
    let server = Server::start(directory.path()).await;
    let kept = server.control().get_dataset(v1::GetDatasetRequest { name: "d".into() }).await.unwrap().into_inner();
    assert_eq!(kept, dataset);
    server.stopped().await;
}

async fn until(condition: impl Fn() -> bool) {
    let met = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), met).await.unwrap();
}
