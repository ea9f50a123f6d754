//! The registry's records, as they are stored: JSON, one record a key, fields only ever added.

use serde::{Deserialize, Serialize};
use swift_sampler::Replacement;
use swift_sampler::job::{Follow, JobLog, Steps};

/// A dataset's description; its columns are in the store, under their hash.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DatasetRecord {
    /// Its name.
    pub name: String,
    /// SHA-256 of its content, hexadecimal.
    pub hash: String,
    /// Number of examples.
    pub rows: u64,
    /// Index of the first example; left out where it is 0.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub first_row: u64,
    /// The features samplers combine by default.
    pub features: Vec<String>,
    /// The column of gradient norms.
    pub gradient_norm: Option<String>,
    /// All stored columns.
    pub columns: Vec<String>,
    /// Distinct quantised feature tuples.
    pub cells: u64,
    /// When it was imported, Unix time.
    pub created_at_ms: u64,
}

/// A content that was some dataset's until that was removed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct RemovedRecord {
    /// SHA-256 of the content, hexadecimal.
    pub(super) hash: String,
    /// When it was removed, Unix time.
    pub(super) removed_at_ms: u64,
}

/// Which sampler version of a dataset is active, and which were before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActiveRecord {
    /// The active version.
    pub version: u64,
    /// Grows with every activation; starts above any that the dataset's name had before.
    pub generation: u64,
    /// Versions active before, the latest last; a rollback takes from its end.
    pub before: Vec<u64>,
    /// The version the next sampler of this dataset gets.
    pub next_version: u64,
}

/// Where a sampler came from.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OriginRecord {
    /// The study, empty for a sampler put by a person.
    pub study: String,
    /// The trial in it.
    pub trial: u64,
    /// A trial's candidate: hidden from lists, collected after its study ends.
    pub candidate: bool,
}

/// One sampler version.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SamplerRecord {
    /// Its dataset.
    pub dataset: String,
    /// Its version.
    pub version: u64,
    /// Its canonical spec.
    pub spec_json: String,
    /// Where it came from.
    pub origin: OriginRecord,
    /// What it is like.
    #[serde(flatten)]
    pub figures: SamplerFigures,
    /// When it was put, Unix time.
    pub created_at_ms: u64,
}

/// What a sampler is like, computed where it is put.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct SamplerFigures {
    /// 1 / Σ p², in examples.
    pub effective_sample_size: f64,
    /// Total variation distance to the exact sampler; absent in records from before it was estimated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total_variation: Option<f64>,
}

/// A job: what its batches are a function of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobRecord {
    /// Its name.
    pub name: String,
    /// Its dataset.
    pub dataset: String,
    /// The dataset's content.
    pub dataset_hash: String,
    /// The dataset's number of examples.
    pub rows: u64,
    /// Key of its random draws.
    pub seed: u64,
    /// Global batch size.
    pub batch_size: u32,
    /// Draws of an epoch; absent in old records: as many as examples.
    #[serde(default)]
    pub epoch_draws: Option<u64>,
    /// Replacement mode.
    pub mode: Replacement,
    /// When it takes up an activated version.
    pub follow: Follow,
    /// Which version is in force when.
    pub log: JobLog,
    /// When it was opened, Unix time.
    pub created_at_ms: u64,
}

impl JobRecord {
    /// Returns the draws of an epoch.
    #[must_use]
    pub fn epoch_draws(&self) -> u64 {
        self.epoch_draws.unwrap_or(self.rows)
    }

    /// Returns the job's arithmetic of steps and epochs.
    #[must_use]
    pub fn steps(&self) -> Steps {
        Steps { batch_size: self.batch_size, epoch_draws: self.epoch_draws() }
    }

    /// Tells whether `other` is this job at another time, not another job that took its name.
    #[must_use]
    pub fn is_same_job(&self, other: &Self) -> bool {
        self.created_at_ms == other.created_at_ms
            && self.dataset_hash == other.dataset_hash
            && (self.seed, self.steps(), self.mode, self.follow)
                == (other.seed, other.steps(), other.mode, other.follow)
    }
}

/// How far a study is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StudyState {
    /// Trials may be added and leased.
    Running,
    /// No more.
    Ended,
}

/// A study.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StudyRecord {
    /// Its name.
    pub name: String,
    /// The dataset it searches a sampler for.
    pub dataset: String,
    /// The policy's configuration, kept as it is.
    pub config_json: String,
    /// How far it is.
    pub state: StudyState,
    /// The policy's result, empty while running.
    pub result_json: String,
    /// When it was created, Unix time.
    pub created_at_ms: u64,
    /// How often a trial is tried before it counts as failed.
    pub attempts_max: u32,
    /// Trials added so far.
    pub trials: u64,
}

/// How far a trial is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TrialState {
    /// Waits for a worker.
    Pending,
    /// Leased.
    Running,
    /// Has an objective.
    Succeeded,
    /// Cannot have one.
    Infeasible,
    /// Every attempt was lost.
    Failed,
}

/// A trial of a study.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrialRecord {
    /// Its study.
    pub study: String,
    /// Its number, from 0.
    pub number: u64,
    /// The policy's parameters, kept as they are.
    pub parameters_json: String,
    /// The candidate it trains under.
    pub sampler_version: u64,
    /// How far it is.
    pub state: TrialState,
    /// Attempts leased so far.
    pub attempt: u32,
    /// Attempts that were reported on.
    pub told: Vec<u32>,
    /// Attempts that were given back, which do not count.
    #[serde(default, skip_serializing_if = "is_none_released")]
    pub released: u32,
    /// Who holds or last held the lease.
    pub worker: String,
    /// What is maximised, once succeeded.
    pub objective: Option<f64>,
    /// Why it is infeasible or failed.
    pub reason: String,
    /// The worker's last report, kept as it is.
    pub report_json: String,
    /// When it was added, Unix time.
    pub added_at_ms: u64,
    /// When it ended, Unix time; 0 before.
    pub ended_at_ms: u64,
    /// When the lease runs out, Unix time; 0 unless running.
    pub lease_expires_at_ms: u64,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes fields by reference")]
fn is_none_released(number: &u32) -> bool {
    *number == 0
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes fields by reference")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}
