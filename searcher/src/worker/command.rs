//! Running a trial by a command: the worker opens its job, starts the command and judges how it ends.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use swift_sampler_client::proto;

use super::answer::Answer;
use super::heartbeat::Heartbeat;
use super::script::{Ended, Exit, Script};
use super::{Outcome, Worker, answer, batches, environment, fate, job_name};
use crate::limits::{Overdue, TrialClock};
use crate::memory;
use crate::policy::TrialParameters;
use crate::study::TrialReport;

/// How often to see whether the command has ended.
const POLL_INTERVAL: Duration = Duration::from_millis(20);
/// How often to see how much memory it uses.
const MEMORY_INTERVAL: Duration = Duration::from_millis(500);
/// Looks at the daemon for progress within the time in which there must be some.
const LOOKS_A_HANG: u32 = 4;
/// How long a command may go on once it told its trial itself.
const EXIT_PATIENCE: Duration = Duration::from_secs(60);

/// An attempt under way.
struct Watched<'a> {
    worker: &'a Worker<'a>,
    trial: &'a proto::Trial,
    heartbeat: &'a Heartbeat,
    script: Script,
    clock: TrialClock,
    bytes_written: u64,
    looked: Instant,
    /// The job's horizon and the script's report, as last seen at the daemon.
    seen: Option<(u64, String)>,
    measured: Instant,
    /// Most memory it was seen to use, in bytes.
    peak: u64,
}

/// What watching came to.
enum Watch {
    Ended(Ended),
    Over(Outcome),
}

impl Worker<'_> {
    /// Runs an attempt and returns how it ended; `report` becomes what the command reported of it.
    pub(super) fn run_command(
        &self,
        command: &str,
        trial: &proto::Trial,
        parameters: &TrialParameters,
        heartbeat: &Heartbeat,
        report: &mut TrialReport,
    ) -> Outcome {
        if let Err(error) = batches::open_job(self, trial, parameters) {
            return Outcome::Failed(format!("its job cannot be opened: {error}"));
        }
        let (log, variables) = (self.log_path(trial), environment::variables(self, trial, parameters));
        let script = match Script::start(command, &variables, &log) {
            Ok(script) => script,
            Err(error) => return Outcome::Failed(format!("its command cannot be started: {error}")),
        };
        let (now, kills) = (Instant::now(), memory::kills());
        let mut watched = Watched {
            worker: self,
            trial,
            heartbeat,
            script,
            clock: TrialClock::start(now),
            bytes_written: 0,
            looked: now,
            seen: None,
            measured: now,
            peak: 0,
        };
        let watch = watched.watch();
        self.room.note(watched.peak);
        // Whatever is left of it ends before it is judged.
        drop(watched);
        let stored = self.stored(trial);
        if let Some(reported) = stored.as_ref().and_then(reported) {
            *report = reported;
        }
        match watch {
            Watch::Over(outcome) => outcome,
            Watch::Ended(ended) if ended.exit != Exit::Code(0) => {
                Outcome::Failed(fate::of_command(&ended, memory::kills() > kills))
            }
            Watch::Ended(Ended { last_object: Some(object), .. }) => match answer::read(&object) {
                Ok(Answer::Objective { objective, test_accuracy }) => {
                    report.test_accuracy = test_accuracy.or(report.test_accuracy);
                    Outcome::Objective(objective)
                }
                Ok(Answer::Infeasible(reason)) => Outcome::Infeasible(reason),
                Err(reason) => Outcome::Failed(reason),
            },
            Watch::Ended(_) if stored.is_some_and(|stored| is_told(trial, &stored)) => Outcome::Told,
            Watch::Ended(_) => Outcome::Failed(
                "it ended without an objective: print {\"objective\": 0.83} as the last line of JSON, or tell the trial"
                    .to_owned(),
            ),
        }
    }

    /// The trial as it is stored; `None`, with a warning, if the daemon does not say.
    pub(super) fn stored(&self, trial: &proto::Trial) -> Option<proto::Trial> {
        match self.client.list_trials(&trial.study) {
            Ok(trials) => trials.into_iter().find(|stored| stored.number == trial.number),
            Err(error) => {
                tracing::warn!(trial = trial.number, %error, "its report cannot be read");
                None
            }
        }
    }

    fn log_path(&self, trial: &proto::Trial) -> PathBuf {
        let name = format!("trial-{}-attempt-{}.log", trial.number, trial.attempt);
        self.config.work_dir.join("trials").join(name)
    }
}

