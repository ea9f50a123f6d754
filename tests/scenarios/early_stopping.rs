//! Trials that are stopped early: their results are a function of their parameters, wherever they run.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;
use swift_sampler_client::blocking::Client;
use swift_sampler_client::proto;
use swift_sampler_tests::{Samplerd, binary, deadline};

const TRIALS: &str = "16";

/// What may not depend on where a trial ran.
#[derive(Debug, PartialEq)]
struct Outcome {
    objective: Option<f64>,
    accuracies: Vec<f64>,
    stopped: bool,
}

fn outcome(trial: &proto::Trial) -> Outcome {
    let report: Value = serde_json::from_str(&trial.report_json).unwrap();
    let epochs = report["epochs"].as_array().unwrap();
    Outcome {
        objective: trial.objective,
        accuracies: epochs.iter().map(|epoch| epoch["validation_accuracy"].as_f64().unwrap()).collect(),
        stopped: report["stopped"] == true,
    }
}

fn search(daemon: &Samplerd, work_dir: &Path) {
    let output = Command::new(binary("searcher"))
        .args(["--target", "simulated", "--train-examples", "4000", "--label-noise", "0.4", "--seed", "1"])
        .args(["--study", "first", "--dataset", "d", "--trials", TRIALS, "--confirm", "0", "--finalists", "0"])
        .args(["--stop-early", "--jobs", "1", "--daemon", daemon.address(), "--work-dir"])
        .arg(work_dir)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// Whether the other study's trial is stopped after its first epoch, whatever that comes to.
fn is_cut_short(number: usize) -> bool {
    number % 2 == 1
}

/// Adds the trials of `first` to another study, whose candidates have other versions; every other one with a bar that no
/// accuracy reaches.
fn add_again(client: &Client, first: &proto::Study, trials: &[proto::Trial]) {
    client
        .create_study(proto::CreateStudyRequest {
            name: "again".to_owned(),
            dataset: first.dataset.clone(),
            config_json: first.config_json.clone(),
            attempts_max: 0,
        })
        .unwrap();
    for (number, trial) in (0u64..).zip(trials) {
        let mut parameters: Value = serde_json::from_str(&trial.parameters_json).unwrap();
        if is_cut_short(usize::try_from(number).unwrap()) {
            parameters["stop_below"] = serde_json::json!([2.0]);
        }
        let origin = proto::Origin { study: "again".to_owned(), trial: number, candidate: true };
        let sampler = client.put_sampler(&first.dataset, &parameters["sampler"].to_string(), Some(origin)).unwrap();
        client
            .add_trial(proto::AddTrialRequest {
                study: "again".to_owned(),
                number,
                parameters_json: parameters.to_string(),
                sampler_version: sampler.version,
            })
            .unwrap();
    }
}

#[test]
fn a_stopped_trial_has_the_same_result_in_another_process_and_its_objective_is_its_last_accuracy() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Samplerd::start(&folder.path().join("data"));
    let work_dir = folder.path().join("work");
    search(&daemon, &work_dir);
    let client = Client::connect(daemon.address()).unwrap();
    let first = client.get_study("first").unwrap();
    let trials = client.list_trials("first").unwrap();
    let outcomes: Vec<Outcome> = trials.iter().map(outcome).collect();
    for (trial, outcome) in trials.iter().zip(&outcomes) {
        let parameters: Value = serde_json::from_str(&trial.parameters_json).unwrap();
        let bars = parameters["stop_below"].as_array().cloned().unwrap_or_default();
        let below = |epoch: usize| bars.get(epoch).is_some_and(|bar| outcome.accuracies[epoch] < bar.as_f64().unwrap());
        assert_eq!(outcome.objective.as_ref(), outcome.accuracies.last());
        let last = outcome.accuracies.len() - 1;
        assert!((0..last).all(|epoch| !below(epoch)), "stopped at once: {outcome:?}, {bars:?}");
        assert_eq!(outcome.stopped, below(last), "stopped below its bar only: {outcome:?}, {bars:?}");
        assert!(outcome.stopped || outcome.accuracies.len() == 5, "{outcome:?}");
    }

    add_again(&client, &first, &trials);
    let mut worker = Command::new(binary("searcher"))
        .args(["worker", "--study", "again", "--name", "elsewhere", "--until-stdin-closes"])
        .args(["--daemon", daemon.address(), "--work-dir"])
        .arg(folder.path().join("elsewhere"))
        .stdin(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let again = deadline("every trial is told again", || {
        let trials = client.list_trials("again").unwrap();
        trials.iter().all(|trial| trial.objective.is_some()).then_some(trials)
    });
    drop(worker.stdin.take());
    worker.wait().unwrap();
    let expected = outcomes.into_iter().enumerate().map(|(number, outcome)| match is_cut_short(number) {
        true => Outcome {
            objective: Some(outcome.accuracies[0]),
            accuracies: outcome.accuracies[..1].to_vec(),
            stopped: true,
        },
        false => outcome,
    });
    assert_eq!(again.iter().map(outcome).collect::<Vec<_>>(), expected.collect::<Vec<_>>());
}
