//! Trials: added by a policy, leased, run and told by workers that may vanish at any moment.
//!
//! A lease that ran out is found by reading the clock, not by a timer: [`TrialRecord::settled`] is applied to whatever is
//! read, so every caller sees the same state at the same time.

use std::ops::RangeInclusive;

use super::records::{StudyState, TrialRecord, TrialState};
use super::studies::parse_json;
use super::{Decision, Read, Registry, RegistryError, sampler_key, trial_key, trials_prefix};

/// How long a lease lasts unless the worker says otherwise, in milliseconds.
pub const LEASE_DEFAULT_MS: u32 = 30_000;
/// How long a lease may last, in milliseconds.
pub const LEASE_RANGE_MS: RangeInclusive<u32> = 1_000..=3_600_000;
/// Longest wait for a trial, in milliseconds.
pub const LEASE_WAIT_MAX_MS: u32 = 30_000;
/// Most trials of a study.
pub(crate) const TRIALS_MAX: u64 = 100_000;
/// Longest name of a worker, in bytes.
pub(crate) const WORKER_NAME_MAX: usize = 128;

/// What a trial is added with.
#[derive(Debug, Clone)]
pub struct NewTrial {
    /// Its study.
    pub study: String,
    /// Its number: that of trials so far.
    pub number: u64,
    /// The policy's parameters.
    pub parameters_json: String,
    /// The candidate it trains under.
    pub sampler_version: u64,
}

/// The answer to a worker that asks for a trial.
#[derive(Debug, Clone)]
pub struct Lease {
    /// The trial, if one is to be had.
    pub trial: Option<TrialRecord>,
    /// No trial will come any more.
    pub study_ended: bool,
}

/// Who reports on which attempt.
#[derive(Debug, Clone)]
pub struct Report {
    /// The study.
    pub study: String,
    /// The trial.
    pub number: u64,
    /// The attempt that was leased.
    pub attempt: u32,
    /// Who leased it.
    pub worker: String,
    /// Progress or final metrics; empty leaves the last.
    pub report_json: String,
}

/// A lease that is to run out later than this, in milliseconds from now, was given by a clock that has been set back since, or by
/// another daemon's that is ahead: it counts as run out, rather than keep the trial of a worker that is gone for as long as
/// the clock jumped. A worker that is there takes it up again by its next heartbeat.
const LEASE_AHEAD_MAX_MS: u64 = 2 * *LEASE_RANGE_MS.end() as u64;

/// How an attempt ended.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// With this objective, to be maximised.
    Objective(f64),
    /// Without one, for this reason, and not to be tried again.
    Infeasible(String),
    /// Not at all, for this reason.
    Failed(String),
    /// Given back by a worker that has to go, for this reason: to be had at once, and the attempt does not count.
    Released(String),
}

impl TrialRecord {
    /// Returns the trial as it stands at `now_ms`: a lease that ran out returns it to pending, or, with the attempts
    /// used up, fails it.
    #[must_use]
    pub fn settled(mut self, now_ms: u64, attempts_max: u32) -> Self {
        let may_run_out = now_ms + 1..=now_ms + LEASE_AHEAD_MAX_MS;
        if self.state == TrialState::Running && !may_run_out.contains(&self.lease_expires_at_ms) {
            let reason = format!("the lease of attempt {} by worker {:?} ran out", self.attempt, self.worker);
            let at = self.lease_expires_at_ms.min(now_ms);
            self.attempt_lost(at, attempts_max, reason);
        }
        self
    }

    fn attempt_lost(&mut self, now_ms: u64, attempts_max: u32, reason: String) {
        self.lease_expires_at_ms = 0;
        self.reason = reason;
        if self.attempt - self.released < attempts_max {
            self.state = TrialState::Pending;
        } else {
            self.end(TrialState::Failed, now_ms);
        }
    }

    fn end(&mut self, state: TrialState, now_ms: u64) {
        self.state = state;
        self.ended_at_ms = now_ms;
        self.lease_expires_at_ms = 0;
    }

    /// Tells whether `attempt` may still be reported on: it was leased, no later one was, and the trial has not ended.
    fn is_open_to(&self, attempt: u32) -> bool {
        attempt > 0
            && attempt == self.attempt
            && !self.told.contains(&attempt)
            && matches!(self.state, TrialState::Running | TrialState::Pending)
    }
}

