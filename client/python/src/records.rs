//! What the daemon says about its datasets, samplers and jobs.

use pyo3::prelude::*;
use swift_sampler_client::proto;
use swift_sampler_client::proto::follow_policy::Policy;

use crate::numbers::FollowedVersion;

/// A dataset.
#[pyclass(frozen, get_all, module = "swift_sampler")]
pub(crate) struct Dataset {
    name: String,
    hash: String,
    rows: u64,
    first_row: u64,
    features: Vec<String>,
    gradient_norm: Option<String>,
    columns: Vec<String>,
    cells: u64,
    active_version: u64,
    features_revision: u64,
    features_hash: String,
    kept_revisions: Vec<u64>,
    created_at_ms: u64,
    /// Column, number of values, first row, and what they are now.
    imputed: Vec<(String, u64, u64, f64)>,
}

#[pymethods]
impl Dataset {
    fn __repr__(&self) -> String {
        format!("Dataset(name={:?}, rows={}, active_version={})", self.name, self.rows, self.active_version)
    }
}

impl From<proto::Dataset> for Dataset {
    fn from(dataset: proto::Dataset) -> Self {
        Self {
            name: dataset.name,
            hash: dataset.hash,
            rows: dataset.rows,
            first_row: dataset.first_row,
            features: dataset.features,
            gradient_norm: Some(dataset.gradient_norm).filter(|name| !name.is_empty()),
            columns: dataset.columns,
            cells: dataset.cells,
            active_version: dataset.active_version,
            // A daemon of before there were revisions says nothing of them.
            features_revision: dataset.features_revision.max(1),
            features_hash: dataset.features_hash,
            kept_revisions: dataset.kept_revisions,
            created_at_ms: dataset.created_at_ms,
            imputed: dataset.imputed.into_iter().map(|of| (of.column, of.values, of.first_row, of.value)).collect(),
        }
    }
}

/// A sampler version.
#[pyclass(frozen, get_all, module = "swift_sampler")]
pub(crate) struct Sampler {
    dataset: String,
    version: u64,
    active: bool,
    effective_sample_size: f64,
    total_variation: Option<f64>,
    study: Option<String>,
    trial: Option<u64>,
    features_revision: u64,
    features_hash: Option<String>,
    refreshed_from: Option<u64>,
    spec_json: String,
    created_at_ms: u64,
}

#[pymethods]
impl Sampler {
    /// The canonical spec.
    #[getter]
    fn spec<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        py.import("json")?.call_method1("loads", (&self.spec_json,))
    }

    fn __repr__(&self) -> String {
        format!("Sampler(dataset={:?}, version={}, spec={})", self.dataset, self.version, self.spec_json)
    }
}

impl From<proto::Sampler> for Sampler {
    fn from(sampler: proto::Sampler) -> Self {
        let origin = sampler.origin.filter(|origin| !origin.study.is_empty());
        Self {
            dataset: sampler.dataset,
            version: sampler.version,
            active: sampler.active,
            effective_sample_size: sampler.effective_sample_size,
            total_variation: sampler.total_variation,
            trial: origin.as_ref().map(|origin| origin.trial),
            study: origin.map(|origin| origin.study),
            features_revision: sampler.features_revision.max(1),
            features_hash: Some(sampler.features_hash).filter(|hash| !hash.is_empty()),
            refreshed_from: sampler.refreshed_from,
            spec_json: sampler.spec_json,
            created_at_ms: sampler.created_at_ms,
        }
    }
}

/// Which sampler of a dataset is active.
#[pyclass(frozen, get_all, module = "swift_sampler")]
pub(crate) struct ActiveSampler {
    dataset: String,
    version: u64,
    generation: u64,
    previous_version: Option<u64>,
    features_revision: u64,
}

#[pymethods]
impl ActiveSampler {
    fn __repr__(&self) -> String {
        format!("ActiveSampler(dataset={:?}, version={})", self.dataset, self.version)
    }
}

impl From<proto::ActiveSampler> for ActiveSampler {
    fn from(active: proto::ActiveSampler) -> Self {
        let proto::ActiveSampler { dataset, version, generation, previous_version, features_revision } = active;
        Self { dataset, version, generation, previous_version, features_revision: features_revision.max(1) }
    }
}

/// `"step"`, `"epoch"` or a version.
#[derive(Debug, Clone, IntoPyObject)]
pub(crate) enum Follow {
    /// Never changes.
    Version(u64),
    /// By name.
    Policy(String),
}

impl<'py> FromPyObject<'_, 'py> for Follow {
    type Error = PyErr;

    fn extract(value: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        match value.extract() {
            Ok(name) => Ok(Self::Policy(name)),
            Err(_no_text) => value.extract().map(|version: FollowedVersion| Self::Version(version.0)),
        }
    }
}

impl From<Policy> for Follow {
    fn from(policy: Policy) -> Self {
        match policy {
            Policy::Step(_) => Self::Policy("step".into()),
            Policy::Epoch(_) => Self::Policy("epoch".into()),
            Policy::Pinned(version) => Self::Version(version),
        }
    }
}

/// A job.
#[pyclass(frozen, get_all, module = "swift_sampler")]
pub(crate) struct Job {
    name: String,
    dataset: String,
    seed: u64,
    batch_size: u32,
    epoch_draws: u64,
    mode: &'static str,
    follow: Follow,
    log: Vec<(u64, u64)>,
    horizon: u64,
    dataset_rows: u64,
    dataset_hash: String,
}

#[pymethods]
impl Job {
    fn __repr__(&self) -> String {
        let Self { name, dataset, seed, batch_size, .. } = self;
        format!("Job(name={name:?}, dataset={dataset:?}, seed={seed}, batch_size={batch_size})")
    }
}

impl From<proto::Job> for Job {
    fn from(job: proto::Job) -> Self {
        Self {
            mode: match job.mode() {
                proto::ReplacementMode::Unspecified | proto::ReplacementMode::Independent => "independent",
                proto::ReplacementMode::Stratified => "stratified",
                proto::ReplacementMode::Distinct => "distinct",
            },
            follow: job.follow.and_then(|follow| follow.policy).unwrap_or(Policy::Step(true)).into(),
            log: job.log.iter().map(|change| (change.from_step, change.version)).collect(),
            name: job.name,
            dataset: job.dataset,
            seed: job.seed,
            batch_size: job.batch_size,
            epoch_draws: job.epoch_draws,
            horizon: job.horizon,
            dataset_rows: job.dataset_rows,
            dataset_hash: job.dataset_hash,
        }
    }
}

/// The daemon's counters since it started.
#[pyclass(frozen, get_all, module = "swift_sampler")]
pub(crate) struct Stats {
    version: String,
    uptime_ms: u64,
    streams: u64,
    batches_served: u64,
    draws_served: u64,
    swaps: u64,
}

#[pymethods]
impl Stats {
    fn __repr__(&self) -> String {
        format!("Stats(version={:?}, batches_served={})", self.version, self.batches_served)
    }
}

impl From<proto::Stats> for Stats {
    fn from(stats: proto::Stats) -> Self {
        let proto::Stats { version, uptime_ms, streams, batches_served, draws_served, swaps } = stats;
        Self { version, uptime_ms, streams, batches_served, draws_served, swaps }
    }
}
