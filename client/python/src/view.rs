//! NumPy arrays over memory that belongs to an object of ours.

use std::ptr;

use numpy::npyffi::{NpyTypes, PY_ARRAY_API, get_type_object, npy_intp};
use numpy::{Element, PyArray1, PyArrayDescrMethods};
use pyo3::PyClass;
use pyo3::prelude::*;

/// Makes an array of values that an immutable object holds: it shows them where they are, cannot be written to, and keeps
/// the object alive.
#[allow(unsafe_code, reason = "NumPy is handed memory that is not its own")]
pub(crate) fn view<'py, O, T>(owner: &Bound<'py, O>, values: fn(&O) -> &[T]) -> PyResult<Bound<'py, PyArray1<T>>>
where
    O: PyClass<Frozen = pyo3::pyclass::boolean_struct::True> + Sync,
    T: Element,
{
    let py = owner.py();
    let values = values(owner.get());
    let mut length = [npy_intp::try_from(values.len()).expect("a slice is no longer than memory")];
    // SAFETY: The pointers are a type's, a new reference to a dtype, which NumPy takes, and one to `length` values of that
    // dtype. These are never written to: no flag makes the array writable, and NumPy lets nobody set it on memory of
    // another's. They live as long as the array, whose base is the object, which borrows them out for its own life.
    unsafe {
        let array = PY_ARRAY_API.PyArray_NewFromDescr(
            py,
            get_type_object(py, NpyTypes::PyArray_Type),
            T::get_dtype(py).into_dtype_ptr(),
            1,
            length.as_mut_ptr(),
            ptr::null_mut(),
            values.as_ptr().cast_mut().cast(),
            0,
            ptr::null_mut(),
        );
        let array = Bound::from_owned_ptr_or_err(py, array)?;
        if PY_ARRAY_API.PyArray_SetBaseObject(py, array.as_ptr().cast(), owner.clone().into_ptr()) != 0 {
            return Err(PyErr::fetch(py));
        }
        Ok(array.cast_into_unchecked())
    }
}
