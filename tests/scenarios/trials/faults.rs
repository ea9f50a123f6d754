//! A trial that goes wrong is told with its reason, and the study goes on.

use std::process::Output;

use serde_json::Value;
use swift_sampler_tests::Samplerd;

use super::{features, searcher, succeeded, trials};

/// A command that goes wrong in another way in each trial.
const FAULTY: &str = r#"case $SWIFTSAMPLER_TRIAL in
0) echo '{"objective": NaN}' ;;
1) echo 'no such file' >&2; exit 3 ;;
2) kill -SEGV $$ ;;
3) kill -KILL $$ ;;
4) sleep 1000 ;;
5) while :; do echo still here; sleep 0.1; done ;;
6) head -c 300000000 /dev/zero | tail -c 300000000 | sleep 1000 ;;
7) [ $SWIFTSAMPLER_ATTEMPT = 2 ] && echo '{"objective": 0.25}' ;;
8) echo '{"infeasible": "draws too little"}' ;;
*) echo "$SWIFTSAMPLER_PURPOSE $SWIFTSAMPLER_JOB $SWIFTSAMPLER_EPOCHS $SWIFTSAMPLER_BATCH_SIZE $SWIFTSAMPLER_MODE"
   echo '{"objective": 0.5}' ;;
esac"#;

#[test]
fn every_fault_of_a_command_is_told_with_its_reason() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Samplerd::start(&folder.path().join("data"));
    let (data, work) = (features(folder.path(), 1000), folder.path().join("work"));
    let output = searcher(daemon.address(), &["--trial-command", FAULTY, "--study", "s", "--jobs", "5"])
        .args(["--trials", "10", "--epochs", "2", "--batch-size", "50", "--confirm", "0", "--finalists", "0"])
        .args(["--hang-timeout", "2s", "--trial-timeout", "4s", "--trial-memory", "150M"])
        .arg("--data")
        .arg(data)
        .arg("--work-dir")
        .arg(&work)
        .output()
        .unwrap();
    succeeded(&output);

    let found = trials(daemon.address(), "s").unwrap();
    let expected = [
        ("infeasible", 1, "not a finite number"),
        ("failed", 3, "exit code 3; its standard error ends: no such file"),
        ("failed", 3, "killed by signal 11 (SIGSEGV)"),
        ("failed", 3, "killed (SIGKILL)"),
        ("failed", 3, "hung: no batch pulled, no epoch ended and nothing written for 2 s"),
        ("failed", 3, "timed out: it took longer than 4 s"),
        ("failed", 3, "more than the 150 MiB of --trial-memory"),
        ("succeeded", 2, ""),
        ("infeasible", 1, "draws too little"),
        ("succeeded", 1, ""),
    ];
    for (trial, (state, attempts, reason)) in found.iter().zip(expected) {
        assert_eq!(trial["state"], state, "{trial}");
        assert_eq!(trial["attempt"], attempts, "{trial}");
        assert!(trial["reason"].as_str().unwrap().contains(reason), "{trial}");
    }
    assert_eq!(found[7]["objective"], 0.25);
    // What was tried again is shown as it happens.
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("attempt 1 of 3 failed"), "{said}");
    let log = std::fs::read_to_string(work.join("trials/trial-9-attempt-1.log")).unwrap();
    assert!(log.starts_with("initial s/trial-9 2 50 independent\n"), "{log}");
}

#[test]
fn trainings_that_hang_or_take_all_memory_cost_their_worker_and_not_the_study() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Samplerd::start(&folder.path().join("data"));
    let output = searcher(daemon.address(), &["--target", "simulated", "--faults", "nan,nan,hang,greed"])
        .args(["--study", "s", "--train-examples", "1000", "--trials", "10", "--epochs", "1", "--confirm", "0"])
        .args(["--finalists", "0", "--jobs", "4", "--seed", FAULTY_SEED])
        .args(["--hang-timeout", "3s", "--trial-memory", "500M", "--work-dir"])
        .arg(folder.path().join("work"))
        .output()
        .unwrap();
    succeeded(&output);
    let found = trials(daemon.address(), "s").unwrap();
    let reasons = |state: &str| -> Vec<String> {
        let of_state = found.iter().filter(|trial| trial["state"] == state);
        of_state.map(|trial: &Value| trial["reason"].as_str().unwrap().to_owned()).collect()
    };
    assert!(reasons("infeasible").iter().any(|reason| reason.contains("NaN")), "{found:?}");
    for fate in ["hung: ", "more than the 500 MiB of --trial-memory"] {
        assert!(reasons("failed").iter().any(|reason| reason.contains(fate)), "{fate}: {found:?}");
    }
    assert!(!reasons("succeeded").is_empty());
}

/// With this seed each fault befalls a trial or two.
const FAULTY_SEED: &str = "1";

/// With this seed trials 2, 3 and 4 of six panic, stand still and crash.
const THREE_FAULTS_SEED: &str = "8";

#[test]
fn trainings_that_crash_panic_or_take_too_long_are_tried_three_times_and_shown() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Samplerd::start(&folder.path().join("data"));
    let output = searcher(daemon.address(), &["--target", "simulated", "--faults", "crash,panic,hang"])
        .args(["--study", "s", "--train-examples", "1000", "--trials", "6", "--epochs", "1", "--confirm", "0"])
        .args(["--finalists", "0", "--jobs", "3", "--seed", THREE_FAULTS_SEED])
        // Nobody looks whether a trial stands still before its time is up.
        .args(["--hang-timeout", "1h", "--trial-timeout", "2s", "--work-dir"])
        .arg(folder.path().join("work"))
        .output()
        .unwrap();
    succeeded(&output);
    let faults = [
        (2, "panicked: as it was asked to"),
        (3, "timed out: it took longer than 2 s"),
        (4, "its worker crashed: killed by signal 6 (SIGABRT)"),
    ];
    let found = trials(daemon.address(), "s").unwrap();
    for (number, trial) in found.iter().enumerate() {
        match faults.iter().find(|(faulty, _)| *faulty == number) {
            Some((_, reason)) => {
                assert_eq!((&trial["state"], &trial["attempt"]), (&"failed".into(), &3.into()), "{trial}");
                assert!(trial["reason"].as_str().unwrap().contains(reason), "{trial}");
            }
            None => assert_eq!(trial["state"], "succeeded", "{trial}"),
        }
    }
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let Output { stdout, .. } = searcher(daemon.address(), &["show", "s"]).output().unwrap();
    let (shown, said) = (text(&stdout), text(&output.stderr));
    for (number, reason) in faults {
        let row = shown.lines().find(|line| line.trim_start().starts_with(&format!("{number} "))).unwrap();
        assert!(row.contains("failed") && row.contains("3 of 3") && row.contains(reason), "{shown}");
        for attempt in ["attempt 1 of 3 failed", "attempt 2 of 3 failed"] {
            let told = |line: &str| line.contains(&format!("trial {number} ")) && line.contains(attempt);
            assert!(said.lines().any(told), "trial {number}, {attempt}: {said}");
        }
    }
}
