//! Files of every format become datasets, and refused ones leave nothing behind.

use tonic::Code;

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
