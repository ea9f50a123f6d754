//! The daemon's draws, computed in the process.

use numpy::{IntoPyArray, PyArray1, PyReadonlyArray1};
use pyo3::prelude::*;
use swift_sampler::job::{Shard, Steps};
use swift_sampler::{Dataset, FeatureTable, SamplerSpec, Seed};

use crate::batch::Batch;
use crate::exceptions::InvalidArgument;

/// Largest global batch, as at the daemon.
const BATCH_SIZE_MAX: u32 = 1 << 24;

/// A dataset and a sampler, without a daemon.
#[pyclass(frozen, module = "swift_sampler._native")]
pub(crate) struct Engine {
    dataset: Dataset,
    sampler: swift_sampler::Sampler,
}

fn refused(error: &dyn std::fmt::Display) -> PyErr {
    InvalidArgument::new_err(error.to_string())
}

fn build(spec_json: &str, dataset: &Dataset) -> PyResult<swift_sampler::Sampler> {
    let spec: SamplerSpec =
        serde_json::from_str(spec_json).map_err(|error| refused(&format!("sampler spec: {error}")))?;
    swift_sampler::Sampler::build(&spec, dataset).map_err(|error| refused(&error))
}

#[pymethods]
impl Engine {
    #[new]
    fn new(
        py: Python<'_>,
        columns: Vec<(String, PyReadonlyArray1<'_, f64>)>,
        spec_json: &str,
        features: Vec<String>,
        gradient_norm: Option<String>,
    ) -> PyResult<Self> {
        let columns: Vec<(String, Vec<f64>)> =
            columns.into_iter().map(|(name, values)| (name, values.as_array().to_vec())).collect();
        py.detach(|| {
            let table = FeatureTable::new(columns).map_err(|error| refused(&error))?;
            let dataset = Dataset::new(table, features, gradient_norm).map_err(|error| refused(&error))?;
            let sampler = build(spec_json, &dataset)?;
            Ok(Self { dataset, sampler })
        })
    }

    /// The same dataset under another sampler.
    fn with_sampler(&self, py: Python<'_>, spec_json: &str) -> PyResult<Self> {
        py.detach(|| {
            let dataset = self.dataset.clone();
            Ok(Self { sampler: build(spec_json, &dataset)?, dataset })
        })
    }

    #[pyo3(signature = (step, *, seed, batch_size, rank, world_size, version))]
    fn batch(
        &self,
        py: Python<'_>,
        step: u64,
        seed: u64,
        batch_size: u32,
        rank: u32,
        world_size: u32,
        version: u64,
    ) -> PyResult<Batch> {
        if !(1..=BATCH_SIZE_MAX).contains(&batch_size) {
            return Err(refused(&format!("batch_size is {batch_size}: it must be from 1 to {BATCH_SIZE_MAX}")));
        }
        let shard = Shard::new(rank, world_size).map_err(|error| refused(&error))?;
        let steps = Steps { batch_size, epoch_draws: self.sampler.rows() as u64 };
        let draws = steps.draws(step, shard);
        let count = shard.slice(batch_size).len();
        if draws.end - draws.start != count as u64 {
            return Err(refused(&format!("step {step} lies beyond the last draw, 2^64 - 1")));
        }
        let (mut indices, mut probabilities) = (vec![0; count], vec![0.0; count]);
        py.detach(|| self.sampler.draw_into(Seed(seed), draws, &mut indices, &mut probabilities));
        let epoch = steps.epoch(step);
        Ok(Batch::from_client(py, swift_sampler_client::Batch { step, epoch, version, indices, probabilities }))
    }

    /// The probability of every example, in row order.
    #[getter]
    fn probabilities<'py>(&self, py: Python<'py>) -> Bound<'py, PyArray1<f64>> {
        py.detach(|| self.sampler.probabilities()).into_pyarray(py)
    }

    #[getter]
    fn rows(&self) -> usize {
        self.sampler.rows()
    }

    #[getter]
    fn effective_sample_size(&self) -> f64 {
        self.sampler.effective_sample_size()
    }

    /// The canonical spec.
    #[getter]
    fn spec_json(&self) -> PyResult<String> {
        serde_json::to_string(self.sampler.spec()).map_err(|error| refused(&error))
    }

    #[getter]
    fn features(&self) -> Vec<String> {
        self.dataset.features().to_vec()
    }

    #[getter]
    fn gradient_norm(&self) -> Option<&str> {
        self.dataset.gradient_norm()
    }

    /// The columns, in order, copied.
    fn columns<'py>(&self, py: Python<'py>) -> PyResult<Vec<(String, Bound<'py, PyArray1<f64>>)>> {
        let table = self.dataset.table();
        let column = |name: &String| {
            let values = table.column(name).map_err(|error| refused(&error))?;
            Ok((name.clone(), PyArray1::from_slice(py, values)))
        };
        table.names().iter().map(column).collect()
    }
}
