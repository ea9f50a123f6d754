//! The daemon's batches, computed in the process.

use std::collections::HashMap;
use std::sync::Arc;

use numpy::{IntoPyArray, PyArray1, PyReadonlyArray1};
use pyo3::prelude::*;
use swift_sampler::job::{JobLog, Shard, VersionChange};
use swift_sampler::{
    EngineError, JobParameters, Proposals, Replacement, SamplerSpec, SamplerVersion, SelectionError, ServedJob,
};

use crate::batch::Batch;
use crate::crops::{Selected, named};
use crate::engine_dataset::EngineDataset;
use crate::exceptions::{FailedPrecondition, InvalidArgument};
use crate::numbers::{BatchSize, Epoch, EpochDraws, Keep, Rank, Seed, Step, Version, WorldSize};

/// Names anything wrong with what was given.
pub(crate) fn refused(error: &dyn std::fmt::Display) -> PyErr {
    InvalidArgument::new_err(error.to_string())
}

/// Seed, batch size, replacement mode and draws of an epoch of a job.
type Parameters = (Seed, BatchSize, String, Option<EpochDraws>);

/// A dataset, a job's parameters and its samplers, without a daemon.
#[pyclass(frozen, module = "swift_sampler._native")]
pub(crate) struct Engine {
    engine: swift_sampler::Engine,
}

#[pymethods]
impl Engine {
    /// Takes up a log of (first step, version) with a spec for each version, and features for those that are over later ones
    /// than the dataset's, with the hash that they were served under, if they were; given the hash of a served job's
    /// dataset, only for a dataset of that content.
    #[new]
    #[pyo3(signature = (dataset, parameters, log, horizon, specs, refreshed, served_hash=None))]
    fn new(
        py: Python<'_>,
        dataset: &EngineDataset,
        parameters: Parameters,
        log: Vec<(u64, u64)>,
        horizon: u64,
        specs: HashMap<u64, String>,
        mut refreshed: HashMap<u64, (Py<EngineDataset>, Option<String>)>,
        served_hash: Option<String>,
    ) -> PyResult<Self> {
        let mut versions: HashMap<u64, SamplerVersion> = HashMap::new();
        for (version, json) in specs {
            let spec = spec(&json)?;
            let made = match refreshed.remove(&version) {
                None => SamplerVersion::from(spec),
                Some((features, hash)) => {
                    let features = features.get();
                    let hash = hash.as_deref().unwrap_or_else(|| features.hash(py));
                    SamplerVersion::over(spec, Arc::clone(features.shared()), hash).map_err(|error| refused(&error))?
                }
            };
            versions.insert(version, made);
        }
        let log: Vec<_> = log.into_iter().map(|(from_step, version)| VersionChange { from_step, version }).collect();
        let dataset = Arc::clone(dataset.shared());
        let parameters = job_parameters(parameters)?;
        let version = |number| versions.get(&number).cloned();
        py.detach(|| match served_hash {
            Some(dataset_hash) => {
                let JobParameters { seed, batch_size, replacement: mode, epoch_draws } = parameters;
                let job = ServedJob { dataset_hash, seed, batch_size, epoch_draws, mode, log, horizon };
                swift_sampler::Engine::replay(dataset, &job, version)
            }
            None => {
                let log = JobLog::from_changes(log, horizon).ok_or(EngineError::Log)?;
                swift_sampler::Engine::with_log(dataset, parameters, log, version)
            }
        })
        .map(|engine| Self { engine })
        .map_err(|error| refused(&error))
    }

    /// The same with another sampler from a step on.
    fn activated_at(&self, py: Python<'_>, step: Step, spec_json: &str) -> PyResult<Self> {
        let spec = spec(spec_json)?;
        let mut engine = self.engine.clone();
        py.detach(|| engine.activate_at(step.0, &spec)).map_err(|error| refused(&error))?;
        Ok(Self { engine })
    }

    /// The same with other features from a step on.
    fn refreshed_at(&self, py: Python<'_>, step: Step, features: &EngineDataset) -> PyResult<Self> {
        let mut engine = self.engine.clone();
        let features = Arc::clone(features.shared());
        py.detach(|| engine.refresh_at(step.0, features)).map_err(|error| refused(&error))?;
        Ok(Self { engine })
    }

