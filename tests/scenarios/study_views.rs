//! What a person sees of a study: progress, tables, lists, exports and pictures, while it runs, after it was killed and at
//! its end.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use swift_sampler_tests::{Samplerd, binary};

const TRIALS: usize = 12;
/// Short trials, two finalists and the uniform sampler under one fresh seed each, one retraining a sampler.
const TRIALS_IN_ALL: usize = TRIALS + 3 + 2;

fn searcher(daemon: &Samplerd, arguments: &[&str]) -> Output {
    let output =
        Command::new(binary("searcher")).args(arguments).args(["--daemon", daemon.address()]).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    output
}

fn text(daemon: &Samplerd, arguments: &[&str]) -> String {
    String::from_utf8(searcher(daemon, arguments).stdout).unwrap()
}

fn json(daemon: &Samplerd, arguments: &[&str]) -> Value {
    serde_json::from_str(&text(daemon, arguments)).unwrap()
}

fn search(daemon: &Samplerd, work_dir: &Path) -> Command {
    let mut command = Command::new(binary("searcher"));
    command
        .args(["--target", "simulated", "--study", "s", "--dataset", "d", "--seed", "1", "--label-noise", "0.4"])
        .args(["--trials", &TRIALS.to_string(), "--jobs", "2", "--finalists", "2", "--finalist-seeds", "1"])
        .args(["--confirm", "1", "--daemon", daemon.address(), "--work-dir"])
        .arg(work_dir);
    command
}

/// Runs a search until it has told of some trials, kills it and returns the lines it told.
fn killed_search(daemon: &Samplerd, work_dir: &Path, trials: usize) -> Vec<String> {
    let mut child = search(daemon, work_dir).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = Vec::new();
    for line in BufReader::new(child.stderr.take().unwrap()).lines() {
        let line = line.unwrap();
        lines.push(line);
        if lines.iter().filter(|line| line.starts_with('[')).count() == trials {
            break;
        }
    }
    child.kill().unwrap();
    child.wait().unwrap();
    lines
}

#[test]
fn a_study_is_seen_while_it_runs_and_at_its_end() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Samplerd::start(&folder.path().join("data"));
    let work = folder.path().join("work");
    let work_dir = work.to_str().unwrap();

    let told = killed_search(&daemon, &work, 5);
    let trials: Vec<&String> = told.iter().filter(|line| line.starts_with('[')).collect();
    assert_eq!(trials.len(), 5, "{told:?}");
    for (index, line) in trials.iter().enumerate() {
        assert!(line.starts_with(&format!("[{}/{TRIALS_IN_ALL}] trial ", index + 1)), "{line}");
        assert!(line.contains("%") && line.contains(", best ") && line.ends_with(" left"), "{line}");
    }

    let running = json(&daemon, &["show", "s", "--output", "json"]);
    let ended = running["trials"].as_array().unwrap().iter().filter(|trial| !trial["objective"].is_null()).count();
    assert_eq!((running["state"].as_str(), &running["standing"]["winner"]), (Some("running"), &Value::Null));
    assert!(running["standing"]["uniform"]["values"].as_array().is_some_and(|values| !values.is_empty()), "{running}");

    // A running study is drawn where one asks for it, without its lock.
    let pictures = folder.path().join("pictures");
    let drawn = json(&daemon, &["plot", "s", "--dir", pictures.to_str().unwrap(), "--work-dir", work_dir]);
    assert!(drawn["pictures"].as_array().unwrap().len() >= 2, "{drawn}");
    assert!(pictures.join("history.svg").is_file() && pictures.join("parallel.svg").is_file());
    // Elsewhere there are no features: what needs them is left out, and it says why.
    let elsewhere = folder.path().join("elsewhere");
    let drawn = json(&daemon, &["plot", "s", "--work-dir", elsewhere.to_str().unwrap()]);
    let left_out = drawn["left_out"].as_array().unwrap();
    assert_eq!((drawn["pictures"].as_array().unwrap().len(), left_out.len()), (2, 4), "{drawn}");
    assert!(left_out.iter().all(|picture| picture["reason"].as_str().unwrap().contains("features.parquet")), "{drawn}");

    let resumed = search(&daemon, &work).output().unwrap();
    let told = String::from_utf8(resumed.stderr).unwrap();
    assert!(resumed.status.success(), "{told}");
    let going_on = told.lines().find(|line| line.starts_with("going on: ")).unwrap_or_else(|| panic!("{told}"));
    assert!(going_on.contains(&format!("of {TRIALS_IN_ALL} trials are done, best ")), "{going_on}");
    let told_again = told.lines().filter(|line| line.starts_with('[')).count();
    assert!(told_again <= TRIALS_IN_ALL - ended, "{told_again} told, {ended} had ended before: {told}");
    assert!(told.contains(&format!("[{TRIALS_IN_ALL}/{TRIALS_IN_ALL}] ")), "{told}");
    for picture in ["history", "parallel", "sampler", "heat_map", "importance", "slices"] {
        let svg = std::fs::read_to_string(work.join(picture).with_extension("svg")).unwrap();
        assert!(svg.starts_with("<svg") && svg.trim_end().ends_with("</svg>"), "{picture}");
    }

    let ended = json(&daemon, &["show", "s", "--output", "json"]);
    let (winner, trials) = (&ended["standing"]["winner"], ended["trials"].as_array().unwrap());
    assert_eq!((ended["state"].as_str(), trials.len()), (Some("ended"), TRIALS_IN_ALL));
    assert_eq!(winner["verdict"], ended["result"]["winner"]["verdict"], "{winner}");
    let table = text(&daemon, &["show", "s"]);
    assert_eq!(table.lines().filter(|line| line.contains("succeeded")).count(), TRIALS_IN_ALL, "{table}");
    for standing in ["uniform ", "best so far*", "winner ", "verdict "] {
        assert!(table.lines().any(|line| line.starts_with(standing)), "{standing} in {table}");
    }

    let studies = json(&daemon, &["studies", "--output", "json"]);
    assert_eq!((&studies[0]["study"], &studies[0]["trials"]), (&Value::from("s"), &Value::from(TRIALS_IN_ALL)));
    assert_eq!(studies[0]["winner"]["trial"], winner["trial"]);
    assert!(text(&daemon, &["studies"]).lines().nth(1).is_some_and(|line| line.starts_with("s  ")));

    assert_eq!(json(&daemon, &["export", "s", "--format", "json"]), ended);
    assert_eq!(text(&daemon, &["export", "s"]).matches("\r\n").count(), 1 + TRIALS_IN_ALL);
    let journal = text(&daemon, &["export", "s", "--format", "optuna"]);
    assert_eq!(journal.lines().filter(|line| line.contains("\"op_code\":4")).count(), TRIALS_IN_ALL);
}
