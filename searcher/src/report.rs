//! What a study came to: numbers for people and scripts, and pictures.

mod evidence;
mod ranking;
mod table;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use swift_sampler::SamplerSpec;
use swift_sampler_client::proto;

use crate::error::SearcherError;
use crate::policy::{Purpose, Verdict, exact_labels, standing, verdict};
use crate::study::{StoredTrial, StudyConfig};
use crate::target::{Measures, Metric};
use crate::work_dir::WorkDir;

pub use evidence::Evidence;
pub use ranking::RankAgreement;
pub use table::print as print_table;
pub(crate) use table::shown;

/// What a study came to. Accuracies and gains are shares, not percent; of language models they are of 1 / perplexity.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// The study.
    pub study: String,
    /// Its dataset.
    pub dataset: String,
    /// What was trained.
    pub target: String,
    /// What objectives and accuracies measure.
    #[serde(default, skip_serializing_if = "Metric::is_accuracy")]
    pub metric: Metric,
    /// Seeds everything.
    pub seed: u64,
    /// Short trials of the search, baseline included.
    pub trials: usize,
    /// Epochs of each.
    pub epochs_a_trial: u32,
    /// Mean objective of the uniform sampler's short trials.
    pub baseline_objective: Option<f64>,
    /// The sampler that was found.
    pub winner: WinnerReport,
    /// After retraining: the uniform sampler first, then the winner, then perhaps the one that knows the right labels.
    pub samplers: Vec<SamplerReport>,
    /// Mean test accuracy under the winner minus under the uniform sampler, in shares; `None` without retraining.
    pub gain: Option<f64>,
    /// The gain as a share of that of the sampler that knows which labels are wrong, where networks were retrained under it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub share_of_way: Option<f64>,
    /// Whether short trials rank samplers as training from scratch does, where that was checked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ranking: Option<RankAgreement>,
    /// Epochs spent.
    pub epochs: EpochsSpent,
    /// Time spent, in seconds.
    pub seconds: SecondsSpent,
    /// Where report, features and pictures lie.
    pub work_dir: PathBuf,
}

/// The sampler that was found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WinnerReport {
    /// The trial that found it.
    pub trial: u64,
    /// Mean objective under fresh seeds.
    pub objective: f64,
    /// Whether its confirmed gain is enough to be activated; `None` in reports of before this was judged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verdict: Option<Verdict>,
    /// The version activated in the daemon; `None` if the gain was not enough, or in a dry run.
    pub activated_version: Option<u64>,
    /// The sampler.
    pub sampler: SamplerSpec,
    /// Mean probability, relative to uniform, in 40 equal bins of each feature's percentile; empty in reports of before.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub by_percentile: BTreeMap<String, Vec<f64>>,
}

/// How networks retrained from scratch under a sampler.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SamplerReport {
    /// "uniform", "found" or "exact labels".
    pub name: String,
    /// Accuracy on the test set.
    pub test_accuracy: Option<Summary>,
    /// Other measures of the test set.
    #[serde(flatten)]
    pub measures: Measures<Summary>,
    /// Accuracy on the validation set.
    pub validation_accuracy: Option<Summary>,
    /// Probability that a draw has a wrong label, where labels are known to be wrong.
    pub noisy_mass: Option<f64>,
    /// Probability that an example with a wrong label is less probable than one with a right label, ties counting half (the area
    /// under the ROC curve), where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub noise_auroc: Option<f64>,
    /// Probability that a draw is a crop that misses its object, where the objects' places are known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub background_mass: Option<f64>,
    /// Effective sample size as a share of the examples.
    pub effective_sample_size_ratio: f64,
}

/// Mean and spread over seeds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// Mean.
    pub mean: f64,
    /// Sample standard deviation; 0 of a single value.
    pub sd: f64,
    /// The values, by seed.
    pub values: Vec<f64>,
}

/// Epochs spent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct EpochsSpent {
    /// On the start network.
    pub start: u32,
    /// On the trials of the search.
    pub search: u32,
    /// On confirming finalists.
    pub confirmation: u32,
    /// On training one network.
    pub training: u32,
    /// One network with its search.
    pub with_search: u32,
    /// One network without.
    pub without_search: u32,
}

/// Time spent, in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct SecondsSpent {
    /// From the study's creation to its report, interruptions included.
    pub wall: f64,
    /// Of workers on trials.
    pub trials: f64,
}