    /// The same dataset and samplers for a job of other parameters.
    fn with_parameters(&self, parameters: Parameters) -> PyResult<Self> {
        let engine = self.engine.with_parameters(job_parameters(parameters)?);
        engine.map(|engine| Self { engine }).map_err(|error| refused(&error))
    }

    /// One rank's share of a global batch; `label` replaces its version.
    fn batch(
        &self,
        py: Python<'_>,
        step: Step,
        rank: Rank,
        world_size: WorldSize,
        label: Option<Version>,
    ) -> PyResult<Batch> {
        let shard = Shard::new(rank.0, world_size.0).map_err(|error| refused(&error))?;
        let mut batch = py.detach(|| self.engine.batch(step.0, shard)).map_err(|error| refused(&error))?;
        batch.version = label.map_or(batch.version, |label| label.0);
        Ok(batch.into())
    }

    /// Some of the crops that a rank proposes for a step.
    fn select_crops<'py>(
        &self,
        py: Python<'py>,
        features: Vec<(String, PyReadonlyArray1<'py, f64>)>,
        keep: Keep,
        step: Step,
        rank: Rank,
        fill: bool,
    ) -> PyResult<Selected<'py>> {
        let proposals = Proposals::new(named(features)).map_err(|error| refused(&error))?;
        let keep = usize::try_from(keep.0).map_err(|error| refused(&error))?;
        let selected = py.detach(|| self.engine.select(step.0, rank.0, &proposals, keep, fill));
        let (version, selected) = selected.map_err(|error| match error {
            EngineError::Selection(SelectionError::TooFewPositive { .. } | SelectionError::ColumnOfWeights) => {
                FailedPrecondition::new_err(error.to_string())
            }
            error => refused(&error),
        })?;
        Ok((version, selected.positions.into_pyarray(py), selected.weights.into_pyarray(py)))
    }

    /// The first step of an epoch.
    fn first_step(&self, epoch: Epoch) -> u64 {
        self.engine.steps().first_step(epoch.0)
    }

    /// Draws of an epoch.
    #[getter]
    fn epoch_draws(&self) -> u64 {
        self.engine.steps().epoch_draws
    }

    /// The probability of every example under a version, in row order.
    fn probabilities<'py>(&self, py: Python<'py>, version: u64) -> PyResult<Bound<'py, PyArray1<f64>>> {
        let sampler = self.sampler(version)?;
        Ok(py.detach(|| sampler.probabilities()).into_pyarray(py))
    }

    fn effective_sample_size(&self, version: u64) -> PyResult<f64> {
        Ok(self.sampler(version)?.effective_sample_size())
    }

    /// The canonical spec of a version.
    fn spec_json(&self, version: u64) -> PyResult<String> {
        serde_json::to_string(self.sampler(version)?.spec()).map_err(|error| refused(&error))
    }

    #[getter]
    fn parameters(&self) -> (u64, u32, String, Option<u64>) {
        let JobParameters { seed, batch_size, replacement, epoch_draws } = self.engine.parameters();
        (seed, batch_size, replacement.name().to_owned(), epoch_draws)
    }

    /// (First step, version) of every change.
    #[getter]
    fn log(&self) -> Vec<(u64, u64)> {
        self.engine.log().changes().iter().map(|change| (change.from_step, change.version)).collect()
    }

    #[getter]
    fn horizon(&self) -> u64 {
        self.engine.log().horizon()
    }
}

impl Engine {
    fn sampler(&self, version: u64) -> PyResult<&swift_sampler::Sampler> {
        let sampler = self.engine.sampler(version).map(AsRef::as_ref);
        sampler.ok_or_else(|| refused(&format!("version {version} is none of this engine's")))
    }
}

fn job_parameters((seed, batch_size, mode, epoch_draws): Parameters) -> PyResult<JobParameters> {
    let modes = [Replacement::Independent, Replacement::Stratified, Replacement::Distinct];
    let replacement = modes
        .into_iter()
        .find(|replacement| replacement.name() == mode)
        .ok_or_else(|| refused(&format!("mode {mode:?}: independent, stratified or distinct")))?;
    let epoch_draws = epoch_draws.map(|draws| draws.0);
    Ok(JobParameters { seed: seed.0, batch_size: batch_size.0, replacement, epoch_draws })
}

fn spec(json: &str) -> PyResult<SamplerSpec> {
    serde_json::from_str(json).map_err(|error| refused(&format!("sampler spec: {error}")))
}
