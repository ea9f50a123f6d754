//! A study and its trials, as the registry keeps them.

use serde::{Deserialize, Serialize};
use swift_sampler_client::proto;

use crate::error::SearcherError;
use crate::policy::{Plan, Purpose, TrialParameters, TrialRecord, TrialStanding};
use crate::preparation::TargetConfig;
use crate::target::{EpochReport, Loss, Measures, RecipeOverrides, Start, TrainingRun};

/// Version of the records this program writes.
pub const FORMAT: u32 = 1;

/// Everything that decides what a study does; a study is created with it once, and the same command finds it again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StudyConfig {
    /// [`FORMAT`].
    pub format: u32,
    /// What is trained.
    pub target: TargetConfig,
    /// SHA-256 of the dataset's content.
    pub dataset_hash: String,
    /// What is searched, and how long.
    pub plan: Plan,
    /// How trials are trained.
    pub training: TrainingConfig,
}

/// How trials are trained.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainingConfig {
    /// Epochs of a short trial.
    pub epochs: u32,
    /// Weights a short trial starts from.
    pub start: Start,
    /// Epochs of a retraining from scratch.
    pub retrain_epochs: u32,
    /// Examples a batch.
    pub batch_size: u32,
    /// Overrides of the target's recipe.
    pub recipe: RecipeOverrides,
}

impl TrainingConfig {
    /// Returns the training run of a trial.
    #[must_use]
    pub fn run(&self, parameters: &TrialParameters) -> TrainingRun {
        let (epochs, start) = match parameters.purpose {
            Purpose::Retrain => (self.retrain_epochs, Start::Scratch),
            _ => (self.epochs, self.start),
        };
        let (epochs, start) = (parameters.epochs.unwrap_or(epochs), parameters.start.unwrap_or(start));
        let (seed, loss) = (parameters.seed, Loss::CrossEntropy);
        TrainingRun { epochs, batch_size: self.batch_size, seed, start, recipe: self.recipe.clone(), loss }
    }
}

/// What a worker reports of a trial, while it runs and at its end.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct TrialReport {
    /// Epochs so far.
    pub epochs: Vec<EpochReport>,
    /// Whether the trial was ended by its `stop_below`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub stopped: bool,
    /// Accuracy on the test set, after a retraining.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub test_accuracy: Option<f64>,
    /// Other measures of the test set.
    #[serde(flatten)]
    pub measures: Measures,
    /// Time the worker spent, in seconds.
    pub seconds: f64,
    /// Time of it spent on pulling from the daemon, in seconds: opening the job, and waiting for batches that were not
    /// there yet. `None` in reports of before it was measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waited_seconds: Option<f64>,
}

impl TrialReport {
    /// Returns the share of its time that the trial spent on pulling from the daemon.
    #[must_use]
    pub fn waited_share(&self) -> Option<f64> {
        self.waited_seconds.filter(|_| self.seconds > 0.0).map(|waited| waited / self.seconds)
    }
}

/// A trial as the registry keeps it, read.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredTrial {
    /// As the policy sees it.
    pub record: TrialRecord,
    /// Its stored state.
    pub state: proto::TrialState,
    /// The sampler version it trains under.
    pub version: u64,
    /// Attempts so far.
    pub attempt: u32,
    /// How many of them were given back.
    pub released: u32,
    /// Who holds or last held it.
    pub worker: String,
    /// Why it is infeasible or failed.
    pub reason: String,
    /// The worker's report.
    pub report: TrialReport,
    /// Unix time in milliseconds when it was added.
    pub added_at_ms: u64,
    /// Unix time in milliseconds, 0 until it ends.
    pub ended_at_ms: u64,
}

impl StoredTrial {
    /// Reads a trial.
    ///
    /// # Errors
    /// [`SearcherError::Record`] when its parameters were written by something else.
    pub fn read(trial: &proto::Trial) -> Result<Self, SearcherError> {
        let broken = |what: &str, error: &serde_json::Error| SearcherError::Record {
            study: trial.study.clone(),
            reason: format!("trial {}: {what} were not written by this searcher: {error}", trial.number),
        };
        let parameters: TrialParameters =
            serde_json::from_str(&trial.parameters_json).map_err(|error| broken("its parameters", &error))?;
        let report = if trial.report_json.is_empty() {
            TrialReport::default()
        } else {
            // A script that reports nonsense does not end the study that its trial is part of.
            serde_json::from_str(&trial.report_json).unwrap_or_else(|error| {
                tracing::warn!(study = trial.study, trial = trial.number, %error, "its report cannot be read");
                TrialReport::default()
            })
        };
        let standing = match (trial.state(), trial.objective) {
            (proto::TrialState::Succeeded, Some(objective)) => TrialStanding::Succeeded(objective),
            (proto::TrialState::Infeasible, _) => TrialStanding::Infeasible,
            (proto::TrialState::Failed, _) => TrialStanding::Failed,
            _ => TrialStanding::Pending,
        };
        let accuracies = report.epochs.iter().map(|epoch| epoch.validation_accuracy).collect();
        Ok(Self {
            record: TrialRecord { number: trial.number, parameters, standing, accuracies },
            state: trial.state(),
            version: trial.sampler_version,
            attempt: trial.attempt,
            released: trial.released,
            worker: trial.worker.clone(),
            reason: trial.reason.clone(),
            report,
            added_at_ms: trial.added_at_ms,
            ended_at_ms: trial.ended_at_ms,
        })
    }

