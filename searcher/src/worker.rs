//! A worker: leases trials, trains them on batches from the daemon and tells how they ended.

mod answer;
mod batches;
mod command;
mod environment;
pub mod fate;
mod heartbeat;
mod one_trial;
mod room;
mod script;

use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use swift_sampler_client::blocking::Client;
use swift_sampler_client::{ClientConfig, ClientError, proto};

use crate::daemon_options::DaemonOptions;
use crate::error::SearcherError;
use crate::limits::TrialLimits;
use crate::memory;
use crate::policy::{Purpose, TrialParameters};
use crate::preparation::{TargetConfig, open_target};
use crate::stop::Stop;
use crate::study::{StudyConfig, TrialReport, read_config};
use crate::target::{EpochReport, Places, Target, TargetError};
use batches::{DaemonBatches, Waiting};
use heartbeat::Heartbeat;
use room::Room;

pub(crate) use command::over_memory;
pub use environment::TrialOfEnvironment;
pub use one_trial::run_trial_of;

/// A trial whose worker has not been heard of for this long is given to another.
const LEASE: Duration = Duration::from_secs(30);
/// How long to wait at the daemon for a trial before looking whether to stop, in milliseconds.
const LEASE_WAIT_MS: u32 = 500;
/// How long a worker that is to stop may take to give its trial back; after that its lease runs out.
const RELEASE_DEADLINE: Duration = Duration::from_secs(3);

/// Where a worker works.
#[derive(Debug, Clone)]
pub struct WorkerConfig {
    /// Where the daemon is.
    pub daemon: DaemonOptions,
    /// The study.
    pub study: String,
    /// Folder with the start network.
    pub work_dir: PathBuf,
    /// Where this machine has data and module.
    pub places: Places,
    /// The worker's name, unique among those of the study; one that returns under its name gets its trial back.
    pub name: String,
    /// What runs the trials instead of the study's target.
    pub trial_command: Option<String>,
    /// Limits of an attempt.
    pub limits: TrialLimits,
    /// The GPU that trials have to themselves.
    pub gpu: Option<u32>,
}

impl WorkerConfig {
    /// A worker is started by or after something that reached the daemon, so it waits as long for it to come back.
    fn connect(&self) -> Result<Client, ClientError> {
        let config = self.daemon.config()?;
        Client::new(ClientConfig { first_contact_deadline: config.retry_deadline.unwrap_or(Duration::MAX), ..config })
    }
}

/// How an attempt ended.
enum Outcome {
    Objective(f64),
    Infeasible(String),
    Failed(String),
    /// As its command told the daemon itself.
    Told,
    /// The study ended or another worker has the trial: there is nothing to tell.
    Lost,
}

/// What runs trials.
enum Runner {
    /// The study's target, in this process.
    Target(Box<dyn Target>),
    /// A command, in a process a trial.
    Command(String),
}

/// Runs trials until the study ends or `stop` is set.
///
/// # Errors
/// [`SearcherError::Interrupted`] when it was to stop: whoever started it, Kubernetes or Slurm, then knows that the study goes on.
/// [`SearcherError`] when the daemon stays unreachable, the study is unknown or the target cannot be opened; a trial that
/// fails is told and does not end the worker, but one that panics does, because its target is in an unknown state.
pub fn run(config: &WorkerConfig, stop: &Stop) -> Result<(), SearcherError> {
    let client = config.connect()?;
    let study = client.get_study(&config.study)?;
    let study_config = read_config(&study)?;
    let mut runner = match (&config.trial_command, &study_config.target) {
        (Some(command), _) => Runner::Command(command.clone()),
        (None, TargetConfig::Command(target)) => Runner::Command(target.command.clone()),
        (None, target) => Runner::Target(open_target(target, &config.work_dir, &config.places)?),
    };
    let worker = Worker { config, client, dataset: study.dataset, study_config, room: Room::default() };
    tracing::info!(study = config.study, worker = config.name, "worker ready");
    while !stop.is_set() {
        let (asked, lease_wait) = (Instant::now(), Duration::from_millis(u64::from(LEASE_WAIT_MS)));
        let held = matches!(runner, Runner::Target(_));
        if worker.room.is_lacking(held, config) {
            // The next look comes after this pause, or never once the process is to stop.
            let _stopped = stop.wait_timeout(room::LOOK_INTERVAL);
            continue;
        }
        let lease = worker.client.lease_trial(proto::LeaseTrialRequest {
            study: config.study.clone(),
            worker: config.name.clone(),
            lease_ms: lease_ms(),
            wait_ms: LEASE_WAIT_MS,
        })?;
        match lease.trial {
            Some(trial) => worker.run_trial(&trial, &mut runner, stop)?,
            None if lease.study_ended => return Ok(()),
            // A daemon that goes down answers at once.
            None if stop.wait_timeout(lease_wait.saturating_sub(asked.elapsed())) => break,
            None => {}
        }
    }
    Err(SearcherError::Interrupted)
}

