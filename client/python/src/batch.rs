//! Batches, and the iterator over a job's.

use std::sync::Mutex;

use numpy::{PyArray1, PyArrayMethods, PyReadonlyArray1};
use pyo3::prelude::*;
use swift_sampler_client::Indices;
use swift_sampler_client::blocking::{BatchStream, Waited};

use crate::crops::Crops;
use crate::exceptions::{Error, exception};
use crate::process::ProcessBound;
use crate::view::view;
use crate::waiting::SIGNAL_INTERVAL;

type Fields<'py> = (u64, u64, u64, Bound<'py, PyAny>, Bound<'py, PyArray1<f32>>, Option<Crops>);

/// One rank's share of a global batch.
///
/// Its arrays are made when they are asked for, and show the values where they were received, without a copy.
#[pyclass(frozen, module = "swift_sampler")]
pub(crate) struct Batch(swift_sampler_client::Batch);

/// Indices, as Python passes them.
#[derive(FromPyObject)]
pub(crate) enum IndexArray<'py> {
    U32(PyReadonlyArray1<'py, u32>),
    U64(PyReadonlyArray1<'py, u64>),
}

#[pymethods]
impl Batch {
    /// Copies the arrays.
    #[new]
    #[pyo3(signature = (step, epoch, version, indices, probabilities, crops=None))]
    #[allow(clippy::needless_pass_by_value, reason = "Python hands arrays over")]
    fn new(
        step: u64,
        epoch: u64,
        version: u64,
        indices: IndexArray<'_>,
        probabilities: PyReadonlyArray1<'_, f32>,
        crops: Option<PyRef<'_, Crops>>,
    ) -> PyResult<Self> {
        let indices = match indices {
            IndexArray::U32(indices) => Indices::from(indices.to_vec()?),
            IndexArray::U64(indices) => Indices::from(indices.to_vec()?),
        };
        let probabilities = probabilities.to_vec()?.into();
        let crops = crops.map(|crops| Box::new(crops.0.clone()));
        Ok(Self(swift_sampler_client::Batch { step, epoch, version, indices, probabilities, crops }))
    }

    #[getter]
    fn step(&self) -> u64 {
        self.0.step
    }

    #[getter]
    fn epoch(&self) -> u64 {
        self.0.epoch
    }

    #[getter]
    fn version(&self) -> u64 {
        self.0.version
    }

    #[getter]
    fn indices<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        Ok(match &slf.get().0.indices {
            Indices::U32(_) => view(slf, |batch| batch.0.indices.as_u32().unwrap_or_default())?.into_any(),
            Indices::U64(_) => view(slf, |batch| batch.0.indices.as_u64().unwrap_or_default())?.into_any(),
        })
    }

    #[getter]
    fn probabilities<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyArray1<f32>>> {
        view(slf, |batch| &batch.0.probabilities)
    }

    /// The crops that the draws are; none unless the dataset is a crop bank.
    #[getter]
    fn crops(&self) -> Option<Crops> {
        self.0.crops.as_deref().cloned().map(Crops)
    }

    fn __len__(&self) -> usize {
        self.0.indices.len()
    }

    fn __repr__(&self) -> String {
        let swift_sampler_client::Batch { step, epoch, version, indices, .. } = &self.0;
        format!("Batch(step={step}, epoch={epoch}, version={version}, {} indices)", indices.len())
    }

    fn __reduce__<'py>(slf: &Bound<'py, Self>) -> PyResult<(Py<PyAny>, Fields<'py>)> {
        let swift_sampler_client::Batch { step, epoch, version, .. } = slf.get().0;
        let crops = slf.get().crops();
        let fields = (step, epoch, version, Self::indices(slf)?, Self::probabilities(slf)?, crops);
        Ok((slf.get_type().into_any().unbind(), fields))
    }
}

impl From<swift_sampler_client::Batch> for Batch {
    fn from(batch: swift_sampler_client::Batch) -> Self {
        Self(batch)
    }
}

/// An iterator over the batches of one rank; reconnects and continues by itself.
#[pyclass(frozen, module = "swift_sampler")]
pub(crate) struct Batches {
    stream: ProcessBound<Mutex<BatchStream>>,
}

impl Batches {
    pub(crate) fn new(stream: BatchStream) -> Self {
        Self { stream: ProcessBound::new(Mutex::new(stream)) }
    }
}

#[pymethods]
impl Batches {
    fn __iter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __next__(&self, py: Python<'_>) -> PyResult<Option<Batch>> {
        let stream = self.stream.get()?;
        // Nearly always the batch is here already: taking it is quicker than letting the interpreter go.
        if let Ok(mut stream) = stream.try_lock()
            && let Some(batch) = stream.next_received()
        {
            return Ok(Some(Batch(batch)));
        }
        loop {
            // Locked for one slice of the wait only: a signal handler may use the stream too.
            let waited = py.detach(|| stream.lock().map(|mut stream| stream.next_within(SIGNAL_INTERVAL)).ok());
            match waited {
                Some(Ok(Waited::Batch(batch))) => return Ok(Some(Batch(batch))),
                Some(Ok(Waited::Ended)) => return Ok(None),
                Some(Ok(Waited::NotYet)) => py.check_signals()?,
                Some(Err(error)) => return Err(exception(&error)),
                None => return Err(Error::new_err("the stream failed before")),
            }
        }
    }

    /// The step to be delivered next.
    #[getter]
    fn next_step(&self) -> PyResult<u64> {
        let stream = self.stream.get()?.lock();
        stream.map(|stream| stream.next_step()).map_err(|_poisoned| Error::new_err("the stream failed before"))
    }
}
