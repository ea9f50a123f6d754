//! Batches, as NumPy arrays.

use std::sync::Mutex;

use numpy::PyArray1;
use pyo3::prelude::*;
use swift_sampler_client::Indices;
use swift_sampler_client::blocking::{BatchStream, Waited};

use crate::exceptions::{Error, exception};
use crate::process::ProcessBound;
use crate::waiting::SIGNAL_INTERVAL;

type Fields = (u64, u64, u64, Py<PyAny>, Py<PyArray1<f32>>);

/// One rank's share of a global batch.
#[pyclass(frozen, get_all, module = "swift_sampler")]
pub(crate) struct Batch {
    step: u64,
    epoch: u64,
    version: u64,
    /// An array of uint32, or of uint64 where the dataset's indices need them.
    indices: Py<PyAny>,
    probabilities: Py<PyArray1<f32>>,
}

#[pymethods]
impl Batch {
    #[new]
    fn new(step: u64, epoch: u64, version: u64, indices: Py<PyAny>, probabilities: Py<PyArray1<f32>>) -> Self {
        Self { step, epoch, version, indices, probabilities }
    }

    fn __len__(&self, py: Python<'_>) -> PyResult<usize> {
        self.indices.bind(py).len()
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        let Self { step, epoch, version, .. } = self;
        Ok(format!("Batch(step={step}, epoch={epoch}, version={version}, {} indices)", self.__len__(py)?))
    }

    fn __reduce__(slf: &Bound<'_, Self>) -> (Py<PyAny>, Fields) {
        let (py, batch) = (slf.py(), slf.get());
        let fields =
            (batch.step, batch.epoch, batch.version, batch.indices.clone_ref(py), batch.probabilities.clone_ref(py));
        (slf.get_type().into_any().unbind(), fields)
    }
}

impl Batch {
    /// Copies a batch into arrays of its own.
    pub(crate) fn of(py: Python<'_>, batch: swift_sampler_client::Batch) -> Self {
        let swift_sampler_client::Batch { step, epoch, version, indices, probabilities } = batch;
        Self {
            step,
            epoch,
            version,
            indices: match &indices {
                Indices::U32(indices) => PyArray1::from_slice(py, indices).into_any().unbind(),
                Indices::U64(indices) => PyArray1::from_slice(py, indices).into_any().unbind(),
            },
            probabilities: PyArray1::from_slice(py, &probabilities).unbind(),
        }
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
        loop {
            // Locked for one slice of the wait only: a signal handler may use the stream too.
            let waited = py.detach(|| stream.lock().map(|mut stream| stream.next_within(SIGNAL_INTERVAL)).ok());
            match waited {
                Some(Ok(Waited::Batch(batch))) => return Ok(Some(Batch::of(py, batch))),
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