impl Watched<'_> {
    fn watch(&mut self) -> Watch {
        loop {
            match self.script.poll() {
                Ok(Some(ended)) => return Watch::Ended(ended),
                Ok(None) => {}
                Err(error) => return failed(format!("its command cannot be waited for: {error}")),
            }
            if self.heartbeat.is_lost() {
                return self.wait_if_told();
            }
            if self.heartbeat.is_over() {
                return Watch::Over(Outcome::Lost);
            }
            if let Some(reason) = self.exceeds_memory() {
                return failed(reason);
            }
            if let Some(overdue) = self.overdue() {
                return failed(overdue.to_string());
            }
            self.heartbeat.wait(POLL_INTERVAL);
        }
    }

    /// The lease is no more. If it is because the script told its trial itself, the script may still end in peace.
    fn wait_if_told(&mut self) -> Watch {
        if !self.worker.stored(self.trial).is_some_and(|stored| is_told(self.trial, &stored)) {
            return Watch::Over(Outcome::Lost);
        }
        let told = Instant::now();
        while told.elapsed() < EXIT_PATIENCE && matches!(self.script.poll(), Ok(None)) {
            self.heartbeat.wait(POLL_INTERVAL);
        }
        Watch::Over(Outcome::Told)
    }

    fn exceeds_memory(&mut self) -> Option<String> {
        if self.measured.elapsed() < MEMORY_INTERVAL {
            return None;
        }
        self.measured = Instant::now();
        let used = memory::of_group(self.script.group());
        self.peak = self.peak.max(used);
        let limit = self.worker.config.limits.memory_bytes?;
        (used > limit).then(|| over_memory(used, limit))
    }

    fn overdue(&mut self) -> Option<Overdue> {
        let (now, limits) = (Instant::now(), &self.worker.config.limits);
        let written = self.script.bytes_written();
        if written != self.bytes_written {
            self.bytes_written = written;
            self.clock.progress(now);
        }
        if now.duration_since(self.looked) > limits.hang / LOOKS_A_HANG {
            self.looked = now;
            if let Some(seen) = self.look()
                && self.seen.as_ref() != Some(&seen)
            {
                self.seen = Some(seen);
                self.clock.progress(now);
            }
        }
        self.clock.overdue(limits, now)
    }

    /// How far the script pulled batches, and what it reported last.
    fn look(&self) -> Option<(u64, String)> {
        let job = self.worker.client.get_job(&job_name(&self.trial.study, self.trial.number)).ok()?;
        Some((job.horizon, self.worker.stored(self.trial)?.report_json))
    }
}

fn failed(reason: String) -> Watch {
    Watch::Over(Outcome::Failed(reason))
}

/// Says that an attempt used more memory than it may.
pub(crate) fn over_memory(used: u64, limit: u64) -> String {
    let megabytes = |bytes: u64| bytes >> 20;
    format!("out of memory: it used {} MiB, more than the {} MiB of --trial-memory", megabytes(used), megabytes(limit))
}

/// Tells whether the attempt was told, which its script may do itself.
fn is_told(trial: &proto::Trial, stored: &proto::Trial) -> bool {
    stored.attempt == trial.attempt && stored.state() != proto::TrialState::Running
}

fn reported(stored: &proto::Trial) -> Option<TrialReport> {
    if stored.report_json.is_empty() {
        return None;
    }
    match serde_json::from_str(&stored.report_json) {
        Ok(report) => Some(report),
        Err(error) => {
            tracing::warn!(trial = stored.number, %error, "its report is not one, and is left out");
            None
        }
    }
}
