//! The registry's records, as they are stored: JSON, one record a key, fields only ever added.

use serde::{Deserialize, Serialize};
use swift_sampler::Replacement;
use swift_sampler::job::{Follow, JobLog, Steps};

use super::RegistryError;

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
    /// The tenant that imported it; empty: nobody's.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub tenant: String,
    /// Later revisions of its features that are kept, ascending; the import is revision 1 and kept as long as the dataset.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refreshed: Vec<RevisionRecord>,
    /// The latest revision there was, kept or not: numbers do not come twice.
    #[serde(default = "first_revision", skip_serializing_if = "is_first_revision")]
    pub latest_revision: u64,
}

/// How many rollbacks in a row are possible.
const ROLLBACKS_MAX: usize = 64;

/// Number of the revision that an import is.
pub const FIRST_REVISION: u64 = 1;

/// The features of a dataset after a refresh: the same rows and columns, other values.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RevisionRecord {
    /// Its number, from 2.
    pub number: u64,
    /// SHA-256 of the content, hexadecimal.
    pub hash: String,
    /// Distinct quantised feature tuples.
    pub cells: u64,
    /// When it was made, Unix time.
    pub created_at_ms: u64,
}

impl DatasetRecord {
    /// Returns the content of a revision of the features; none if it is no longer kept.
    #[must_use]
    pub fn hash_of(&self, revision: u64) -> Option<&str> {
        if revision == FIRST_REVISION {
            return Some(&self.hash);
        }
        self.refreshed.iter().find(|kept| kept.number == revision).map(|kept| kept.hash.as_str())
    }

    /// As [`Self::hash_of`].
    ///
    /// # Errors
    /// [`RegistryError::Precondition`] when the revision is no longer kept.
    pub fn kept(&self, revision: u64) -> Result<&str, RegistryError> {
        self.hash_of(revision).ok_or_else(|| {
            RegistryError::Precondition(format!(
                "revision {revision} of the features of dataset {:?} is no longer kept: put the sampler again, over those \
                 that are active",
                self.name
            ))
        })
    }

    /// Returns the contents of all revisions that are kept.
    pub fn hashes(&self) -> impl Iterator<Item = &str> {
        std::iter::once(self.hash.as_str()).chain(self.refreshed.iter().map(|kept| kept.hash.as_str()))
    }
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
    /// The revision of the features that the active version weighs examples by.
    #[serde(default = "first_revision", skip_serializing_if = "is_first_revision")]
    pub revision: u64,
}

impl ActiveRecord {
    /// Makes a version the active one, and the one before it what a rollback activates.
    pub(super) fn take_up(&mut self, version: u64, revision: u64, generation: u64) {
        self.before.push(self.version);
        if self.before.len() > ROLLBACKS_MAX {
            self.before.remove(0);
        }
        (self.version, self.revision, self.generation) = (version, revision, generation);
    }
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

/// One sampler version: a spec over one revision of the features, neither of which ever changes.
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
    /// The revision of the features that it weighs examples by.
    #[serde(default = "first_revision", skip_serializing_if = "is_first_revision")]
    pub revision: u64,
    /// The content of that revision; absent for the import's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub features_hash: Option<String>,
    /// The version that was active when a refresh made this one, of the same spec.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refreshed_from: Option<u64>,
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
    /// The tenant that opened it; empty: nobody's.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub tenant: String,
}

impl SamplerRecord {
    /// Returns the content that the sampler is built over, of a dataset that was imported with content `imported`.
    #[must_use]
    pub fn content<'a>(&'a self, imported: &'a str) -> &'a str {
        self.features_hash.as_deref().unwrap_or(imported)
    }
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

const fn first_revision() -> u64 {
    FIRST_REVISION
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes fields by reference")]
fn is_first_revision(number: &u64) -> bool {
    *number == FIRST_REVISION
}
