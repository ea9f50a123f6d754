//! `searcher show`, `export` and `studies`: studies and their trials for people, scripts and other programs.

mod csv;
mod optuna;
mod standing;
mod studies;
mod table;

use serde_json::{Value, json};
use swift_sampler_client::blocking::Client;
use swift_sampler_client::proto;

use crate::error::SearcherError;
use crate::policy::{Purpose, TrialRecord};
use crate::study::{StoredTrial, StudyConfig, read_config};

pub use studies::Studies;

/// A study with its trials.
#[derive(Debug)]
pub struct Listing {
    study: proto::Study,
    config: StudyConfig,
    trials: Vec<StoredTrial>,
}

impl Listing {
    /// Fetches a study.
    ///
    /// # Errors
    /// [`SearcherError`] when the daemon cannot be reached, or the study is unknown or another program's.
    pub fn fetch(client: &Client, study: &str) -> Result<Self, SearcherError> {
        let found = client.get_study(study)?;
        Self::read(found, &client.list_trials(study)?)
    }

    /// Reads a study and its trials as the daemon keeps them.
    ///
    /// # Errors
    /// [`SearcherError::Record`] when another program wrote them.
    pub fn read(study: proto::Study, trials: &[proto::Trial]) -> Result<Self, SearcherError> {
        let config = read_config(&study)?;
        Ok(Self { study, config, trials: StoredTrial::read_all(trials)? })
    }

    /// Returns the study's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.study.name
    }

    /// Returns what the study was created with.
    #[must_use]
    pub fn config(&self) -> &StudyConfig {
        &self.config
    }

    /// Returns the trials in order of number.
    #[must_use]
    pub fn trials(&self) -> &[StoredTrial] {
        &self.trials
    }

    /// Returns everything as JSON.
    #[must_use]
    pub fn json(&self) -> Value {
        let parsed = |text: &str| serde_json::from_str::<Value>(text).unwrap_or(Value::Null);
        let best = self.best_so_far();
        let trial = |trial: &StoredTrial| {
            let mut value = self.trial_json(trial);
            value["best_so_far"] = best.contains(&trial.record.number).into();
            value
        };
        json!({
            "study": self.study.name,
            "dataset": self.study.dataset,
            "state": state_name(&self.study),
            "config": parsed(&self.study.config_json),
            "result": parsed(&self.study.result_json),
            "created_at_ms": self.study.created_at_ms,
            "attempts_max": self.study.attempts_max,
            "standing": self.standing(),
            "trials": self.trials.iter().map(trial).collect::<Vec<_>>(),
        })
    }

    fn trial_json(&self, trial: &StoredTrial) -> Value {
        let parameters = &trial.record.parameters;
        json!({
            "number": trial.record.number,
            "purpose": purpose_name(parameters.purpose),
            "state": trial.state_name(),
            "objective": trial.record.objective(),
            "test_accuracy": trial.report.test_accuracy,
            "test_top5_accuracy": trial.report.measures.test_top5_accuracy,
            "test_balanced_accuracy": trial.report.measures.test_balanced_accuracy,
            "epochs": trial.report.epochs,
            "epochs_planned": self.config.training.run(parameters).epochs,
            "seconds": trial.report.seconds,
            "waited_seconds": trial.report.waited_seconds,
            "attempt": trial.attempt,
            "released": trial.released,
            "worker": trial.worker,
            "version": trial.version,
            "sampler": parameters.sampler,
            "point": parameters.point,
            "seed": parameters.seed,
            "repeats": parameters.repeats,
            "reason": trial.reason,
            "added_at_ms": trial.added_at_ms,
            "ended_at_ms": trial.ended_at_ms,
        })
    }

    fn records(&self) -> Vec<TrialRecord> {
        self.trials.iter().map(|trial| trial.record.clone()).collect()
    }

    /// The search trials that were better than all before them.
    fn best_so_far(&self) -> Vec<u64> {
        let mut best = f64::NEG_INFINITY;
        let mut numbers = Vec::new();
        for record in self.trials.iter().map(|trial| &trial.record) {
            if let Some(objective) = record.objective()
                && record.parameters.purpose.is_search()
                && objective > best
            {
                best = objective;
                numbers.push(record.number);
            }
        }
        numbers
    }
}

const fn purpose_name(purpose: Purpose) -> &'static str {
    match purpose {
        Purpose::Baseline => "baseline",
        Purpose::Initial => "initial",
        Purpose::Search => "search",
        Purpose::Confirm => "confirm",
        Purpose::Retrain => "retrain",
    }
}

fn state_name(study: &proto::Study) -> &'static str {
    match study.state() {
        proto::StudyState::Ended => "ended",
        proto::StudyState::Running | proto::StudyState::Unspecified => "running",
    }
}

#[cfg(test)]
mod tests;
