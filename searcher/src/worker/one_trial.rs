//! Training one trial in a process of its own, as the command of a worker.

use std::time::Instant;

use swift_sampler_client::proto;

use super::heartbeat::Heartbeat;
use super::room::Room;
use super::{LEASE, Outcome, Runner, TrialOfEnvironment, Worker, WorkerConfig, lease_ms};
use crate::daemon_options::DaemonOptions;
use crate::error::SearcherError;
use crate::limits::TrialLimits;
use crate::preparation::open_target;
use crate::stop::Stop;
use crate::study::{TrialReport, read_config};
use crate::target::Places;

/// Trains the trial that this process's environment is about on the study's target, as a command of a worker, and returns
/// the answer that such a command prints.
///
/// # Errors
/// [`SearcherError`] when there is no such trial under way, its study has no target of its own, or the attempt fails.
#[allow(clippy::missing_panics_doc, reason = "a report is plain data")]
pub fn run_trial_of(environment: &TrialOfEnvironment, stop: &Stop) -> Result<serde_json::Value, SearcherError> {
    let config = WorkerConfig {
        daemon: DaemonOptions::at(&environment.daemon),
        study: environment.study.clone(),
        work_dir: environment.work_dir.clone(),
        places: Places::default(),
        name: environment.worker.clone(),
        trial_command: None,
        limits: TrialLimits::default(),
        gpu: None,
    };
    let client = config.connect()?;
    let study = client.get_study(&config.study)?;
    let study_config = read_config(&study)?;
    let mut runner = Runner::Target(open_target(&study_config.target, &config.work_dir, &config.places)?);
    let trials = client.list_trials(&config.study)?;
    let (number, attempt) = (environment.number, environment.attempt);
    let under_way = |trial: &&proto::Trial| {
        trial.number == number && trial.attempt == attempt && trial.state() == proto::TrialState::Running
    };
    let Some(trial) = trials.iter().find(under_way) else {
        let what = format!("attempt {attempt} of trial {number} of study {:?} is not under way", config.study);
        return Err(SearcherError::Failed(what));
    };
    let worker = Worker { config: &config, client, dataset: study.dataset, study_config, room: Room::default() };
    let heartbeat = Heartbeat::start(&config, trial, LEASE, None, stop)?;
    let (started, mut report) = (Instant::now(), TrialReport::default());
    let outcome = worker.attempt(trial, &mut runner, &heartbeat, started, &mut report);
    drop(heartbeat);
    report.seconds = started.elapsed().as_secs_f64();
    worker.client.heartbeat_trial(proto::HeartbeatTrialRequest {
        study: trial.study.clone(),
        number,
        attempt,
        worker: config.name.clone(),
        lease_ms: lease_ms(),
        report_json: serde_json::to_string(&report).expect("a report is plain data"),
    })?;
    match outcome {
        Outcome::Objective(objective) => Ok(serde_json::json!({ "objective": objective })),
        Outcome::Infeasible(reason) => Ok(serde_json::json!({ "infeasible": reason })),
        Outcome::Failed(reason) => Err(SearcherError::Failed(reason)),
        Outcome::Told | Outcome::Lost => Err(SearcherError::Interrupted),
    }
}
