//! What is beyond a limit is refused with its name, and with when to come again where that helps.

use swift_sampler_proto::v1;
use swift_sampler_proto::v1::import_dataset_request::Part;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status};
use tonic_types::StatusExt;

use crate::harness::{DEADLINE, Server, columns, csv, job, steps};

async fn server(directory: &std::path::Path, flags: &[&str]) -> Server {
    let server = Server::start_with(directory, flags).await;
    server.import("d", &[], &[("d.csv", csv(&columns(100)))]).await.unwrap();
    server
}

/// A refusal that names its flag, and says when to come again if that is worth it.
fn check_refused(status: &Status, flag: &str, to_be_retried: bool) {
    assert_eq!(status.code(), Code::ResourceExhausted, "{status}");
    assert!(status.message().contains(flag), "{flag} is not in {status}");
    assert_eq!(status.get_details_retry_info().is_some(), to_be_retried, "{status}");
}

#[tokio::test]
async fn no_more_records_are_kept_than_may_be_and_removal_makes_room() {
    let directory = tempfile::tempdir().unwrap();
    let flags =
        [["--jobs-max", "2"], ["--datasets-max", "1"], ["--samplers-a-dataset-max", "2"], ["--studies-max", "1"]];
    let server = server(directory.path(), &flags.concat()).await;
    for name in ["a", "b", "a"] {
        server.open_job(job(name, 8)).await.unwrap();
    }
    check_refused(&server.open_job(job("c", 8)).await.unwrap_err(), "--jobs-max", false);
    server.control().remove_job(v1::RemoveJobRequest { name: "a".into() }).await.unwrap();
    server.open_job(job("c", 8)).await.unwrap();

    let other = csv(&columns(10));
    let refused = server.import("e", &[], &[("e.csv", other.clone())]).await.unwrap_err();
    check_refused(&refused, "--datasets-max", false);
    let columns_kept = std::fs::read_dir(directory.path().join("datasets")).unwrap().count();
    assert_eq!(columns_kept, 1, "nothing of it is stored");

    server.put("d", r#"{"kind":"uniform"}"#).await.unwrap();
    check_refused(&server.put("d", r#"{"kind":"uniform"}"#).await.unwrap_err(), "--samplers-a-dataset-max", false);

    let study = |name: &str| v1::CreateStudyRequest {
        name: name.into(),
        dataset: "d".into(),
        config_json: "{}".into(),
        attempts_max: 0,
    };
    server.studies().create_study(study("s")).await.unwrap();
    check_refused(&server.studies().create_study(study("t")).await.unwrap_err(), "--studies-max", false);
    server.stopped().await;
}

#[tokio::test]
async fn one_client_cannot_have_all_memory_for_answers() {
    let directory = tempfile::tempdir().unwrap();
    let server = server(directory.path(), &["--answer-bytes-max", "1048576"]).await;
    // A batch of 512 KiB: four are more than there is, and one such stream is admitted alone.
    server.open_job(job("large", 1 << 16)).await.unwrap();
    server.open_job(job("small", 8)).await.unwrap();
    let endless = |name| v1::StreamBatchesRequest { to_step: None, ..steps(name, 0, 0) };
    let mut large = server.sampling().stream_batches(endless("large")).await.unwrap().into_inner();
    large.message().await.unwrap();
    check_refused(&server.sampling().stream_batches(endless("small")).await.unwrap_err(), "--answer-bytes-max", true);
    let unary = v1::GetBatchesRequest { job: "small".into(), steps: 1, world_size: 1, ..Default::default() };
    check_refused(&server.sampling().get_batches(unary.clone()).await.unwrap_err(), "--answer-bytes-max", true);
    drop(large);
    let admitted = async { while server.sampling().get_batches(unary.clone()).await.is_err() {} };
    tokio::time::timeout(DEADLINE, admitted).await.unwrap();
    // What each answer held is given back, so that there is no end to them.
    for _ in 0..100 {
        let request = v1::GetBatchesRequest { job: "large".into(), steps: 1, world_size: 1, ..Default::default() };
        let answered = async { while server.sampling().get_batches(request.clone()).await.is_err() {} };
        tokio::time::timeout(DEADLINE, answered).await.unwrap();
    }
    server.stopped().await;
}

#[tokio::test]
async fn requests_that_do_not_end_cannot_have_all_memory() {
    let directory = tempfile::tempdir().unwrap();
    let server = server(directory.path(), &["--request-bytes-max", "9856000"]).await;
    let header = |name: &str| {
        let files = vec![v1::ImportFile { name: "x.csv".into(), format: 0 }];
        let header = v1::ImportHeader { name: name.into(), files, ..Default::default() };
        v1::ImportDatasetRequest { part: Some(Part::Header(header)) }
    };
    let chunk = || {
        let chunk = v1::ImportChunk { file: 0, data: vec![b'1'; 1 << 20].into() };
        v1::ImportDatasetRequest { part: Some(Part::Chunk(chunk)) }
    };
    // Two uploads that do not end, each of which may hold as much as the largest message: together all there is.
    let mut uploads = Vec::new();
    for upload in 0..2 {
        let (sender, receiver) = mpsc::channel(16);
        sender.send(header(&format!("u{upload}"))).await.unwrap();
        for _ in 0..8 {
            sender.send(chunk()).await.unwrap();
        }
        let mut control = server.control();
        let ended = tokio::spawn(async move { control.import_dataset(ReceiverStream::new(receiver)).await });
        uploads.push((sender, ended));
    }
    let long = format!("{{{}", " ".repeat(1 << 20));
    let spent = async {
        loop {
            let status = server.put("d", &long).await.unwrap_err();
            if status.code() == Code::ResourceExhausted {
                break status;
            }
        }
    };
    check_refused(&tokio::time::timeout(DEADLINE, spent).await.unwrap(), "--request-bytes-max", true);
    server.put("d", r#"{"kind":"uniform"}"#).await.expect("a small request needs no room");
    for (sender, ended) in uploads {
        drop(sender);
        let ended = tokio::time::timeout(DEADLINE, ended).await.unwrap().unwrap().unwrap_err();
        assert_eq!(ended.code(), Code::InvalidArgument, "it ended, and is no CSV: {ended}");
    }
    assert_eq!(server.put("d", &long).await.unwrap_err().code(), Code::InvalidArgument, "there is room again");
    server.import("d", &[], &[("d.csv", csv(&columns(100)))]).await.unwrap();
    server.stopped().await;
}

#[tokio::test]
async fn a_call_ends_when_its_time_is_over() {
    let directory = tempfile::tempdir().unwrap();
    let server = server(directory.path(), &["--request-timeout", "1"]).await;
    let study =
        v1::CreateStudyRequest { name: "s".into(), dataset: "d".into(), config_json: "{}".into(), attempts_max: 0 };
    server.studies().create_study(study).await.unwrap();
    let lease = v1::LeaseTrialRequest { study: "s".into(), worker: "w".into(), lease_ms: 0, wait_ms: 30_000 };
    let status = server.studies().lease_trial(lease).await.unwrap_err();
    assert_eq!(status.code(), Code::DeadlineExceeded, "{status}");
    assert!(status.message().contains("1 s") && status.message().contains("--request-timeout"), "{status}");
    server.stopped().await;
}

#[tokio::test]
async fn more_calls_than_the_limit_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let server = server(directory.path(), &["--calls-max", "1"]).await;
    server.open_job(job("j", 8)).await.unwrap();
    let endless = v1::StreamBatchesRequest { to_step: None, ..steps("j", 0, 0) };
    let open = async {
        loop {
            // The place of the last call is free once its answer is sent.
            if let Ok(stream) = server.sampling().stream_batches(endless.clone()).await {
                break stream.into_inner();
            }
        }
    };
    let mut stream = tokio::time::timeout(DEADLINE, open).await.unwrap();
    stream.message().await.unwrap();
    let refused = server.control().list_jobs(v1::ListJobsRequest {}).await.unwrap_err();
    check_refused(&refused, "--calls-max", true);
    drop(stream);
    server.stopped().await;
}

#[tokio::test]
async fn a_connection_too_many_is_closed_at_once_and_the_others_are_served() {
    let directory = tempfile::tempdir().unwrap();
    // One is the harness's own.
    let server = server(directory.path(), &["--connections-max", "3", "--connections-a-peer-max", "2"]).await;
    let held = TcpStream::connect(server.grpc).await.unwrap();
    let closed = async {
        let mut tcp = TcpStream::connect(server.grpc).await.unwrap();
        let mut bytes = Vec::new();
        // Reset or ended: either way nothing is served.
        tcp.read_to_end(&mut bytes).await.ok();
        bytes
    };
    assert!(tokio::time::timeout(DEADLINE, closed).await.unwrap().is_empty());
    let (_, metrics) = server.get("/metrics").await;
    let line = "swiftsampler_connections_closed_total{reason=\"peer_full\"} 1";
    assert!(metrics.lines().any(|found| found == line), "{metrics}");
    server.open_job(job("j", 8)).await.unwrap();
    drop(held);
    let admitted = async {
        loop {
            let mut tcp = TcpStream::connect(server.grpc).await.unwrap();
            // The daemon greets with its SETTINGS, once there is a place.
            if let Ok(1..) = tcp.read(&mut [0; 9]).await {
                break;
            }
        }
    };
    tokio::time::timeout(DEADLINE, admitted).await.unwrap();
    server.stopped().await;
}

#[tokio::test]
async fn http_refuses_heads_that_are_too_large_and_connections_too_many() {
    let directory = tempfile::tempdir().unwrap();
    let server = server(directory.path(), &[]).await;
    let mut tcp = TcpStream::connect(server.http).await.unwrap();
    let head = format!("GET /healthz HTTP/1.1\r\nHost: h\r\nX: {}\r\n\r\n", "x".repeat(1 << 20));
    // The daemon may hang up while it is being sent.
    tcp.write_all(head.as_bytes()).await.ok();
    let mut answer = Vec::new();
    tokio::time::timeout(DEADLINE, tcp.read_to_end(&mut answer)).await.unwrap().ok();
    assert!(!String::from_utf8_lossy(&answer).contains("200 OK"));
    drop(tcp);
    let mut held = Vec::new();
    for _ in 0..256 {
        // One may still find the place of the connection before taken.
        let connected = async {
            loop {
                let mut tcp = TcpStream::connect(server.http).await.unwrap();
                tcp.write_all(b"GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n").await.unwrap();
                if let Ok(1..) = tcp.read(&mut [0; 1024]).await {
                    break tcp;
                }
            }
        };
        held.push(tokio::time::timeout(DEADLINE, connected).await.unwrap());
    }
    let mut refused = TcpStream::connect(server.http).await.unwrap();
    let read = tokio::time::timeout(DEADLINE, refused.read(&mut [0; 1])).await.unwrap();
    assert!(matches!(read, Ok(0) | Err(_)), "{read:?}");
    drop(held);
    server.stopped().await;
}