struct Worker<'a> {
    config: &'a WorkerConfig,
    client: Client,
    dataset: String,
    study_config: StudyConfig,
    room: Room,
}

impl Worker<'_> {
    fn run_trial(&self, trial: &proto::Trial, runner: &mut Runner, stop: &Stop) -> Result<(), SearcherError> {
        let started = Instant::now();
        // A command is watched from here, an own training from the thread of its heartbeat.
        let limits = matches!(runner, Runner::Target(_)).then_some(self.config.limits);
        let heartbeat = Heartbeat::start(self.config, trial, LEASE, limits, stop)?;
        let mut report = TrialReport::default();
        let attempted =
            catch_unwind(AssertUnwindSafe(|| self.attempt(trial, runner, &heartbeat, started, &mut report)));
        let timed_out = heartbeat.timed_out();
        let lost = heartbeat.finish();
        let panicked = attempted.is_err();
        let outcome = match attempted.unwrap_or_else(|panic| Outcome::Failed(panic_message(panic.as_ref()))) {
            Outcome::Lost if !lost && timed_out.is_some() => Outcome::Failed(timed_out.unwrap_or_default()),
            outcome => outcome,
        };
        if matches!(runner, Runner::Target(_)) {
            self.room.note(memory::of_this_process());
        }
        let unsound = matches!(&outcome, Outcome::Failed(reason) if fate::is_out_of_memory(reason))
            && matches!(runner, Runner::Target(_));
        report.seconds = started.elapsed().as_secs_f64();
        match outcome {
            _ if lost => return Ok(()),
            Outcome::Lost | Outcome::Failed(_) if stop.is_set() => {
                self.release(trial);
                return Ok(());
            }
            Outcome::Lost => return Ok(()),
            Outcome::Told => self.remove_job(trial),
            outcome => {
                // A result that was not taken is another worker's trial by now, and so is the job.
                if self.tell(trial, outcome, &report)? && !panicked {
                    self.remove_job(trial);
                }
            }
        }
        if panicked || unsound {
            let what = if panicked { "panicked" } else { "ran out of memory" };
            return Err(SearcherError::Failed(format!("trial {} {what}; starting afresh", trial.number)));
        }
        Ok(())
    }

    fn attempt(
        &self,
        trial: &proto::Trial,
        runner: &mut Runner,
        heartbeat: &Heartbeat,
        started: Instant,
        report: &mut TrialReport,
    ) -> Outcome {
        let parameters: TrialParameters = match serde_json::from_str(&trial.parameters_json) {
            Ok(parameters) => parameters,
            Err(error) => return Outcome::Failed(format!("the trial's parameters cannot be read: {error}")),
        };
        if let Some(reason) = parameters.refused {
            return Outcome::Infeasible(reason);
        }
        let target = match runner {
            Runner::Command(command) => return self.run_command(command, trial, &parameters, heartbeat, report),
            Runner::Target(target) => target.as_mut(),
        };
        let run = self.study_config.training.run(&parameters);
        let steps_an_epoch = target.training_examples().div_ceil(run.batch_size as usize) as u64;
        let steps = steps_an_epoch * u64::from(run.epochs);
        let waited = Waiting::default();
        let mut batches = match DaemonBatches::open(self, trial, &parameters, steps, heartbeat, &waited) {
            Ok(batches) => batches,
            Err(error) => return Outcome::Failed(format!("its job cannot be opened: {error}")),
        };
        let evaluate_test = parameters.purpose == Purpose::Retrain;
        let mut on_epoch = |epoch: &EpochReport| {
            tracing::debug!(trial = trial.number, epoch = epoch.epoch, accuracy = epoch.validation_accuracy, "epoch");
            heartbeat.progress();
            report.epochs.push(*epoch);
            report.stopped = epoch.epoch < run.epochs && parameters.stops_at(epoch.epoch, epoch.validation_accuracy);
            report.seconds = started.elapsed().as_secs_f64();
            report.waited_seconds = Some(waited.seconds());
            heartbeat.report(report);
            if report.stopped || heartbeat.is_over() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        let trained = target.train(&run, &mut batches, evaluate_test, &mut on_epoch);
        report.waited_seconds = Some(waited.seconds());
        match trained {
            Ok(outcome) => {
                report.test_accuracy = outcome.test_accuracy;
                report.measures = outcome.measures;
                judge(&outcome.epochs)
            }
            Err(TargetError::Interrupted) if report.stopped => judge(&report.epochs),
            Err(TargetError::Interrupted) => Outcome::Lost,
            Err(error @ TargetError::Infeasible { .. }) => Outcome::Infeasible(error.to_string()),
            Err(error) => Outcome::Failed(error.to_string()),
        }
    }

    /// Reports how the attempt ended, and returns whether that was taken.
    fn tell(&self, trial: &proto::Trial, outcome: Outcome, report: &TrialReport) -> Result<bool, SearcherError> {
        use proto::tell_trial_request::Outcome as Told;
        let told = match outcome {
            Outcome::Objective(objective) => Told::Objective(objective),
            Outcome::Infeasible(reason) => Told::Infeasible(reason),
            Outcome::Failed(reason) => Told::Failed(reason),
            Outcome::Told | Outcome::Lost => return Ok(false),
        };
        tracing::info!(trial = trial.number, attempt = trial.attempt, outcome = ?told, seconds = report.seconds, "told");
        let request = proto::TellTrialRequest {
            study: trial.study.clone(),
            number: trial.number,
            attempt: trial.attempt,
            worker: self.config.name.clone(),
            outcome: Some(told),
            report_json: serde_json::to_string(report).expect("a report is plain data"),
        };
        match self.client.tell_trial(request) {
            Ok(_) => Ok(true),
            // The lease ran out meanwhile and another worker has the trial: its result will stand.
            Err(ClientError::FailedPrecondition(reason)) => {
                tracing::warn!(trial = trial.number, reason, "result not taken");
                Ok(false)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Gives the trial back, so that another worker has it at once instead of when the lease runs out.
    fn release(&self, trial: &proto::Trial) {
        let request = proto::TellTrialRequest {
            study: trial.study.clone(),
            number: trial.number,
            attempt: trial.attempt,
            worker: self.config.name.clone(),
            outcome: Some(proto::tell_trial_request::Outcome::Released(format!(
                "worker {:?} was told to stop",
                self.config.name
            ))),
            report_json: String::new(),
        };
        let config = self.config.daemon.config();
        let config = config.map(|config| ClientConfig { retry_deadline: Some(RELEASE_DEADLINE), ..config });
        match config.and_then(Client::new).and_then(|client| client.tell_trial(request)) {
            Ok(_) => tracing::info!(trial = trial.number, attempt = trial.attempt, "given back"),
            Err(error) => tracing::warn!(trial = trial.number, %error, "not given back: its lease will run out"),
        }
    }

    /// A told trial's job is of no more use; one that stays does no harm, so failing to remove it is no failure.
    fn remove_job(&self, trial: &proto::Trial) {
        match self.client.remove_job(&job_name(&trial.study, trial.number)) {
            Ok(()) | Err(ClientError::NotFound(_)) => {}
            Err(error) => tracing::warn!(trial = trial.number, %error, "its job stays"),
        }
    }
}

/// Returns the name of a trial's job.
#[must_use]
pub fn job_name(study: &str, number: u64) -> String {
    format!("{study}/trial-{number}")
}

/// The objective of a training that finished or was stopped early: its last epoch's validation accuracy, if everything
/// stayed finite.
fn judge(epochs: &[EpochReport]) -> Outcome {
    let Some(last) = epochs.last() else {
        return Outcome::Failed("the training had no epochs".to_owned());
    };
    if let Some(epoch) = epochs.iter().find(|epoch| !epoch.training_loss.is_finite()) {
        return Outcome::Infeasible(format!("the training loss of epoch {} is {}", epoch.epoch, epoch.training_loss));
    }
    if !last.validation_accuracy.is_finite() {
        return Outcome::Infeasible(format!("the validation accuracy is {}", last.validation_accuracy));
    }
    Outcome::Objective(last.validation_accuracy)
}

fn lease_ms() -> u32 {
    u32::try_from(LEASE.as_millis()).expect("a lease is well below 49 days")
}

fn panic_message(panic: &(dyn std::any::Any + Send)) -> String {
    let text =
        panic.downcast_ref::<&str>().map(ToString::to_string).or_else(|| panic.downcast_ref::<String>().cloned());
    format!("panicked: {}", text.unwrap_or_else(|| "without a message".to_owned()))
}
