//! Workers of several hosts, each through a daemon of its own, share a study by one Redis.

use std::collections::BTreeMap;

use swift_sampler_tests::{RedisServer, Samplerd, deadline};

use super::{Running, searcher, trials};

const TRIALS: usize = 10;
/// Longer than it takes the slower of two workers to start.
const COMMAND: &str =
    r#"echo "$SWIFTSAMPLER_TRIAL $SWIFTSAMPLER_WORKER" >> "$RUNS"; sleep 0.2; echo '{"objective": 0.5}'"#;

#[test]
fn no_trial_is_run_twice_by_workers_of_two_daemons_on_one_redis() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let redis = RedisServer::start(&path("redis"), &[]);
    let daemons = ["a", "b"].map(|name| Samplerd::start_with(&path(name), &["--registry", &redis.url()]));
    let runs = path("runs");
    let data = super::features(folder.path(), 1000);
    let mut search = searcher(daemons[0].address(), &["--trial-command", COMMAND, "--study", "s", "--jobs", "0"]);
    search.args(["--trials", &TRIALS.to_string(), "--confirm", "0", "--finalists", "0", "--data"]).arg(data);
    let mut search = Running::start(search.arg("--work-dir").arg(path("work")));
    deadline("the study is there", || trials(daemons[1].address(), "s"));
    let workers = [0, 1, 0, 1].iter().enumerate().map(|(number, daemon)| {
        let name = format!("worker-{number}");
        let mut worker = searcher(daemons[*daemon].address(), &["worker", "--study", "s", "--name", &name]);
        Running::start(worker.env("RUNS", &runs).arg("--work-dir").arg(path(&name)))
    });
    let mut workers: Vec<Running> = workers.collect();
    deadline("the search ends", || search.has_ended().then_some(()));
    deadline("workers end with their study", || workers.iter_mut().all(Running::has_ended).then_some(()));

    for daemon in &daemons {
        let found = trials(daemon.address(), "s").unwrap();
        assert_eq!(found.len(), TRIALS);
        assert!(found.iter().all(|trial| trial["state"] == "succeeded" && trial["attempt"] == 1), "{found:?}");
    }
    let mut by_trial: BTreeMap<u64, usize> = BTreeMap::new();
    let mut by_worker: BTreeMap<String, usize> = BTreeMap::new();
    for run in std::fs::read_to_string(runs).unwrap().lines() {
        let (trial, worker) = run.split_once(' ').unwrap();
        *by_trial.entry(trial.parse().unwrap()).or_default() += 1;
        *by_worker.entry(worker.to_owned()).or_default() += 1;
    }
    assert_eq!(by_trial, (0..TRIALS as u64).map(|trial| (trial, 1)).collect(), "each trial ran once");
    assert!(
        by_worker.len() >= 2,
        "the searcher has none of its own, and keeps several of elsewhere busy: {by_worker:?}"
    );
}
