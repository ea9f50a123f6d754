//! Crops, as columns.

use numpy::{PyArray1, PyArrayMethods, PyReadonlyArray1};
use pyo3::prelude::*;
use swift_sampler_client::SharedSlice;

use crate::exceptions::InvalidArgument;
use crate::view::view;

type Column<'py> = Bound<'py, PyArray1<u32>>;
type Fields<'py> = (Column<'py>, Column<'py>, Column<'py>, Column<'py>, Column<'py>, Bound<'py, PyArray1<u8>>);

/// Version, positions and weights of crops that were selected.
pub(crate) type Selected<'py> = (u64, Bound<'py, PyArray1<u32>>, Bound<'py, PyArray1<f32>>);

/// Copies features out of arrays.
pub(crate) fn named(features: Vec<(String, PyReadonlyArray1<'_, f64>)>) -> Vec<(String, Vec<f64>)> {
    features.into_iter().map(|(name, values)| (name, values.as_array().to_vec())).collect()
}

/// The crops that the draws of a batch are: columns of one value a draw.
///
/// Its arrays are made when they are asked for, and show the values where they were received, without a copy.
#[pyclass(frozen, module = "swift_sampler")]
pub(crate) struct Crops(pub(crate) swift_sampler_client::Crops);

#[pymethods]
impl Crops {
    /// Copies the arrays.
    #[new]
    #[allow(clippy::needless_pass_by_value, reason = "Python hands arrays over")]
    fn new(
        image: PyReadonlyArray1<'_, u32>,
        top: PyReadonlyArray1<'_, u32>,
        left: PyReadonlyArray1<'_, u32>,
        height: PyReadonlyArray1<'_, u32>,
        width: PyReadonlyArray1<'_, u32>,
        flip: PyReadonlyArray1<'_, u8>,
    ) -> PyResult<Self> {
        let copy = |column: &PyReadonlyArray1<'_, u32>| Ok::<SharedSlice<u32>, PyErr>(column.to_vec()?.into());
        let crops = swift_sampler_client::Crops {
            image: copy(&image)?,
            top: copy(&top)?,
            left: copy(&left)?,
            height: copy(&height)?,
            width: copy(&width)?,
            flip: flip.to_vec()?.into(),
        };
        let lengths = [&crops.top, &crops.left, &crops.height, &crops.width].map(|column| column.len());
        if lengths.iter().chain([&crops.flip.len()]).any(|&length| length != crops.image.len()) {
            return Err(InvalidArgument::new_err("the columns of crops must have one length"));
        }
        Ok(Self(crops))
    }

    #[getter]
    fn image<'py>(slf: &Bound<'py, Self>) -> PyResult<Column<'py>> {
        view(slf, |crops| &crops.0.image)
    }

    #[getter]
    fn top<'py>(slf: &Bound<'py, Self>) -> PyResult<Column<'py>> {
        view(slf, |crops| &crops.0.top)
    }

    #[getter]
    fn left<'py>(slf: &Bound<'py, Self>) -> PyResult<Column<'py>> {
        view(slf, |crops| &crops.0.left)
    }

    #[getter]
    fn height<'py>(slf: &Bound<'py, Self>) -> PyResult<Column<'py>> {
        view(slf, |crops| &crops.0.height)
    }

    #[getter]
    fn width<'py>(slf: &Bound<'py, Self>) -> PyResult<Column<'py>> {
        view(slf, |crops| &crops.0.width)
    }

    #[getter]
    fn flip<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyArray1<u8>>> {
        view(slf, |crops| &crops.0.flip)
    }

    fn __len__(&self) -> usize {
        self.0.image.len()
    }

    fn __repr__(&self) -> String {
        format!("Crops({} crops)", self.0.image.len())
    }

    fn __reduce__<'py>(slf: &Bound<'py, Self>) -> PyResult<(Py<PyAny>, Fields<'py>)> {
        let fields = (
            Self::image(slf)?,
            Self::top(slf)?,
            Self::left(slf)?,
            Self::height(slf)?,
            Self::width(slf)?,
            Self::flip(slf)?,
        );
        Ok((slf.get_type().into_any().unbind(), fields))
    }
}
