//! One client of two daemons over one Redis, one of which hangs or is killed under a running stream.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::{Duration, Instant};

use swift_sampler_client::blocking::{BatchStream, Client};
use swift_sampler_client::{Batch, BatchesRequest, ClientConfig};
use swift_sampler_tests::dataset::Columns;
use swift_sampler_tests::samplerctl::DrawJob;
use swift_sampler_tests::{RedisServer, Samplerd, deadline};
use tempfile::TempDir;

const JOB: DrawJob<'_> = DrawJob { name: "j", dataset: "d", seed: 1, batch_size: 64, follow: "step" };
/// Steps that are many windows of a stream.
const MANY: u64 = 20_000;

/// Two daemons that serve one job.
struct Pair {
    hung: Samplerd,
    well: Samplerd,
    _folder: TempDir,
    _redis: RedisServer,
}

impl Pair {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let redis = RedisServer::start(&folder.path().join("redis"), &[]);
        let start = |name: &str| Samplerd::start_with(&folder.path().join(name), &["--registry", &redis.url()]);
        let (hung, well) = (start("hung"), start("well"));
        let file = Columns::random(5000, 3).write_csv(folder.path(), "features.csv");
        hung.ctl().one(&["dataset", "import", "d", file.to_str().unwrap()]);
        well.ctl().draw(&JOB, 0..1, 0, 1);
        Self { hung, well, _folder: folder, _redis: redis }
    }

    fn client(&self) -> Client {
        let addresses = format!("{}, {}", self.hung.address(), self.well.address());
        let stall_timeout = Duration::from_secs(1);
        Client::new(ClientConfig { stall_timeout, ..ClientConfig::new(&addresses) }).unwrap()
    }
}

/// Checks that batches are those that a reader of the daemon that was well gets, each step once.
fn assert_undisturbed(batches: &[Batch], well: &Samplerd) {
    let client = Client::connect(well.address()).unwrap();
    let request = BatchesRequest { to_step: Some(batches.len() as u64), ..BatchesRequest::new("j", 0) };
    let mut replay = client.batches(request);
    for batch in batches {
        assert_eq!(replay.next().unwrap().unwrap(), *batch);
    }
}

/// Reads on, and returns the longest wait for a batch.
fn read(stream: &mut BatchStream, batches: &mut Vec<Batch>) -> Duration {
    let mut longest = Duration::ZERO;
    for _ in 0..MANY {
        let asked = Instant::now();
        batches.push(stream.next().unwrap().unwrap());
        longest = longest.max(asked.elapsed());
    }
    longest
}

fn served(daemon: &Samplerd) -> f64 {
    daemon.metric("swiftsampler_batches_served_total").unwrap()
}

#[test]
fn a_daemon_that_hangs_is_left_for_another_and_taken_back() {
    let pair = Pair::start();
    let client = pair.client();
    let mut batches = Vec::new();
    let mut stream = client.batches(BatchesRequest::new("j", 0));
    read(&mut stream, &mut batches);
    assert!(served(&pair.hung) > 0.0 && served(&pair.well) > 0.0, "windows go to both");

    pair.hung.pause();
    let longest = read(&mut stream, &mut batches);
    assert!(longest < client.inner().config().request_timeout / 4, "{longest:?}");
    // No call waits for it once it is known to hang.
    let asked = Instant::now();
    for _ in 0..10 {
        client.get_dataset("d").unwrap();
    }
    assert!(asked.elapsed() < client.inner().config().request_timeout / 4, "{:?}", asked.elapsed());

    pair.hung.resume();
    let before = served(&pair.hung);
    deadline("windows go to both again", || {
        read(&mut stream, &mut batches);
        (served(&pair.hung) > before + 1000.0).then_some(())
    });
    assert_undisturbed(&batches, &pair.well);
}

#[test]
fn a_killed_daemon_is_left_for_another_at_once() {
    let mut pair = Pair::start();
    let client = pair.client();
    let mut batches = Vec::new();
    let mut stream = client.batches(BatchesRequest::new("j", 0));
    read(&mut stream, &mut batches);
    let Pair { hung, well, .. } = &mut pair;
    hung.kill();
    read(&mut stream, &mut batches);
    client.get_dataset("d").unwrap();
    assert_undisturbed(&batches, well);
}