impl Registry {
    /// Adds the study's next trial, or returns the one there is, if its content is equal.
    ///
    /// # Errors
    /// [`RegistryError::TrialTaken`] when the number was added with other content, [`RegistryError::Precondition`] when
    /// it leaves a gap or the study has ended, [`RegistryError::NoStudy`], [`RegistryError::NoSampler`].
    pub fn add_trial(&self, new: &NewTrial) -> Result<TrialRecord, RegistryError> {
        let parameters = parse_json("parameters_json", &new.parameters_json)?;
        self.decide(|| {
            let study = self.read_study(&new.study)?;
            let Some(mut study_record) = study.record.clone() else {
                return Err(RegistryError::NoStudy(new.study.clone()));
            };
            let trial = self.read_trial(&new.study, new.number)?;
            if let Some(stored) = trial.record {
                let taken =
                    |field| Err(RegistryError::TrialTaken { study: new.study.clone(), number: new.number, field });
                if parse_json("parameters_json", &stored.parameters_json)? != parameters {
                    return taken("parameters");
                }
                if stored.sampler_version != new.sampler_version {
                    return taken("sampler version");
                }
                return Ok(Decision::Answer(stored.settled(self.now_ms(), study_record.attempts_max)));
            }
            if study_record.state == StudyState::Ended {
                return Err(RegistryError::Precondition(format!("study {:?} has ended", new.study)));
            }
            if new.number != study_record.trials || new.number >= TRIALS_MAX {
                return Err(RegistryError::Precondition(format!(
                    "study {:?} has {} trials: the next is number {}, not {}, and there are at most {TRIALS_MAX}",
                    new.study, study_record.trials, study_record.trials, new.number
                )));
            }
            let sampler: Read<serde_json::Value> =
                self.read(sampler_key(&study_record.dataset, new.sampler_version))?;
            if sampler.record.is_none() {
                let dataset = study_record.dataset.clone();
                return Err(RegistryError::NoSampler { dataset, version: new.sampler_version });
            }
            study_record.trials += 1;
            let record = TrialRecord {
                study: new.study.clone(),
                number: new.number,
                parameters_json: new.parameters_json.clone(),
                sampler_version: new.sampler_version,
                state: TrialState::Pending,
                attempt: 0,
                told: Vec::new(),
                released: 0,
                worker: String::new(),
                objective: None,
                reason: String::new(),
                report_json: String::new(),
                added_at_ms: self.now_ms(),
                ended_at_ms: 0,
                lease_expires_at_ms: 0,
            };
            Ok(Decision::Commit(vec![study.put(&study_record), sampler.keep(), trial.put(&record)], record))
        })
    }

    /// Leases a trial: the worker's own, if it holds one, else the first that is pending.
    ///
    /// # Errors
    /// [`RegistryError::NoStudy`], or [`RegistryError::Invalid`] for a field out of range.
    pub fn lease_trial(&self, study: &str, worker: &str, lease_ms: u32) -> Result<Lease, RegistryError> {
        if !(1..=WORKER_NAME_MAX).contains(&worker.len()) {
            return Err(RegistryError::Invalid(format!(
                "worker has {} bytes: it must have 1 to {WORKER_NAME_MAX}",
                worker.len()
            )));
        }
        let lease_ms = check_lease(lease_ms)?;
        let lease = self.decide(|| {
            let study_read = self.read_study(study)?;
            let Some(study_record) = &study_read.record else { return Err(RegistryError::NoStudy(study.to_owned())) };
            if study_record.state == StudyState::Ended {
                return Ok(Decision::Answer(Lease { trial: None, study_ended: true }));
            }
            let now = self.now_ms();
            let mut trials = Vec::new();
            for read in self.list::<TrialRecord>(&trials_prefix(study))? {
                if let Some(record) = read.record.clone() {
                    trials.push((read, record.settled(now, study_record.attempts_max)));
                }
            }
            let own = trials.iter().position(|(_, t)| t.state == TrialState::Running && t.worker == worker);
            let chosen = own.or_else(|| trials.iter().position(|(_, t)| t.state == TrialState::Pending));
            let Some(chosen) = chosen else {
                return Ok(Decision::Answer(Lease { trial: None, study_ended: false }));
            };
            let (read, mut record) = trials.swap_remove(chosen);
            if own.is_none() {
                record.attempt += 1;
                record.state = TrialState::Running;
                record.worker = worker.to_owned();
            }
            record.lease_expires_at_ms = now + lease_ms;
            let writes = vec![study_read.keep(), read.put(&record)];
            Ok(Decision::Commit(writes, Lease { trial: Some(record), study_ended: false }))
        })?;
        self.note_asker(study, worker)?;
        Ok(lease)
    }

    /// Extends the lease of an attempt, and tells whether its worker should give up because the study ended. A lease
    /// that ran out is revived if nobody took the trial meanwhile.
    ///
    /// # Errors
    /// [`RegistryError::Precondition`] when the attempt no longer holds the lease.
    pub fn heartbeat_trial(&self, report: &Report, lease_ms: u32) -> Result<bool, RegistryError> {
        let lease_ms = check_lease(lease_ms)?;
        check_report(report)?;
        self.decide(|| {
            let (read, mut trial, attempts_max) = self.trial_to_report(report)?;
            let ended = self.study(&report.study)?.state == StudyState::Ended;
            let now = self.now_ms();
            trial = trial.settled(now, attempts_max);
            if !trial.is_open_to(report.attempt) || trial.worker != report.worker {
                return Err(lost(report, &trial));
            }
            trial.state = TrialState::Running;
            trial.reason.clear();
            trial.lease_expires_at_ms = now + lease_ms;
            note(&mut trial, report);
            Ok(Decision::Commit(vec![read.put(&trial)], ended))
        })
    }

