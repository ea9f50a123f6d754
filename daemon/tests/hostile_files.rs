//! A file that ends, fills or outlasts its parser costs its import, and nothing else.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use swift_sampler_proto::v1;
use swift_sampler_proto::v1::control_client::ControlClient;
use swift_sampler_proto::v1::import_dataset_request::Part;
use tonic::transport::Channel;
use tonic::{Code, Status};

use crate::crafted;
use crate::harness::{Batch, DEADLINE, Server, columns, csv, job, server_with_dataset, steps};

/// Pages that take a parser many seconds, with nothing to show for it.
const SLOW_PAGES: usize = 60;

struct Scene {
    folder: tempfile::TempDir,
    server: Server,
    before: Vec<Batch>,
}

impl Scene {
    /// A daemon that already serves a good dataset.
    async fn set(flags: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let server = server_with_dataset(folder.path(), 200).await;
        server.stopped().await;
        let server = Server::start_with(folder.path(), flags).await;
        server.open_job(job("j", 32)).await.unwrap();
        let before = server.stream(steps("j", 0, 10)).await.unwrap();
        Self { folder, server, before }
    }

    async fn import_slowly(&self) -> Result<v1::Dataset, Status> {
        self.server.import("bad", &[], &[("slow.parquet", crafted::slow_pages(SLOW_PAGES))]).await
    }

    /// Nothing of an import is left, and what was there before still serves.
    async fn check(self) {
        let unfinished = self.folder.path().join("unfinished");
        until(|| fs::read_dir(&unfinished).unwrap().count() == 0).await;
        assert_eq!(parsers_in(self.folder.path()), [0; 0]);
        assert_eq!(self.server.stream(steps("j", 0, 10)).await.unwrap(), self.before);
        let datasets = self.server.control().list_datasets(v1::ListDatasetsRequest {}).await.unwrap().into_inner();
        assert_eq!(datasets.datasets.len(), 1);
        self.server.import("again", &[], &[("again.csv", csv(&columns(20)))]).await.unwrap();
        self.server.stopped().await;
    }
}

/// The processes that parse files under a data directory, as their command lines say.
fn parsers_in(data_dir: &Path) -> Vec<u32> {
    let processes =
        fs::read_dir("/proc").unwrap().filter_map(|entry| entry.unwrap().file_name().to_str()?.parse().ok());
    processes.filter(|process| is_parser_in(*process, data_dir)).collect()
}

fn is_parser_in(process: u32, data_dir: &Path) -> bool {
    // One that is gone meanwhile has no command line.
    let line = fs::read_to_string(format!("/proc/{process}/cmdline")).unwrap_or_default();
    line.contains(&format!("\0parse-files\0{}", data_dir.display()))
}

async fn parser_in(data_dir: &Path) -> u32 {
    until(|| !parsers_in(data_dir).is_empty()).await;
    parsers_in(data_dir)[0]
}

async fn until(condition: impl Fn() -> bool) {
    let met = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(DEADLINE, met).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_takes_too_long_is_refused() {
    let scene = Scene::set(&["--parse-timeout", "1"]).await;
    let status = scene.import_slowly().await.unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted);
    assert!(status.message().contains("parsing the files took over 1 s"), "{}", status.message());
    scene.check().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_takes_too_much_memory_is_refused() {
    let scene = Scene::set(&["--parse-memory-bytes-max", "83886080"]).await;
    let commas = [("commas.csv", vec![b','; 4_000_000])];
    let status = scene.server.import("bad", &[], &commas).await.unwrap_err();
    assert!(status.message().contains("took more than 83886080 bytes of memory"), "{}", status.message());
    assert_eq!(status.code(), Code::ResourceExhausted);
    scene.check().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_small_file_of_more_rows_than_the_disk_is_to_hold_is_refused() {
    let scene = Scene::set(&["--import-bytes-max", "1048576"]).await;
    let status = scene.server.import("bad", &[], &[("rows.parquet", crafted::constant_rows(4))]).await.unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted);
    assert!(status.message().contains("4194304 rows of 2 columns are 67108864 bytes"), "{}", status.message());
    scene.check().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_parser_that_crashes_costs_its_import_alone() {
    let scene = Scene::set(&[]).await;
    let crash = async {
        let parser = parser_in(scene.folder.path()).await;
        assert!(Command::new("kill").args(["-ABRT", &parser.to_string()]).status().unwrap().success());
    };
    let (import, ()) = tokio::join!(scene.import_slowly(), crash);
    let status = import.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    assert!(status.message().contains("the parser of the files ended with signal: 6"), "{}", status.message());
    scene.check().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_that_goes_away_ends_its_parser() {
    let scene = Scene::set(&[]).await;
    tokio::select! {
        _ = scene.import_slowly() => panic!("it takes longer"),
        _ = parser_in(scene.folder.path()) => {}
    }
    let folder = scene.folder.path();
    until(|| parsers_in(folder).is_empty()).await;
    scene.check().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_that_is_killed_takes_its_parser_along() {
    let folder = tempfile::tempdir().unwrap();
    let mut daemon = Command::new(env!("CARGO_BIN_EXE_samplerd"))
        .args(["--listen", "127.0.0.1:0", "--http", "127.0.0.1:0", "--data-dir"])
        .arg(folder.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(daemon.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let addresses: serde_json::Value = serde_json::from_str(&line).unwrap();
    let endpoint = Channel::from_shared(format!("http://{}", addresses["grpc"].as_str().unwrap())).unwrap();
    let mut control = ControlClient::new(endpoint.connect().await.unwrap());
    let file = v1::ImportFile { name: "slow.parquet".into(), format: 0 };
    let header = v1::ImportHeader { name: "bad".into(), files: vec![file], ..Default::default() };
    let file = crafted::slow_pages(SLOW_PAGES);
    let chunks = file.chunks(1 << 20).map(|data| Part::Chunk(v1::ImportChunk { file: 0, data: data.to_vec().into() }));
    let parts: Vec<_> = std::iter::once(Part::Header(header)).chain(chunks).collect();
    let parts = parts.into_iter().map(|part| v1::ImportDatasetRequest { part: Some(part) });
    let import = tokio::spawn(async move { control.import_dataset(tokio_stream::iter(parts)).await });
    parser_in(folder.path()).await;
    daemon.kill().unwrap();
    daemon.wait().unwrap();
    until(|| parsers_in(folder.path()).is_empty()).await;
    import.await.unwrap().unwrap_err();
}
