//! A whole search against a real daemon, with the closed-form target that needs no libtorch.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;
use swift_sampler_tests::samplerctl::DrawJob;
use swift_sampler_tests::{Samplerd, binary, deadline};

const TRIALS: u64 = 16;

fn searcher(daemon: &Samplerd, work_dir: &Path) -> Command {
    let mut command = Command::new(binary("searcher"));
    command
        .args(["--target", "simulated", "--study", "s", "--dataset", "d", "--seed", "1", "--label-noise", "0.4"])
        .args(["--trials", &TRIALS.to_string(), "--jobs", "2", "--confirm", "2", "--output", "json"])
        .args(["--daemon", daemon.address(), "--work-dir"])
        .arg(work_dir);
    command
}

fn report(output: &Output) -> Value {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

fn show(daemon: &Samplerd) -> Value {
    let output = Command::new(binary("searcher"))
        .args(["show", "s", "--output", "json", "--daemon", daemon.address()])
        .output()
        .unwrap();
    report(&output)
}

#[test]
fn a_search_finds_a_better_sampler_and_swaps_it_into_a_running_job() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Samplerd::start(&folder.path().join("data"));
    let output = searcher(&daemon, &folder.path().join("work")).output().unwrap();
    let report = report(&output);
    assert!(report["gain"].as_f64().unwrap() > 0.0, "{report}");

    for trial in show(&daemon)["trials"].as_array().unwrap() {
        let (waited, seconds) = (trial["waited_seconds"].as_f64().unwrap(), trial["seconds"].as_f64().unwrap());
        assert!(0.0 < waited && waited < seconds, "{trial}");
    }

    let dataset = daemon.ctl().one(&["dataset", "show", "d"]);
    let active = dataset["active_version"].as_u64().unwrap();
    assert!(active > 1, "the winner is active: {dataset}");
    let job = DrawJob { name: "after", dataset: "d", seed: 1, batch_size: 64, follow: "step" };
    assert!(daemon.ctl().draw(&job, 0..5, 0, 1).iter().all(|batch| batch["version"] == active));
    // The study's other candidates are collected.
    let versions = daemon.ctl().run(&["sampler", "list", "d", "--candidates"]).unwrap();
    assert_eq!(versions.len(), 2, "uniform and the winner: {versions:?}");
    for picture in ["history.svg", "sampler.svg", "heat_map.svg"] {
        let svg = std::fs::read_to_string(folder.path().join("work").join(picture)).unwrap();
        assert!(svg.contains("<svg"), "{picture}");
    }

    // The same command again finds everything done and says the same.
    let again = searcher(&daemon, &folder.path().join("work")).output().unwrap();
    assert_eq!(self::report(&again)["gain"], report["gain"]);
}

/// Returns the active version of dataset `d`.
fn active(daemon: &Samplerd) -> u64 {
    daemon.ctl().one(&["dataset", "show", "d"])["active_version"].as_u64().unwrap()
}

#[test]
fn a_dry_run_activates_nothing_the_same_search_then_does_and_a_rollback_takes_it_back() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Samplerd::start(&folder.path().join("data"));
    let work_dir = folder.path().join("work");
    let dry = searcher(&daemon, &work_dir).arg("--dry-run").output().unwrap();
    let said = String::from_utf8_lossy(&dry.stderr).into_owned();
    let winner = report(&dry)["winner"].clone();
    assert_eq!((winner["verdict"]["decision"].as_str(), active(&daemon)), (Some("publish"), 1), "{winner}");
    assert!(winner["activated_version"].is_null() && said.contains("dry run"), "{winner} {said}");
    assert!(winner["verdict"]["mean"].as_f64() > winner["verdict"]["standard_error"].as_f64(), "{winner}");

    let activated = report(&searcher(&daemon, &work_dir).output().unwrap())["winner"]["activated_version"].clone();
    assert_eq!(activated.as_u64(), Some(active(&daemon)));
    assert!(active(&daemon) > 1);
    daemon.ctl().one(&["sampler", "rollback", "d"]);
    assert_eq!(active(&daemon), 1);
    report(&searcher(&daemon, &work_dir).output().unwrap());
    assert_eq!(active(&daemon), 1, "a search that has ended does not undo a rollback");
}

#[test]
fn a_sampler_that_gains_nothing_is_not_activated() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Samplerd::start(&folder.path().join("data"));
    // Without wrong labels the uniform sampler is the best there is.
    let mut command = Command::new(binary("searcher"));
    command
        .args(["--target", "simulated", "--study", "s", "--dataset", "d", "--seed", "1", "--label-noise", "0"])
        .args(["--trials", "12", "--jobs", "2", "--confirm", "0", "--output", "json"])
        .args(["--daemon", daemon.address(), "--work-dir"])
        .arg(folder.path().join("work"));
    let output = command.output().unwrap();
    let winner = report(&output)["winner"].clone();
    assert_eq!((winner["verdict"]["decision"].as_str(), active(&daemon)), (Some("within_error"), 1), "{winner}");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("is not activated") && said.contains("does not exceed its standard error"), "{said}");
}

#[test]
fn a_killed_search_goes_on_where_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Samplerd::start(&folder.path().join("data"));
    let work_dir = folder.path().join("work");
    let told = |daemon: &Samplerd| {
        let output = Command::new(binary("searcher"))
            .args(["show", "s", "--output", "json", "--daemon", daemon.address()])
            .output()
            .unwrap();
        let study: Value = serde_json::from_slice(&output.stdout).ok()?;
        let trials = study["trials"].as_array()?.clone();
        Some(trials.into_iter().filter(|trial| trial["state"] == "succeeded").collect::<Vec<_>>())
    };

    let mut first = searcher(&daemon, &work_dir).stdout(std::process::Stdio::null()).spawn().unwrap();
    let before = deadline("some trials are told", || told(&daemon).filter(|trials| trials.len() >= 4));
    first.kill().unwrap();
    first.wait().unwrap();

    // The daemon goes too; what was told is still there.
    let daemon = daemon.kill_and_restart();
    report(&searcher(&daemon, &work_dir).output().unwrap());
    let trials = show(&daemon)["trials"].as_array().unwrap().clone();
    for trial in before {
        let number = usize::try_from(trial["number"].as_u64().unwrap()).unwrap();
        assert_eq!(trials[number]["objective"], trial["objective"], "trial {number} was not run again");
    }
    let numbers: Vec<u64> = trials.iter().map(|trial| trial["number"].as_u64().unwrap()).collect();
    assert_eq!(numbers, (0..numbers.len() as u64).collect::<Vec<_>>(), "no trial lost or counted twice");
    assert!(numbers.len() as u64 >= TRIALS);
}

#[test]
fn without_a_daemon_the_searcher_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let output = Command::new(binary("searcher"))
        .args(["--target", "simulated", "--daemon", &address, "--work-dir"])
        .arg(folder.path())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(4));
    assert!(String::from_utf8_lossy(&output.stderr).contains(&address));
}