    /// Records how an attempt ended. The first report of an attempt stands.
    ///
    /// # Errors
    /// [`RegistryError::NoTrial`], or [`RegistryError::Precondition`] when the attempt was never leased by this worker,
    /// a later one was, or the trial has ended without this attempt's report.
    pub fn tell_trial(&self, report: &Report, outcome: &Outcome) -> Result<TrialRecord, RegistryError> {
        check_report(report)?;
        self.decide(|| {
            let (read, trial, attempts_max) = self.trial_to_report(report)?;
            let now = self.now_ms();
            let mut trial = trial.settled(now, attempts_max);
            if trial.told.contains(&report.attempt) {
                return Ok(Decision::Answer(trial));
            }
            if !trial.is_open_to(report.attempt) || trial.worker != report.worker {
                return Err(lost(report, &trial));
            }
            trial.told.push(report.attempt);
            note(&mut trial, report);
            trial.reason.clear();
            match outcome {
                Outcome::Objective(objective) if objective.is_finite() => {
                    trial.objective = Some(*objective);
                    trial.end(TrialState::Succeeded, now);
                }
                Outcome::Objective(objective) => {
                    trial.reason = format!("the objective is {objective}, which is not finite");
                    trial.end(TrialState::Infeasible, now);
                }
                Outcome::Infeasible(reason) => {
                    trial.reason.clone_from(reason);
                    trial.end(TrialState::Infeasible, now);
                }
                Outcome::Failed(reason) => trial.attempt_lost(now, attempts_max, reason.clone()),
                Outcome::Released(reason) => {
                    trial.released += 1;
                    trial.attempt_lost(now, attempts_max, reason.clone());
                }
            }
            Ok(Decision::Commit(vec![read.put(&trial)], trial))
        })
    }

    /// Returns the trials of a study, ascending in number.
    ///
    /// # Errors
    /// [`RegistryError::NoStudy`].
    pub fn trials(&self, study: &str) -> Result<Vec<TrialRecord>, RegistryError> {
        let attempts_max = self.study(study)?.attempts_max;
        let now = self.now_ms();
        let trials: Vec<TrialRecord> = self.records(&trials_prefix(study))?;
        Ok(trials.into_iter().map(|trial| trial.settled(now, attempts_max)).collect())
    }

    fn read_trial(&self, study: &str, number: u64) -> Result<Read<TrialRecord>, RegistryError> {
        self.read(trial_key(study, number))
    }

    fn trial_to_report(&self, report: &Report) -> Result<(Read<TrialRecord>, TrialRecord, u32), RegistryError> {
        let attempts_max = self.study(&report.study)?.attempts_max;
        let read = self.read_trial(&report.study, report.number)?;
        match read.record.clone() {
            Some(trial) => Ok((read, trial, attempts_max)),
            None => Err(RegistryError::NoTrial { study: report.study.clone(), number: report.number }),
        }
    }
}

fn check_lease(lease_ms: u32) -> Result<u64, RegistryError> {
    let lease_ms = if lease_ms == 0 { LEASE_DEFAULT_MS } else { lease_ms };
    if LEASE_RANGE_MS.contains(&lease_ms) {
        return Ok(u64::from(lease_ms));
    }
    let (start, end) = (LEASE_RANGE_MS.start(), LEASE_RANGE_MS.end());
    Err(RegistryError::Invalid(format!("lease_ms is {lease_ms}: it must be from {start} to {end}")))
}

fn check_report(report: &Report) -> Result<(), RegistryError> {
    if report.report_json.is_empty() { Ok(()) } else { parse_json("report_json", &report.report_json).map(drop) }
}

fn note(trial: &mut TrialRecord, report: &Report) {
    if !report.report_json.is_empty() {
        trial.report_json.clone_from(&report.report_json);
    }
}

fn lost(report: &Report, trial: &TrialRecord) -> RegistryError {
    let Report { study, number, attempt, worker, .. } = report;
    RegistryError::Precondition(if *attempt == 0 || *attempt > trial.attempt {
        format!("attempt {attempt} of trial {number} of study {study:?} was never leased")
    } else if *attempt == trial.attempt && trial.worker != *worker {
        format!(
            "attempt {attempt} of trial {number} of study {study:?} is leased by {:?}, not {worker:?}",
            trial.worker
        )
    } else if *attempt < trial.attempt {
        format!("attempt {attempt} of trial {number} of study {study:?} lost its lease to attempt {}", trial.attempt)
    } else {
        format!("trial {number} of study {study:?} has ended: {:?}", trial.state)
    })
}
