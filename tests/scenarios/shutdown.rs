//! A daemon that is told to end does so in time, whoever holds on to it, and after nothing but whole batches.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(clippy::print_stdout, reason = "what was measured is to be seen with --nocapture")]

use std::io::Write;
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use swift_sampler_client::proto::control_client::ControlClient;
use swift_sampler_client::proto::sampling_client::SamplingClient;
use swift_sampler_client::proto::{
    ImportDatasetRequest, ImportFile, ImportHeader, StreamBatchesRequest, WatchActiveSamplerRequest,
    import_dataset_request::Part,
};
use swift_sampler_tests::dataset::Columns;
use swift_sampler_tests::samplerctl::DrawJob;
use swift_sampler_tests::{RedisServer, Samplerd, binary, deadline};
use tokio::runtime::Runtime;
use tonic::Code;
use tonic::transport::Endpoint;

const JOB: DrawJob<'static> = DrawJob { name: "j", dataset: "d", seed: 1, batch_size: 50, follow: "step" };
/// How long calls may take to end, in the scenario with a peer that never lets them; otherwise the default, 20 s.
const DRAIN_TIMEOUT_S: u64 = 2;
/// What the promise allows beyond: abandoning what is left, on a machine that is busy with other tests.
const REST_MAX: Duration = Duration::from_secs(8);
/// The promise with the default of the drain.
const EXIT_MAX: Duration = Duration::from_secs(30);

/// A process that is stopped while it reads batches as fast as they come.
struct FrozenReader(Child);

impl FrozenReader {
    fn start(daemon: &Samplerd) -> Self {
        let arguments = ["bench", "d", "--seconds", "600", "--daemon", daemon.address()];
        let reader = Command::new(binary("samplerctl")).args(arguments).stdout(Stdio::null()).spawn().unwrap();
        let reader = Self(reader);
        deadline("the reader reads", || {
            daemon.metric("swiftsampler_batches_served_total").filter(|served| *served > 100.0)
        });
        let stopped = Command::new("kill").args(["-STOP", &reader.0.id().to_string()]).status().unwrap();
        assert!(stopped.success());
        reader
    }
}

impl Drop for FrozenReader {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

fn with_dataset(folder: &Path, arguments: &[&str]) -> Samplerd {
    let daemon = Samplerd::start_with(&folder.join("data"), arguments);
    let file = Columns::random(500, 2).write_csv(folder, "features.csv");
    daemon.ctl().one(&["dataset", "import", "d", file.to_str().unwrap()]);
    daemon.ctl().draw(&JOB, 0..1, 0, 1);
    daemon
}

/// Tells the daemon to end and returns how long that took.
fn end(mut daemon: Samplerd) -> Duration {
    let start = Instant::now();
    daemon.terminate();
    assert!(daemon.wait().success(), "{}", daemon.log());
    assert!(!daemon.log().contains("panicked"), "{}", daemon.log());
    start.elapsed()
}

#[test]
fn a_frozen_reader_holds_a_daemon_no_longer_than_the_drain_may_take() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = with_dataset(folder.path(), &["--drain-timeout", &DRAIN_TIMEOUT_S.to_string()]);
    let _reader = FrozenReader::start(&daemon);
    let took = end(daemon);
    println!("figure: exit with a frozen reader and a drain of {DRAIN_TIMEOUT_S} s: {:.1} s", took.as_secs_f64());
    assert!(took < Duration::from_secs(DRAIN_TIMEOUT_S) + REST_MAX, "{took:?}");
    // What it held is whole.
    let daemon = Samplerd::start(&folder.path().join("data"));
    assert_eq!(daemon.ctl().draw(&JOB, 0..3, 0, 1).len(), 3);
}

#[test]
fn callers_that_wait_or_say_nothing_do_not_hold_a_daemon() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = with_dataset(folder.path(), &[]);
    let runtime = Runtime::new().unwrap();
    let endpoint = Endpoint::from_shared(format!("http://{}", daemon.address())).unwrap();
    let channel = runtime.block_on(endpoint.connect()).unwrap();
    let (mut control, mut sampling) = (ControlClient::new(channel.clone()), SamplingClient::new(channel));

    let silent: Vec<TcpStream> = (0..3).map(|_| TcpStream::connect(daemon.address()).unwrap()).collect();
    let mut half_a_request = TcpStream::connect(daemon.http_address()).unwrap();
    half_a_request.write_all(b"GET /metrics HTTP/1.1\r\nHost: ").unwrap();
    let watch = WatchActiveSamplerRequest { dataset: "d".into() };
    let mut changes = runtime.block_on(control.watch_active_sampler(watch)).unwrap().into_inner();
    runtime.block_on(changes.message()).unwrap();
    let request = StreamBatchesRequest { job: "j".into(), world_size: 1, ..Default::default() };
    let mut blocks = runtime.block_on(sampling.stream_batches(request)).unwrap().into_inner();
    runtime.block_on(blocks.message()).unwrap();
    let (parts, receiver) = tokio::sync::mpsc::channel(1);
    let header = ImportHeader {
        name: "never".into(),
        files: vec![ImportFile { name: "f.csv".into(), ..Default::default() }],
        ..Default::default()
    };
    parts.try_send(ImportDatasetRequest { part: Some(Part::Header(header)) }).unwrap();
    let upload = tokio_stream::wrappers::ReceiverStream::new(receiver);
    let mut importer = control.clone();
    let import = runtime.spawn(async move { importer.import_dataset(upload).await });
    deadline("the import has begun", || {
        let unfinished = std::fs::read_dir(daemon.data_dir().join("unfinished")).unwrap();
        (unfinished.count() > 0).then_some(())
    });
    // The reader goes on reading, as a trainer does.
    let ended = runtime.spawn(async move {
        loop {
            match blocks.message().await {
                Ok(block) => assert!(block.is_some(), "an endless stream does not end well"),
                Err(status) => return status,
            }
        }
    });

    let took = end(daemon);
    println!("figure: exit with watchers, readers, an upload and silent connections: {:.1} s", took.as_secs_f64());
    // Half of a request over HTTP is waited for longest, 10 s.
    assert!(took < Duration::from_secs(10) + REST_MAX, "{took:?}");
    let watch = runtime.block_on(changes.message()).unwrap_err();
    for (what, status) in [
        ("watch", watch),
        ("stream", runtime.block_on(ended).unwrap()),
        ("import", runtime.block_on(import).unwrap().unwrap_err()),
    ] {
        assert_eq!(status.code(), Code::Unavailable, "{what}: {status}");
    }
    drop((silent, half_a_request));
}

#[test]
fn a_registry_that_hangs_does_not_hold_a_daemon() {
    let folder = tempfile::tempdir().unwrap();
    let redis = RedisServer::start(&folder.path().join("redis"), &[]);
    let daemon = with_dataset(folder.path(), &["--registry", &redis.url()]);
    redis.pause();
    let took = end(daemon);
    println!("figure: exit while Redis hangs: {:.1} s", took.as_secs_f64());
    assert!(took < EXIT_MAX, "{took:?}");
    redis.resume();
}
