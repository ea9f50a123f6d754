//! A daemon and its clients on one machine, over a Unix socket.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use swift_sampler_client::BatchesRequest;
use swift_sampler_client::blocking::Client;
use swift_sampler_tests::dataset::Columns;
use swift_sampler_tests::samplerctl::DrawJob;
use swift_sampler_tests::{Samplerctl, Samplerd, binary};

const JOB: DrawJob<'static> = DrawJob { name: "j", dataset: "d", seed: 1, batch_size: 50, follow: "step" };
const STEPS: u64 = 40;

/// Returns a job's batches as a reader at this address gets them.
fn indices(address: &str) -> Vec<Vec<u64>> {
    let request = BatchesRequest { to_step: Some(STEPS), ..BatchesRequest::new(JOB.name, 0) };
    let batches = Client::connect(address).unwrap().batches(request);
    batches.map(|batch| batch.unwrap().indices.iter().collect()).collect()
}

#[test]
fn a_unix_socket_serves_what_tcp_does_and_outlives_a_killed_daemon() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let path = folder.path().join("samplerd.sock");
    let path = path.to_str().unwrap();
    let address = format!("unix:{path}");
    let start = || Samplerd::start_with(&data, &["--listen-unix", path]);

    let mut daemon = start();
    assert_eq!(daemon.unix(), Some(path));
    assert_eq!(fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o600);
    let file = Columns::random(500, 2).write_csv(folder.path(), "features.csv");
    let ctl = Samplerctl::new(&address);
    ctl.one(&["dataset", "import", "d", file.to_str().unwrap()]);
    let drawn = ctl.draw(&JOB, 0..STEPS, 0, 1);
    assert_eq!(drawn, daemon.ctl().draw(&JOB, 0..STEPS, 0, 1));
    let served = indices(&address);
    assert_eq!(served.len() as u64, STEPS);
    assert_eq!(served, indices(daemon.address()));

    daemon.kill();
    assert!(fs::exists(path).unwrap(), "nobody was there to remove it");
    let mut daemon = start();
    // One address of several may be a socket, and one may be dead.
    assert_eq!(served, indices(&format!("unix:{path}.absent, {address}, {}", daemon.address())));
    daemon.terminate();
    assert!(daemon.wait().success(), "{}", daemon.log());
    assert!(!fs::exists(path).unwrap(), "a daemon that ends well leaves no socket");
    assert_eq!(Samplerd::start(&data).unix(), None);
}

#[test]
fn what_is_in_the_way_is_named_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("samplerd.sock");
    let refused = |path: &str| {
        let output = Command::new(binary("samplerd"))
            .args(["--listen", "127.0.0.1:0", "--http", "127.0.0.1:0", "--listen-unix", path, "--data-dir"])
            .arg(folder.path().join("second"))
            .output()
            .unwrap();
        let message = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(message.contains(path), "{message}");
        (output.status.code(), message)
    };
    let path = path.to_str().unwrap();
    let daemon = Samplerd::start_with(&folder.path().join("first"), &["--listen-unix", path]);
    let (code, message) = refused(path);
    assert_eq!(code, Some(4), "{message}");
    assert!(message.contains("another process serves there"), "{message}");
    assert!(Samplerctl::new(&format!("unix:{path}")).run(&["dataset", "list"]).unwrap().is_empty());
    drop(daemon);

    let file = folder.path().join("file");
    fs::write(&file, "mine").unwrap();
    let (code, message) = refused(file.to_str().unwrap());
    assert_eq!(code, Some(3), "{message}");
    assert!(message.contains("no socket"), "{message}");
    assert_eq!(fs::read_to_string(&file).unwrap(), "mine");

    let long = format!("/{}", "x".repeat(108));
    let (code, message) = refused(&long);
    assert_eq!(code, Some(3), "{message}");
    assert!(message.contains("has 109 bytes") && message.contains("at most 107"), "{message}");
    let failure = Samplerctl::new(&format!("unix:{long}")).run(&["dataset", "list"]).unwrap_err();
    assert_eq!(failure.code, 3, "{failure:?}");
    assert!(failure.message.contains(&long), "{failure:?}");
}
