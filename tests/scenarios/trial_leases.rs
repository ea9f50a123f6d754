//! Trials whose workers are told to go, hang, or go on for longer than a lease.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use swift_sampler_client::blocking::{Client, Leased, TrialLease};
use swift_sampler_client::proto::tell_trial_request::Outcome;
use swift_sampler_client::proto::{self, TrialState};
use swift_sampler_client::{ClientError, ImportRequest, TrialRequest};
use swift_sampler_tests::{Samplerd, binary, deadline};

/// The shortest there is.
const LEASE: Duration = Duration::from_secs(1);

fn request(worker: &str) -> TrialRequest {
    TrialRequest { lease: LEASE, ..TrialRequest::new("s", worker) }
}

/// A daemon with study s of one trial.
fn study(folder: &Path) -> (Samplerd, Client) {
    let daemon = Samplerd::start(&folder.join("data"));
    let client = Client::connect(daemon.address()).unwrap();
    let features = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/features.parquet");
    client.import_dataset(&ImportRequest::new("d", [features]), |_| {}).unwrap();
    let create = proto::CreateStudyRequest { name: "s".into(), dataset: "d".into(), ..Default::default() };
    client.create_study(proto::CreateStudyRequest { config_json: "{}".into(), ..create }).unwrap();
    let add = proto::AddTrialRequest { study: "s".into(), parameters_json: "{}".into(), ..Default::default() };
    client.add_trial(proto::AddTrialRequest { sampler_version: 1, ..add }).unwrap();
    (daemon, client)
}

fn lease(client: &Client, request: &TrialRequest) -> TrialLease {
    deadline("a trial is to be had", || match client.lease(request).unwrap() {
        Leased::Trial(lease) => Some(lease),
        Leased::NoneNow => None,
        Leased::StudyEnded => panic!("the study goes on"),
    })
}

#[test]
fn a_lease_is_kept_in_the_background_until_the_study_ends() {
    let folder = tempfile::tempdir().unwrap();
    let (_daemon, client) = study(folder.path());
    let lease = lease(&client, &request("a"));
    let first_expiry = lease.trial().lease_expires_at_ms;
    let expiry_after = |expiry: u64| {
        let trial = client.list_trials("s").unwrap().remove(0);
        assert_eq!((trial.state(), trial.attempt), (TrialState::Running, 1), "{trial:?}");
        (trial.lease_expires_at_ms > expiry).then_some(trial.lease_expires_at_ms)
    };
    deadline("the lease outlives two of its length", || expiry_after(first_expiry + 2_000));
    assert!(lease.report("{\"epochs\":[]}").unwrap());
    assert_eq!(client.list_trials("s").unwrap()[0].report_json, "{\"epochs\":[]}");
    client.end_study("s", "{}").unwrap();
    deadline("the worker is told to give up", || lease.is_lost().then_some(()));
    assert!(!lease.report("").unwrap());
}

#[test]
fn a_trial_that_hangs_goes_to_another_worker_whose_result_stands() {
    let folder = tempfile::tempdir().unwrap();
    let (_daemon, client) = study(folder.path());
    let hanging = lease(&client, &TrialRequest { hang_timeout: Some(Duration::ZERO), ..request("hangs") });
    let other = lease(&client, &request("other"));
    assert_eq!((other.trial().number, other.trial().attempt), (0, 2));
    let late = hanging.tell(Outcome::Objective(0.1), "").unwrap_err();
    assert!(matches!(&late, ClientError::FailedPrecondition(_)), "{late}");
    assert!(!hanging.report("").unwrap() && hanging.is_lost());
    assert_eq!(other.tell(Outcome::Objective(0.9), "").unwrap().objective, Some(0.9));
}

#[test]
fn workers_that_are_told_to_stop_give_their_trials_back_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Samplerd::start(&folder.path().join("data"));
    let client = Client::connect(daemon.address()).unwrap();
    // Trials that would go on for hours.
    let mut search = Command::new(binary("searcher"))
        .args(["--target", "simulated", "--study", "s", "--epochs", "1000000", "--jobs", "2"])
        .args(["--daemon", daemon.address(), "--work-dir"])
        .arg(folder.path().join("work"))
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let running = || {
        let trials = client.list_trials("s").unwrap_or_default();
        (trials.iter().filter(|trial| trial.state() == TrialState::Running).count() == 2).then_some(())
    };
    deadline("both workers have a trial", running);
    assert!(Command::new("kill").args(["-TERM", &search.id().to_string()]).status().unwrap().success());
    search.wait().unwrap();
    // Their leases, of 30 s, have not run out.
    for trial in &client.list_trials("s").unwrap()[..2] {
        assert_eq!((trial.state(), trial.attempt), (TrialState::Pending, 1), "{trial:?}");
        assert!(trial.reason.contains("was told to stop"), "{trial:?}");
    }
    let next = lease(&client, &request("next"));
    assert_eq!((next.trial().number, next.trial().attempt), (0, 2));
}
