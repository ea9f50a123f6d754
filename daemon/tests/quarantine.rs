//! What is found to be damaged is never served: not when it is opened, nor to streams that run.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use swift_sampler_proto::v1;
use tonic::Code;

use crate::harness::{DEADLINE, Server, columns, csv, job, server_with_dataset, steps};

/// The directory of the only dataset there is.
fn stored(data_dir: &Path) -> PathBuf {
    let mut datasets = fs::read_dir(data_dir.join("datasets")).unwrap();
    datasets.next().unwrap().unwrap().path()
}

/// Flips a bit in place: the file may be mapped.
fn flip_a_bit(path: &Path, position: u64) {
    let file = File::options().read(true).write(true).open(path).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, position).unwrap();
    file.write_all_at(&[byte[0] ^ 0x10], position).unwrap();
}

async fn metric(server: &Server, name: &str) -> f64 {
    let (_, body) = server.get("/metrics").await;
    let line = body.lines().find(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with([' ', '{'])));
    line.unwrap_or_else(|| panic!("{name} is not in {body}")).rsplit(' ').next().unwrap().parse().unwrap()
}

#[tokio::test]
async fn a_bit_flipped_in_any_section_of_a_stored_dataset_is_found_when_it_is_opened() {
    let directory = tempfile::tempdir().unwrap();
    let server = server_with_dataset(directory.path(), 100).await;
    server.open_job(job("j", 8)).await.unwrap();
    let before = server.stream(steps("j", 0, 5)).await.unwrap();
    server.stopped().await;
    let hash = stored(directory.path()).file_name().unwrap().to_str().unwrap().to_owned();
    for file in ["manifest.json", "columns.safetensors", "cells.safetensors"] {
        let length = fs::metadata(stored(directory.path()).join(file)).unwrap().len();
        // Heads, tensors of every kind, and the ends.
        for section in 0..8 {
            flip_a_bit(&stored(directory.path()).join(file), (length - 1) * section / 7);
            let server = Server::start(directory.path()).await;
            let status = server.stream(steps("j", 0, 5)).await.unwrap_err();
            assert_eq!(status.code(), Code::DataLoss, "{file}, section {section}: {status:?}");
            // A manifest whose checksums are damaged accuses the file that they are of.
            let accused = if file == "manifest.json" { "damaged" } else { file };
            for words in [accused, "import it again", "quarantine"] {
                assert!(status.message().contains(words), "{words:?} is not in {:?}", status.message());
            }
            assert!((metric(&server, "swiftsampler_datasets_quarantined").await - 1.0).abs() < 0.1);
            assert!((metric(&server, "swiftsampler_dataset_up").await).abs() < 0.1);
            assert!(directory.path().join("quarantine").join(&hash).join(file).exists());
            assert_eq!(fs::read_dir(directory.path().join("datasets")).unwrap().count(), 0);
            server.import("d", &[], &[("d.csv", csv(&columns(100)))]).await.unwrap();
            assert_eq!(server.stream(steps("j", 0, 5)).await.unwrap(), before);
            server.stopped().await;
        }
    }
    // It stays for people to look at until the dataset is removed.
    let server = Server::start(directory.path()).await;
    assert!((metric(&server, "swiftsampler_datasets_quarantined").await - 1.0).abs() < 0.1);
    server.control().remove_job(v1::RemoveJobRequest { name: "j".into() }).await.unwrap();
    server.control().remove_dataset(v1::RemoveDatasetRequest { name: "d".into() }).await.unwrap();
    assert!(metric(&server, "swiftsampler_datasets_quarantined").await.abs() < 0.1);
    server.stopped().await;
}

#[tokio::test]
async fn a_damaged_dataset_is_still_known_to_be_after_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let server = server_with_dataset(directory.path(), 100).await;
    server.open_job(job("j", 8)).await.unwrap();
    server.stopped().await;
    flip_a_bit(&stored(directory.path()).join("columns.safetensors"), 1000);
    let mut messages = Vec::new();
    for _ in 0..2 {
        let server = Server::start(directory.path()).await;
        let status = server.stream(steps("j", 0, 5)).await.unwrap_err();
        assert_eq!(status.code(), Code::DataLoss);
        messages.push(status.message().to_owned());
        server.stopped().await;
    }
    assert_eq!(messages[0], messages[1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scrub_finds_damage_and_ends_the_streams_that_run() {
    let directory = tempfile::tempdir().unwrap();
    server_with_dataset(directory.path(), 1000).await.stopped().await;
    let server = Server::start_with(directory.path(), &["--scrub-interval", "1"]).await;
    server.import("other", &["loss"], &[("other.csv", csv(&columns(50)))]).await.unwrap();
    server.open_job(job("j", 8)).await.unwrap();
    server
        .open_job(v1::OpenJobRequest { mode: v1::ReplacementMode::Distinct.into(), ..job("distinct", 8) })
        .await
        .unwrap();
    server.open_job(v1::OpenJobRequest { dataset: "other".into(), ..job("other", 8) }).await.unwrap();
    let mut streams = Vec::new();
    for name in ["j", "distinct", "other"] {
        let endless = v1::StreamBatchesRequest { to_step: None, batches_per_message: 1, ..steps(name, 0, 0) };
        let mut blocks = server.sampling().stream_batches(endless).await.unwrap().into_inner();
        assert!(blocks.message().await.unwrap().is_some());
        streams.push(blocks);
    }
    let other = streams.pop().unwrap();
    let listed = server.control().get_dataset(v1::GetDatasetRequest { name: "d".into() }).await.unwrap().into_inner();
    let columns_file = directory.path().join("datasets").join(&listed.hash).join("columns.safetensors");
    flip_a_bit(&columns_file, fs::metadata(&columns_file).unwrap().len() - 1);
    for mut blocks in streams {
        let ended = async {
            loop {
                match blocks.message().await {
                    Ok(Some(_)) => {}
                    Ok(None) => panic!("it has no end"),
                    Err(status) => return status,
                }
            }
        };
        let status = tokio::time::timeout(DEADLINE, ended).await.unwrap();
        assert_eq!(status.code(), Code::DataLoss, "{status:?}");
        assert!(status.message().contains("columns.safetensors"), "{status:?}");
    }
    // Its other readers go on, and nothing is drawn from it any more.
    let mut other = other;
    for _ in 0..100 {
        assert!(other.message().await.unwrap().is_some());
    }
    assert_eq!(server.stream(steps("j", 0, 5)).await.unwrap_err().code(), Code::DataLoss);
    assert_eq!(server.put("d", r#"{"kind":"column","column":"loss"}"#).await.unwrap_err().code(), Code::DataLoss);
    assert!((metric(&server, "swiftsampler_datasets_quarantined").await - 1.0).abs() < 0.1);
    let scrubbed = async {
        while metric(&server, "swiftsampler_scrub_last_timestamp_seconds").await < 1.0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(DEADLINE, scrubbed).await.unwrap();
    assert!(directory.path().join("scrubbed").exists());
    drop(other);
    server.stopped().await;
}