impl Report {
    /// Sums a finished study up.
    ///
    /// # Errors
    /// [`SearcherError`] when the study has no winner or its sampler does not fit the features.
    pub fn compute(
        study: &proto::Study,
        config: &StudyConfig,
        trials: &[StoredTrial],
        evidence: &Evidence,
        activated_version: Option<u64>,
        work_dir: PathBuf,
    ) -> Result<Self, SearcherError> {
        let records: Vec<_> = trials.iter().map(|trial| trial.record.clone()).collect();
        let standing = standing(&config.plan, &records)?;
        let winner = standing.winner.ok_or_else(|| SearcherError::Failed("the study has no winner yet".to_owned()))?;
        let found = records
            .iter()
            .find(|record| record.number == winner.trial)
            .map(|record| record.parameters.sampler.clone())
            .ok_or_else(|| SearcherError::Failed(format!("trial {} is gone", winner.trial)))?;
        let mut samplers = vec![
            evidence.sampler_report("uniform", &SamplerSpec::Uniform {}, None, trials)?,
            evidence.sampler_report("found", &found, Some(winner.trial), trials)?,
        ];
        if config.plan.protocol.exact_labels {
            samplers.push(evidence.sampler_report("exact labels", &exact_labels(), None, trials)?);
        }
        let gain_of = |index: usize| {
            let tested = |index: usize| samplers.get(index)?.test_accuracy.as_ref().map(|tested| tested.mean);
            Some(tested(index)? - tested(0)?)
        };
        let (gain, largest) = (gain_of(1), gain_of(2));
        let share_of_way = gain.zip(largest).filter(|(_, largest)| *largest > 0.0).map(|(gain, most)| gain / most);
        Ok(Self {
            study: study.name.clone(),
            dataset: study.dataset.clone(),
            target: config.target.name().to_owned(),
            metric: config.target.metric(),
            seed: config.plan.seed,
            trials: config.plan.trials,
            epochs_a_trial: config.training.epochs,
            baseline_objective: standing.baseline,
            winner: WinnerReport {
                trial: winner.trial,
                objective: winner.objective,
                verdict: Some(verdict(&records, winner.trial)),
                activated_version,
                by_percentile: evidence.by_percentile(&found, &config.plan.space.features)?,
                sampler: found,
            },
            samplers,
            gain,
            share_of_way,
            ranking: RankAgreement::of(trials),
            epochs: EpochsSpent::of(config, trials, evidence.start_epochs),
            seconds: SecondsSpent {
                wall: seconds_since(study.created_at_ms),
                trials: trials.iter().map(|trial| trial.report.seconds).sum(),
            },
            work_dir,
        })
    }

    /// Reads the report that an ended study keeps.
    ///
    /// # Errors
    /// [`SearcherError::Record`] when there is none, as in a study that was ended early.
    pub fn read(study: &proto::Study) -> Result<Self, SearcherError> {
        serde_json::from_str(&study.result_json).map_err(|error| SearcherError::Record {
            study: study.name.clone(),
            reason: format!("it has ended without a report ({error}); give another --study"),
        })
    }

    /// Writes `report.json`.
    ///
    /// # Errors
    /// [`SearcherError::File`].
    pub fn write(&self, work_dir: &WorkDir) -> Result<(), SearcherError> {
        let json = serde_json::to_string_pretty(self).map_err(|error| SearcherError::Failed(error.to_string()))?;
        work_dir.write("report.json", &(json + "\n"))
    }
}

impl Summary {
    pub(crate) fn of(values: Vec<f64>) -> Option<Self> {
        if values.is_empty() {
            return None;
        }
        let count = values.len() as f64;
        let mean = values.iter().sum::<f64>() / count;
        let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
        let sd = if values.len() > 1 { (squares / (count - 1.0)).sqrt() } else { 0.0 };
        Some(Self { mean, sd, values })
    }
}

impl EpochsSpent {
    fn of(config: &StudyConfig, trials: &[StoredTrial], start: u32) -> Self {
        let epochs = |of: &dyn Fn(Purpose) -> bool| -> u32 {
            let trained = trials.iter().filter(|trial| of(trial.record.parameters.purpose));
            trained.map(|trial| u32::try_from(trial.report.epochs.len()).unwrap_or(u32::MAX)).sum()
        };
        let search = epochs(&Purpose::is_search);
        let confirmation = epochs(&|purpose| purpose == Purpose::Confirm);
        let training = config.training.retrain_epochs;
        let with_search = start + search + confirmation + training;
        Self { start, search, confirmation, training, with_search, without_search: training }
    }
}

fn seconds_since(unix_ms: u64) -> f64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |now| now.as_secs_f64());
    (now - unix_ms as f64 / 1000.0).max(0.0)
}
