//! What people who run the daemon rely on: health, metrics, shutdown, a store that survives.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(clippy::float_cmp, reason = "counters are whole numbers")]

use std::process::Command;
use std::time::{Duration, Instant};

use swift_sampler_client::blocking::Client;
use swift_sampler_client::{BatchesRequest, ClientConfig};
use swift_sampler_tests::dataset::Columns;
use swift_sampler_tests::samplerctl::DrawJob;
use swift_sampler_tests::{Samplerd, binary};

const JOB: DrawJob<'static> = DrawJob { name: "j", dataset: "d", seed: 1, batch_size: 50, follow: "step" };
/// The promise: a daemon told to stop is gone within this.
const DRAIN_MAX: Duration = Duration::from_secs(30);

fn with_dataset(folder: &std::path::Path) -> Samplerd {
    let daemon = Samplerd::start(&folder.join("data"));
    let file = Columns::random(500, 2).write_csv(folder, "features.csv");
    daemon.ctl().one(&["dataset", "import", "d", file.to_str().unwrap()]);
    daemon
}

#[test]
fn health_and_metrics_tell_what_was_served() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = with_dataset(folder.path());
    assert_eq!(daemon.http("/healthz").0, 200);
    assert_eq!(daemon.http("/readyz").0, 200);
    assert_eq!(daemon.http("/nothing").0, 404);
    assert_eq!(daemon.http("/").0, 200);
    daemon.ctl().draw(&JOB, 0..7, 0, 1);
    let version = daemon.ctl().put("d", folder.path(), r#"{"kind":"column","column":"loss"}"#);
    daemon.ctl().activate("d", version);
    let metric = |name: &str| daemon.metric(name).unwrap_or_else(|| panic!("{name} is exported"));
    assert!(metric("swiftsampler_batches_served_total") >= 7.0);
    assert!(metric("swiftsampler_draws_served_total") >= 350.0);
    assert_eq!(metric("swiftsampler_dataset_rows"), 500.0);
    assert_eq!(metric("swiftsampler_active_version"), 2.0);
    assert_eq!(metric("swiftsampler_registry_up"), 1.0);
    assert_eq!(metric("swiftsampler_streams"), 0.0);
    assert!(metric("swiftsampler_swap_duration_seconds_count") >= 1.0);
    assert!(daemon.metric("swiftsampler_send_wait_seconds_count").is_some());
    let ratio = metric("swiftsampler_effective_sample_size_ratio");
    assert!(ratio > 0.2 && ratio < 0.9, "the losses are exponential, so about one half: {ratio}");
    assert_eq!(metric("swiftsampler_sampler_total_variation"), 0.0, "so few examples have a cell each");
    assert_eq!(daemon.ctl().one(&["sampler", "show", "d", "2"])["total_variation"], 0.0);
}

#[test]
fn a_terminated_daemon_ends_streams_at_a_batch_boundary_and_exits_in_time() {
    let folder = tempfile::tempdir().unwrap();
    let mut daemon = with_dataset(folder.path());
    daemon.ctl().draw(&JOB, 0..1, 0, 1);
    let config =
        ClientConfig { retry_deadline: Some(Duration::from_millis(200)), ..ClientConfig::new(daemon.address()) };
    let client = Client::new(config).unwrap();
    let mut batches = client.batches(BatchesRequest::new("j", 0));
    let first = batches.next().unwrap().unwrap();
    assert_eq!(first.indices.len(), 50);

    let start = Instant::now();
    daemon.terminate();
    // The stream ends with whole batches and then says that the daemon is gone.
    let mut next = 1;
    let error = loop {
        match batches.next().expect("a stream without end ends with an error") {
            Ok(batch) => {
                assert_eq!((batch.step, batch.indices.len()), (next, 50));
                next += 1;
            }
            Err(error) => break error,
        }
    };
    assert_eq!(error.exit_code(), 4, "{error}");
    assert!(daemon.wait().success(), "{}", daemon.log());
    assert!(start.elapsed() < DRAIN_MAX);
}

#[test]
fn everything_acknowledged_survives_kill_9() {
    let folder = tempfile::tempdir().unwrap();
    let mut daemon = with_dataset(folder.path());
    let mut versions = 1;
    for _ in 0..5 {
        let version = daemon.ctl().put("d", folder.path(), r#"{"kind":"column","column":"grad_norm"}"#);
        assert_eq!(version, versions + 1);
        daemon.ctl().activate("d", version);
        versions = version;
        daemon = daemon.kill_and_restart();
        let listed = daemon.ctl().run(&["sampler", "list", "d"]).unwrap();
        assert_eq!(listed.len() as u64, versions);
        assert_eq!(daemon.ctl().one(&["dataset", "show", "d"])["active_version"], versions);
    }
}

#[test]
fn a_second_daemon_over_the_same_data_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = with_dataset(folder.path());
    let second = Command::new(binary("samplerd"))
        .arg("--data-dir")
        .arg(folder.path().join("data"))
        .args(["--listen", "127.0.0.1:0", "--http", "127.0.0.1:0"])
        .output()
        .unwrap();
    let message = String::from_utf8_lossy(&second.stderr).into_owned();
    assert_eq!(second.status.code(), Some(4), "{message}");
    assert!(message.contains("in use by another samplerd"), "{message}");
    assert_eq!(daemon.http("/readyz").0, 200);
}

#[test]
fn an_unfit_configuration_is_refused_with_exit_code_3() {
    let folder = tempfile::tempdir().unwrap();
    let run = |arguments: &[&str]| {
        let output = Command::new(binary("samplerd"))
            .arg("--data-dir")
            .arg(folder.path())
            .args(["--listen", "127.0.0.1:0", "--http", "127.0.0.1:0"])
            .args(arguments)
            .output()
            .unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let config = folder.path().join("samplerd.toml");
    std::fs::write(&config, "lisen = \"127.0.0.1:0\"\n").unwrap();
    let (code, message) = run(&["--config", config.to_str().unwrap()]);
    assert_eq!(code, Some(3), "{message}");
    assert!(message.contains("lisen"), "{message}");
    let (code, message) = run(&["--registry", "oracle"]);
    assert_eq!(code, Some(3), "{message}");
    assert!(message.contains("\"oracle\"") && message.contains("redis://"), "{message}");
}
