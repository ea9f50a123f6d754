//! The dataset of an engine: columns of the caller, or of files.

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use numpy::{PyArray1, PyReadonlyArray1};
use pyo3::prelude::*;
use swift_sampler::{Dataset, FeatureTable};
use swift_sampler_files::Selection;

use crate::crops::named;
use crate::engine::refused;

/// A dataset without a daemon.
#[pyclass(frozen, module = "swift_sampler._native")]
pub(crate) struct EngineDataset {
    dataset: Arc<Dataset>,
    hash: OnceLock<String>,
}

#[pymethods]
impl EngineDataset {
    #[new]
    fn new(
        py: Python<'_>,
        columns: Vec<(String, PyReadonlyArray1<'_, f64>)>,
        features: Vec<String>,
        gradient_norm: Option<String>,
    ) -> PyResult<Self> {
        let columns = named(columns);
        py.detach(|| {
            let table = FeatureTable::new(columns).map_err(|error| refused(&error))?;
            Dataset::new(table, features, gradient_norm).map(Self::from).map_err(|error| refused(&error))
        })
    }

    /// Reads files as samplerd imports them.
    #[staticmethod]
    #[allow(clippy::needless_pass_by_value, reason = "Python hands a list over")]
    fn open(
        py: Python<'_>,
        files: Vec<PathBuf>,
        features: Vec<String>,
        gradient_norm: Option<String>,
    ) -> PyResult<Self> {
        let selection = Selection { features, gradient_norm };
        py.detach(|| swift_sampler_files::open(&files, &selection)).map(Self::from).map_err(|error| refused(&error))
    }

    /// SHA-256 of the content.
    #[getter]
    pub(crate) fn hash(&self, py: Python<'_>) -> &str {
        py.detach(|| self.hash.get_or_init(|| self.dataset.hash()))
    }

    #[getter]
    fn rows(&self) -> usize {
        self.dataset.rows()
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
    fn columns<'py>(&self, py: Python<'py>) -> Vec<(String, Bound<'py, PyArray1<f64>>)> {
        let column = |(name, values): (&str, &[f64])| (name.to_owned(), PyArray1::from_slice(py, values));
        self.dataset.table().columns().map(column).collect()
    }

    fn __reduce__<'py>(slf: &Bound<'py, Self>) -> (Py<PyAny>, Fields<'py>) {
        let dataset = slf.get();
        let fields = (dataset.columns(slf.py()), dataset.features(), dataset.gradient_norm().map(ToOwned::to_owned));
        (slf.get_type().into_any().unbind(), fields)
    }
}

type Fields<'py> = (Vec<(String, Bound<'py, PyArray1<f64>>)>, Vec<String>, Option<String>);

impl EngineDataset {
    /// The dataset, to be shared.
    pub(crate) fn shared(&self) -> &Arc<Dataset> {
        &self.dataset
    }
}

impl From<Dataset> for EngineDataset {
    fn from(dataset: Dataset) -> Self {
        Self { dataset: Arc::new(dataset), hash: OnceLock::new() }
    }
}
