//! `kill -9` of searcher and workers at a hundred random moments: no trial is lost, none counted twice, and the policy
//! proposes what it would have proposed without.

use std::path::Path;
use std::time::{Duration, Instant};

use swift_sampler::{Dataset, SamplerSpec};
use swift_sampler_client::blocking::Client;
use swift_sampler_client::proto;
use swift_sampler_searcher::behaviour::Behaviour;
use swift_sampler_searcher::features_file;
use swift_sampler_searcher::policy::{self, Proposal, TrialRecord, TrialStanding};
use swift_sampler_searcher::randomness::Randomness;
use swift_sampler_searcher::study::{StoredTrial, StudyConfig, read_config};
use swift_sampler_tests::{Samplerd, deadline};

use super::{Running, searcher};

const KILLS: u32 = 100;
/// Longest time from one kill to the next.
const PAUSE_MAX: Duration = Duration::from_millis(700);
/// A trial may have ended so long before the next was added without the searcher's having seen it, in milliseconds.
const UNSEEN_MS: u64 = 5_000;

#[test]
fn a_hundred_kills_lose_no_trial_and_count_none_twice() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Samplerd::start(&folder.path().join("data"));
    let mut randomness = Randomness::new(7);
    let (mut killed, mut study) = (0, 0);
    while killed < KILLS {
        let work = folder.path().join(format!("work-{study}"));
        killed += run_under_kills(&daemon, study, &work, KILLS - killed, &mut randomness);
        check(&daemon, study, &work);
        study += 1;
    }
}

fn search(daemon: &Samplerd, study: u32, work: &Path) -> Running {
    let name = format!("s{study}");
    let mut command = searcher(daemon.address(), &["--target", "simulated", "--train-examples", "1500"]);
    command.args(["--label-noise", "0.4", "--trials", "20", "--epochs", "2", "--finalists", "2", "--confirm", "1"]);
    command.args(["--jobs", "2", "--study", &name, "--seed", &study.to_string(), "--work-dir"]);
    Running::start(command.arg(work))
}

/// Runs a study to its end, killing its searcher or one of its workers again and again, `kills_max` times at most.
fn run_under_kills(daemon: &Samplerd, study: u32, work: &Path, kills_max: u32, randomness: &mut Randomness) -> u32 {
    let mut kills = 0;
    let mut running = search(daemon, study, work);
    while kills < kills_max {
        let until = Instant::now() + PAUSE_MAX.mul_f64(randomness.uniform());
        // The moment, and not the time, is the random part.
        deadline("the moment comes", || (Instant::now() >= until).then_some(()));
        if running.has_ended() {
            return kills;
        }
        let workers = children(running.0.id());
        match workers.as_slice() {
            [] => running = restart(running, daemon, study, work),
            _ if randomness.uniform() < 0.5 => running = restart(running, daemon, study, work),
            workers => {
                #[allow(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "a position in a short list"
                )]
                let chosen = (randomness.uniform() * workers.len() as f64) as usize;
                // One that ended by itself meanwhile is dead as well.
                std::process::Command::new("kill").args(["-KILL", &workers[chosen].to_string()]).status().unwrap();
            }
        }
        kills += 1;
    }
    deadline("the study ends in peace", || running.has_ended().then_some(()));
    kills
}

fn restart(running: Running, daemon: &Samplerd, study: u32, work: &Path) -> Running {
    drop(running);
    search(daemon, study, work)
}

fn children(process: u32) -> Vec<u32> {
    let listed = std::fs::read_to_string(format!("/proc/{process}/task/{process}/children")).unwrap_or_default();
    listed.split_whitespace().map(|child| child.parse().unwrap()).collect()
}

fn check(daemon: &Samplerd, study: u32, work: &Path) {
    let client = Client::connect(daemon.address()).unwrap();
    let stored_study = client.get_study(&format!("s{study}")).unwrap();
    assert_eq!(stored_study.state(), proto::StudyState::Ended);
    let stored = client.list_trials(&stored_study.name).unwrap();
    for (expected, trial) in (0u64..).zip(&stored) {
        assert_eq!(trial.number, expected, "no trial is lost");
        // A worker whose searcher is killed gives its trial back, if it comes to that before it is killed itself.
        let attempts = trial.attempt - trial.released;
        assert!((1..=3).contains(&attempts), "{trial:?}");
        assert!(trial.ended_at_ms > 0, "every trial ended: {trial:?}");
        let succeeded = trial.state() == proto::TrialState::Succeeded;
        assert_eq!(trial.objective.is_some(), succeeded, "{trial:?}");
        assert!(succeeded || trial.state() == proto::TrialState::Failed && attempts == 3, "{trial:?}");
    }
    let config = read_config(&stored_study).unwrap();
    replay(&config, &stored, work);
}

/// Proposes every trial again from those before it, as they stood when it was added. Only of those that ended shortly
/// before is it unknown whether the searcher saw their end; one of the possibilities must give the trial bit for bit.
fn replay(config: &StudyConfig, stored: &[proto::Trial], work: &Path) {
    let table = features_file::read(&work.join("features.parquet")).unwrap();
    let features = &config.plan.space.features;
    let dataset = Dataset::new(table.clone(), features.clone(), Some("grad_norm".to_owned())).unwrap();
    let behaviour = Behaviour::new(table, features, dataset.gradient_norm()).unwrap();
    let records: Vec<TrialRecord> = StoredTrial::read_all(stored).unwrap().into_iter().map(|it| it.record).collect();
    for (number, trial) in stored.iter().enumerate() {
        let ended_before = |earlier: &&proto::Trial| earlier.ended_at_ms <= trial.added_at_ms;
        let seen = |earlier: &&proto::Trial| earlier.ended_at_ms + UNSEEN_MS < trial.added_at_ms;
        let earlier = &stored[..number];
        let mut unsure: Vec<&proto::Trial> = earlier.iter().filter(ended_before).filter(|it| !seen(it)).collect();
        // Two workers: no more than two trials that look pending ended unseen.
        unsure.sort_by_key(|earlier| std::cmp::Reverse(earlier.ended_at_ms));
        unsure.truncate(2);
        let matches = (0..1u32 << unsure.len()).any(|unseen| {
            let standing = |earlier: &proto::Trial| {
                let position = unsure.iter().position(|it| it.number == earlier.number);
                let pending = !ended_before(&earlier) || position.is_some_and(|bit| unseen & (1 << bit) != 0);
                let record = records[usize::try_from(earlier.number).unwrap()].clone();
                if pending { TrialRecord { standing: TrialStanding::Pending, ..record } } else { record }
            };
            let before: Vec<TrialRecord> = earlier.iter().map(standing).collect();
            match policy::next(&config.plan, &behaviour, &before) {
                Ok(Proposal::Add(proposed)) => *proposed == records[number].parameters,
                _ => false,
            }
        });
        assert!(matches, "trial {number} is not what the policy proposes: {trial:?}");
    }
    assert!(records.iter().any(|record| !matches!(record.parameters.sampler, SamplerSpec::Uniform {})));
}