    /// Returns how many attempts count against the study's most: those that were not given back.
    #[must_use]
    pub fn attempts(&self) -> u32 {
        self.attempt.saturating_sub(self.released)
    }

    /// Reads trials in order of number.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn read_all(trials: &[proto::Trial]) -> Result<Vec<Self>, SearcherError> {
        trials.iter().map(Self::read).collect()
    }

    /// Returns whether the trial has ended, however it did.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.record.standing != TrialStanding::Pending
    }

    /// Returns the state's name in tables and JSON.
    #[must_use]
    pub const fn state_name(&self) -> &'static str {
        match self.state {
            proto::TrialState::Pending | proto::TrialState::Unspecified => "pending",
            proto::TrialState::Running => "running",
            proto::TrialState::Succeeded => "succeeded",
            proto::TrialState::Infeasible => "infeasible",
            proto::TrialState::Failed => "failed",
        }
    }
}

/// Reads a study's config.
///
/// # Errors
/// [`SearcherError::Record`] when something else wrote it, or another version of this program.
pub fn read_config(study: &proto::Study) -> Result<StudyConfig, SearcherError> {
    let broken = |reason: String| SearcherError::Record { study: study.name.clone(), reason };
    let config: StudyConfig = serde_json::from_str(&study.config_json)
        .map_err(|error| broken(format!("its config was not written by this searcher: {error}")))?;
    if config.format != FORMAT {
        return Err(broken(format!("its records have format {}, this searcher reads {FORMAT}", config.format)));
    }
    Ok(config)
}

/// The config of a small study: ten short trials of 4 epochs, 2 confirmations, 2 retrainings of 20 epochs.
#[cfg(test)]
pub(crate) fn small_config() -> serde_json::Value {
    serde_json::json!({
        "format": 1,
        "target": { "kind": "simulated", "examples": 100, "label_noise": 0.4, "seed": 0 },
        "dataset_hash": "",
        "plan": {
            "space": { "features": ["loss", "entropy"], "segments": 4, "transform": "cgf" },
            "trials": 10, "baselines": 3, "initial": 3, "exploration": { "kappa": 1.8 },
            "finalists": 2, "finalist_seeds": 1, "retrain_seeds": 1, "seed": 0,
        },
        "training": { "epochs": 4, "start": "last", "retrain_epochs": 20, "batch_size": 64, "recipe": {} },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_without_a_training_loss_is_read() {
        let json =
            r#"{"epochs":[{"epoch":1,"training_loss":null,"validation_accuracy":0.5,"seconds":1.0}],"seconds":1.0}"#;
        let report: TrialReport = serde_json::from_str(json).unwrap();
        assert!(report.epochs[0].training_loss.is_nan());
        assert_eq!(serde_json::to_string(&report).unwrap(), json);
    }

    #[test]
    fn other_measures_stand_beside_the_test_accuracy_and_older_reports_have_none() {
        let json =
            r#"{"epochs":[],"test_accuracy":0.7,"test_top5_accuracy":0.9,"test_balanced_accuracy":0.6,"seconds":1.0}"#;
        let report: TrialReport = serde_json::from_str(json).unwrap();
        assert_eq!(
            (report.measures.test_top5_accuracy, report.measures.test_balanced_accuracy),
            (Some(0.9), Some(0.6))
        );
        assert_eq!(serde_json::to_string(&report).unwrap(), json);
        let old: TrialReport = serde_json::from_str(r#"{"epochs":[],"test_accuracy":0.7,"seconds":1.0}"#).unwrap();
        assert_eq!(old.measures, Measures::default());
    }

    #[test]
    fn a_report_of_before_waiting_was_measured_is_read_and_has_no_share() {
        let old: TrialReport = serde_json::from_str(r#"{"epochs":[],"seconds":8.0}"#).unwrap();
        assert_eq!((old.seconds, old.waited_share()), (8.0, None));
        let of_a_script = r#"{"epochs":[{"epoch":1,"training_loss":null,"validation_accuracy":0.5}],"note":"mine"}"#;
        let of_a_script: TrialReport = serde_json::from_str(of_a_script).unwrap();
        assert!(of_a_script.epochs[0].training_loss.is_nan() && of_a_script.epochs[0].seconds == 0.0);
        let new = TrialReport { waited_seconds: Some(0.1), ..old };
        assert_eq!(new.waited_share(), Some(0.0125));
        assert_eq!(TrialReport { seconds: 0.0, ..new }.waited_share(), None, "nothing is a share of no time");
    }
}
