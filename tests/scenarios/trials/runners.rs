//! A study's trials come to the same, to the last bit, whatever runs them.

use std::path::Path;
use std::process::Stdio;

use swift_sampler_tests::{RedisServer, Samplerd, binary, deadline};

use super::{Running, searcher, succeeded, trials};

/// A worker of elsewhere: the daemon that it speaks to, and its further arguments.
type Elsewhere<'a> = (usize, &'a [&'a str]);

/// Daemons of a study: one with a registry of its own, or several that share a Redis.
struct Hosts {
    daemons: Vec<Samplerd>,
    _redis: Option<RedisServer>,
}

impl Hosts {
    fn start(folder: &Path, count: usize) -> Self {
        let redis = (count > 1).then(|| RedisServer::start(&folder.join("redis"), &[]));
        let registry = redis.as_ref().map_or_else(|| "sqlite".to_owned(), RedisServer::url);
        let start =
            |host| Samplerd::start_with(&folder.join(format!("daemon-{host}")), &["--registry", registry.as_str()]);
        Self { daemons: (0..count).map(start).collect(), _redis: redis }
    }

    fn address(&self, host: usize) -> &str {
        self.daemons[host].address()
    }
}

/// Runs a study on daemons of its own, with `jobs` workers of the search and those of elsewhere, which have prepared
/// `target` themselves. Returns what each trial came to.
fn outcomes(target: &[&str], search: &[&str], jobs: &str, elsewhere: &[Elsewhere<'_>]) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    let last_host = elsewhere.iter().map(|(host, _)| *host).max().unwrap_or(0);
    let hosts = Hosts::start(folder.path(), last_host + 1);
    let prepared = folder.path().join("elsewhere");
    if !elsewhere.is_empty() {
        let mut features = std::process::Command::new(binary("searcher"));
        succeeded(&features.arg("features").args(target).arg("--work-dir").arg(&prepared).output().unwrap());
    }
    let mut command = searcher(hosts.address(0), &["--study", "s", "--jobs", jobs]);
    command.args(target).args(search).arg("--work-dir").arg(folder.path().join("work"));
    let command = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    deadline("the study is there", || trials(hosts.address(last_host), "s"));
    let start = |(number, (host, arguments)): (usize, &Elsewhere<'_>)| {
        let name = format!("elsewhere-{number}");
        let mut worker = searcher(hosts.address(*host), &["worker", "--study", "s", "--name", &name]);
        Running::start(worker.args(*arguments).arg("--work-dir").arg(&prepared))
    };
    let workers: Vec<Running> = elsewhere.iter().enumerate().map(start).collect();
    succeeded(&command.wait_with_output().unwrap());
    drop(workers);
    let of_trial = |trial: &serde_json::Value| {
        format!("{} {} {} {}", trial["number"], trial["purpose"], trial["objective"], trial["test_accuracy"])
    };
    trials(hosts.address(last_host), "s").unwrap().iter().map(of_trial).collect()
}

/// Runs the study through everything that runs trials on this machine. `search` has baselines and Sobol points only, whose
/// proposals do not depend on which trials are under way together.
fn comes_to_the_same_everywhere(target: &[&str], search: &[&str], trials_in_all: usize) {
    let one = outcomes(target, search, "1", &[]);
    assert_eq!(one.len(), trials_in_all, "finalists and retrainings follow: {one:?}");
    assert!(one.iter().all(|trial| !trial.contains("initial null")), "{one:?}");
    assert_eq!(outcomes(target, search, "3", &[]), one, "a pool of worker processes");
    let command = format!("{} trial", binary("searcher").display());
    let command = ["--trial-command", &command];
    assert_eq!(outcomes(target, search, "0", &[(0, &command), (0, &[])]), one, "a command beside a worker");
    let hosts: [Elsewhere<'_>; 2] = [(0, &[]), (1, &["--jobs", "2"])];
    assert_eq!(outcomes(target, search, "0", &hosts), one, "two hosts, a pool on one, whose daemons share a Redis");
}

#[test]
fn a_simulated_study_comes_to_the_same_whatever_runs_its_trials() {
    let target = ["--target", "simulated", "--train-examples", "2000", "--label-noise", "0.4"];
    // 3 samplers under 2 seeds, of which uniform and the winner are then retrained.
    comes_to_the_same_everywhere(&target, &["--trials", "10", "--finalists", "2", "--confirm", "1"], 10 + 3 * 2 + 2);
}

#[cfg(feature = "torch")]
#[test]
fn a_networks_study_comes_to_the_same_whatever_runs_its_trials() {
    let images = swift_sampler_tests::dataset::fashion_mnist();
    let target = ["--target", "mlp", "--data", &images, "--label-noise", "0.4", "--train-examples", "600"];
    let target = [&target[..], &["--validation-examples", "300", "--start-epochs", "2"]].concat();
    let search = ["--trials", "6", "--epochs", "2", "--finalists", "1", "--finalist-seeds", "1", "--confirm", "1"];
    comes_to_the_same_everywhere(&target, &search, 6 + 2 + 2);
}
