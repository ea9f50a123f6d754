//! Data directories of every released version are opened, and serve to the bit what they served then.
//!
//! `tests/fixtures/stored/VERSION` holds one, with what was served of it; `RELEASE=0.1.0 cargo test -p
//! swift-sampler-tests --test stored_versions` keeps that of a version that is being released.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use swift_sampler_client::blocking::Client;
use swift_sampler_client::proto::{self, tell_trial_request::Outcome};
use swift_sampler_tests::dataset::Columns;
use swift_sampler_tests::{Samplerd, copy_folder};

const SPEC: &str = r#"{"kind":"swift","features":["loss","entropy"],"coefficients":[0.6,-0.8],
    "knots":[0.25,0.5,0.75],"values":[0.1,1,0.5,0.25,0]}"#;
const MODES: [&str; 3] = ["independent", "stratified", "distinct"];
const STUDY: &str = "search";

fn stored() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/stored")
}

#[test]
fn what_a_released_version_stored_is_served_as_it_was_then() {
    if let Ok(version) = std::env::var("RELEASE") {
        record(&stored().join(version));
    }
    let versions: Vec<PathBuf> = fs::read_dir(stored()).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(!versions.is_empty(), "there is a version to open");
    for version in versions {
        let folder = tempfile::tempdir().unwrap();
        let data_dir = folder.path().join("data");
        copy_folder(&version.join("data"), &data_dir);
        let daemon = Samplerd::start(&data_dir);
        let expected: Value = serde_json::from_slice(&fs::read(version.join("served.json")).unwrap()).unwrap();
        check_holds(&served(&daemon), &expected, &version.display().to_string());
        // It is written on as well.
        let put = daemon.ctl().put("d", folder.path(), SPEC);
        daemon.ctl().activate("d", put);
        assert_eq!(daemon.ctl().one(&["dataset", "show", "d"])["active_version"], put);
    }
}

/// Makes a data directory with everything in it that a daemon stores, and keeps it with what is served of it.
fn record(place: &Path) {
    let folder = tempfile::tempdir().unwrap();
    let data_dir = folder.path().join("data");
    let mut daemon = Samplerd::start(&data_dir);
    let ctl = daemon.ctl();
    let file = |name: &str, seed| Columns::random(40, seed).write_csv(folder.path(), name).display().to_string();
    ctl.one(&["dataset", "import", "d", &file("first.csv", 1)]);
    ctl.put("d", folder.path(), SPEC);
    for mode in MODES {
        draw(&daemon, mode, "0..3");
    }
    ctl.activate("d", 2);
    for mode in MODES {
        draw(&daemon, mode, "70..72");
    }
    ctl.run(&["dataset", "refresh", "d", &file("second.csv", 2)]).unwrap();
    for mode in MODES {
        draw(&daemon, mode, "140..142");
    }
    run_study(&Client::connect(daemon.address()).unwrap());
    let served = served(&daemon);
    daemon.terminate();
    assert!(daemon.wait().success(), "{}", daemon.log());
    fs::create_dir_all(place).unwrap();
    copy_folder(&data_dir, &place.join("data"));
    fs::write(place.join("served.json"), format!("{served:#}\n")).unwrap();
}

fn draw(daemon: &Samplerd, mode: &str, steps: &str) -> Vec<Value> {
    let arguments = ["draw", "d", "--job", mode, "--seed", "7", "--batch-size", "4", "--steps", steps, "--mode", mode];
    daemon.ctl().run(&arguments).unwrap()
}

/// A study with a trial that succeeded, one that failed, and one that waits.
fn run_study(client: &Client) {
    client
        .create_study(proto::CreateStudyRequest {
            name: STUDY.into(),
            dataset: "d".into(),
            config_json: r#"{"a":1}"#.into(),
            attempts_max: 1,
        })
        .unwrap();
    for (number, outcome) in
        [(0, Some(Outcome::Objective(0.5))), (1, Some(Outcome::Failed("crashed".into()))), (2, None)]
    {
        let add = proto::AddTrialRequest {
            study: STUDY.into(),
            number,
            parameters_json: r#"{"b":2}"#.into(),
            sampler_version: 2,
        };
        client.add_trial(add).unwrap();
        let Some(outcome) = outcome else { return };
        let lease = proto::LeaseTrialRequest { study: STUDY.into(), worker: "w".into(), lease_ms: 0, wait_ms: 0 };
        let attempt = client.lease_trial(lease).unwrap().trial.unwrap().attempt;
        let tell = proto::TellTrialRequest {
            study: STUDY.into(),
            number,
            attempt,
            worker: "w".into(),
            outcome: Some(outcome),
            report_json: r#"{"c":3}"#.into(),
        };
        client.tell_trial(tell).unwrap();
    }
}

/// Everything that is served of what is stored.
fn served(daemon: &Samplerd) -> Value {
    let ctl = daemon.ctl();
    let client = Client::connect(daemon.address()).unwrap();
    let trials: Vec<Value> = client.list_trials(STUDY).unwrap().iter().map(trial).collect();
    json!({
        "dataset": ctl.one(&["dataset", "show", "d"]),
        "samplers": ctl.run(&["sampler", "list", "d"]).unwrap(),
        "jobs": ctl.run(&["job", "list"]).unwrap(),
        "batches": MODES.map(|mode| draw(daemon, mode, "0..142")),
        "study": { "config": client.get_study(STUDY).unwrap().config_json, "trials": trials },
    })
}

fn trial(trial: &proto::Trial) -> Value {
    json!({
        "number": trial.number, "parameters": trial.parameters_json, "version": trial.sampler_version,
        "state": trial.state().as_str_name(), "attempt": trial.attempt, "worker": trial.worker,
        "objective": trial.objective, "reason": trial.reason, "report": trial.report_json,
        "added_at_ms": trial.added_at_ms, "ended_at_ms": trial.ended_at_ms,
    })
}

/// Fails where something expected is not there; a newer version may say more.
fn check_holds(found: &Value, expected: &Value, place: &str) {
    match (found, expected) {
        (Value::Object(found), Value::Object(expected)) => {
            for (name, expected) in expected {
                check_holds(&found[name], expected, &format!("{place}: {name}"));
            }
        }
        (Value::Array(found), Value::Array(expected)) => {
            assert_eq!(found.len(), expected.len(), "{place}");
            for (number, (found, expected)) in found.iter().zip(expected).enumerate() {
                check_holds(found, expected, &format!("{place}[{number}]"));
            }
        }
        _ => assert_eq!(found, expected, "{place}"),
    }
}
