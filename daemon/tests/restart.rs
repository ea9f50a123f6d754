//! What was acknowledged is there after a restart, and what was damaged meanwhile is not served.

use std::path::Path;

use swift_sampler_proto::v1;
use tonic::Code;

use crate::harness::{SWIFT, Server, columns, csv, job, server_with_dataset, steps};

fn stored(data_dir: &Path, file: &str) -> std::path::PathBuf {
    let mut entries = std::fs::read_dir(data_dir.join("datasets")).unwrap();
    entries.next().unwrap().unwrap().path().join(file)
}

fn flip_a_bit(path: &Path) {
    let mut bytes = std::fs::read(path).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(path, bytes).unwrap();
}

#[tokio::test]
async fn a_restarted_daemon_gives_the_same_batches() {
    let directory = tempfile::tempdir().unwrap();
    let server = server_with_dataset(directory.path(), 1000).await;
    server.open_job(job("j", 16)).await.unwrap();
    server.stream(steps("j", 0, 20)).await.unwrap();
    server.put("d", SWIFT).await.unwrap();
    server.activate("d", 2).await.unwrap();
    let before = server.stream(steps("j", 0, 200)).await.unwrap();
    assert_ne!(before[0].version, before[199].version);
    server.stopped().await;
    let server = Server::start(directory.path()).await;
    assert_eq!(server.stream(steps("j", 0, 200)).await.unwrap(), before);
    server.stopped().await;
}

/// The fixture was written by the first samplerd, from the same CSV.
#[tokio::test]
async fn a_dataset_stored_in_format_1_gives_the_same_batches() {
    let directory = tempfile::tempdir().unwrap();
    let server = server_with_dataset(directory.path(), 100).await;
    server.open_job(job("j", 16)).await.unwrap();
    server.put("d", SWIFT).await.unwrap();
    server.activate("d", 2).await.unwrap();
    let before = server.stream(steps("j", 0, 50)).await.unwrap();
    server.stopped().await;
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/dataset_format_1");
    for file in ["columns.safetensors", "cells.safetensors", "manifest.json"] {
        std::fs::copy(fixture.join(file), stored(directory.path(), file)).unwrap();
    }
    let server = Server::start(directory.path()).await;
    assert_eq!(server.stream(steps("j", 0, 50)).await.unwrap(), before);
    server.stopped().await;
}

#[tokio::test]
async fn a_damaged_dataset_is_reported_and_others_are_served() {
    let directory = tempfile::tempdir().unwrap();
    let server = server_with_dataset(directory.path(), 100).await;
    server.open_job(job("j", 8)).await.unwrap();
    server.stopped().await;
    flip_a_bit(&stored(directory.path(), "columns.safetensors"));
    let server = Server::start(directory.path()).await;
    let status = server.stream(steps("j", 0, 1)).await.unwrap_err();
    assert_eq!(status.code(), Code::DataLoss);
    assert!(status.message().contains("does not match its checksum"), "{}", status.message());
    assert!(server.get("/metrics").await.1.contains("swiftsampler_dataset_up{dataset=\"d\"} 0"));
    server.import("other", &[], &[("o.csv", csv(&columns(50)))]).await.unwrap();
    server.open_job(v1::OpenJobRequest { dataset: "other".into(), ..job("k", 8) }).await.unwrap();
    assert_eq!(server.stream(steps("k", 0, 1)).await.unwrap().len(), 1);
    // The same content under the same name repairs it.
    server.import("d", &[], &[("d.csv", csv(&columns(100)))]).await.unwrap();
    assert_eq!(server.stream(steps("j", 0, 1)).await.unwrap().len(), 1);
    server.stopped().await;
}

#[tokio::test]
async fn no_file_of_a_dataset_can_be_damaged_or_missing_unnoticed() {
    for file in ["columns.safetensors", "cells.safetensors", "manifest.json"] {
        for delete in [false, true] {
            let directory = tempfile::tempdir().unwrap();
            let server = server_with_dataset(directory.path(), 100).await;
            server.open_job(job("j", 8)).await.unwrap();
            server.stopped().await;
            let path = stored(directory.path(), file);
            if delete {
                std::fs::remove_file(path).unwrap();
            } else {
                flip_a_bit(&path);
            }
            let server = Server::start(directory.path()).await;
            let status = server.stream(steps("j", 0, 1)).await.unwrap_err();
            assert_eq!(status.code(), Code::DataLoss, "{file}: {}", status.message());
            assert!(status.message().contains(file), "{}", status.message());
            server.stopped().await;
        }
    }
}

#[tokio::test]
async fn leftovers_of_a_crash_are_cleared_away() {
    let directory = tempfile::tempdir().unwrap();
    let leftover = directory.path().join("unfinished/crashed");
    std::fs::create_dir_all(&leftover).unwrap();
    std::fs::write(leftover.join("0"), "half a file").unwrap();
    Server::start(directory.path()).await.stopped().await;
    assert!(!leftover.exists());
}

#[tokio::test]
async fn two_daemons_do_not_share_a_data_directory() {
    use clap::Parser;
    use swift_sampler_daemon::app::{App, StartError};
    use swift_sampler_daemon::config::{Config, Flags};

    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(directory.path()).await;
    let flags = Flags::try_parse_from(["samplerd", "--data-dir", directory.path().to_str().unwrap()]).unwrap();
    let error = App::build(&Config::resolve(flags).unwrap()).unwrap_err();
    assert!(matches!(error, StartError::Locked(_)), "{error}");
    server.stopped().await;
}

#[tokio::test]
async fn two_daemons_run_in_one_process() {
    let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let first_server = server_with_dataset(first.path(), 100).await;
    let second_server = server_with_dataset(second.path(), 100).await;
    for server in [&first_server, &second_server] {
        server.open_job(job("j", 8)).await.unwrap();
    }
    let same = (first_server.stream(steps("j", 0, 10)).await, second_server.stream(steps("j", 0, 10)).await);
    assert_eq!(same.0.unwrap(), same.1.unwrap(), "replicas answer alike");
    first_server.stopped().await;
    second_server.stopped().await;
}

#[tokio::test]
async fn users_tools_read_the_registry_as_columns() {
    let directory = tempfile::tempdir().unwrap();
    let server = server_with_dataset(directory.path(), 100).await;
    server.open_job(job("j", 8)).await.unwrap();
    let connection = rusqlite::Connection::open(directory.path().join("registry.sqlite")).unwrap();
    let dataset: (String, i64, i64) = connection
        .query_row("SELECT name, rows, active_version FROM datasets", [], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?))
        })
        .unwrap();
    assert_eq!(dataset, ("d".into(), 100, 1));
    let job: (String, i64) =
        connection.query_row("SELECT name, batch_size FROM jobs", [], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    assert_eq!(job, ("j".into(), 8));
    for view in ["samplers", "studies", "trials"] {
        let count = format!("SELECT count(*) FROM {view}");
        let count: i64 = connection.query_row(&count, [], |row| row.get(0)).unwrap();
        assert_eq!(count, i64::from(view == "samplers"));
    }
    server.stopped().await;
}
