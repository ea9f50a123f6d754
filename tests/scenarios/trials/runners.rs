//! A study's trials come to the same, to the last bit, whatever runs them.

use std::path::Path;

use swift_sampler_tests::{Samplerd, binary};

use super::{Running, searcher, succeeded, trials};

/// Baselines and Sobol points: proposals that do not depend on which trials are under way together.
const SETTINGS: [&str; 14] = [
    "--target",
    "simulated",
    "--study",
    "s",
    "--train-examples",
    "2000",
    "--label-noise",
    "0.4",
    "--trials",
    "10",
    "--finalists",
    "2",
    "--confirm",
    "1",
];

/// Runs the study on a daemon of its own, with local workers or those of further commands, and returns what it came to.
fn objectives(jobs: &str, workers: &[&[&str]]) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Samplerd::start(&folder.path().join("data"));
    let (work, elsewhere) = (folder.path().join("work"), folder.path().join("elsewhere"));
    let mut search = searcher(daemon.address(), &SETTINGS);
    search.args(["--jobs", jobs, "--work-dir"]).arg(&work);
    let search = search.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped()).spawn().unwrap();
    swift_sampler_tests::deadline("the study is there", || trials(daemon.address(), "s"));
    let start = |(number, arguments): (usize, &&[&str])| start_worker(&daemon, number, arguments, &elsewhere);
    let workers: Vec<Running> = workers.iter().enumerate().map(start).collect();
    succeeded(&search.wait_with_output().unwrap());
    drop(workers);
    let of_trial = |trial: &serde_json::Value| {
        format!("{} {} {} {}", trial["number"], trial["purpose"], trial["objective"], trial["test_accuracy"])
    };
    trials(daemon.address(), "s").unwrap().iter().map(of_trial).collect()
}

fn start_worker(daemon: &Samplerd, number: usize, arguments: &[&str], work_dir: &Path) -> Running {
    let name = format!("elsewhere-{number}");
    let mut worker = searcher(daemon.address(), &["worker", "--study", "s", "--name", &name]);
    Running::start(worker.args(arguments).arg("--work-dir").arg(work_dir))
}

#[test]
fn the_same_study_comes_to_the_same_whatever_runs_its_trials() {
    let one = objectives("1", &[]);
    assert!(one.len() > 10 + 2 * 2, "finalists and retrainings follow: {one:?}");
    assert!(one.iter().all(|trial| !trial.contains("initial null")), "{one:?}");
    assert_eq!(objectives("3", &[]), one, "a pool of worker processes");
    assert_eq!(objectives("0", &[&[], &["--jobs", "2"]]), one, "workers of elsewhere, one of them a pool");
    let command = format!("{} trial", binary("searcher").display());
    assert_eq!(objectives("0", &[&["--trial-command", &command], &[]]), one, "a command beside a worker");
}
