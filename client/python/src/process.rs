//! What belongs to one process.

use pyo3::PyResult;

use crate::exceptions::Error;

/// A value with threads or sockets behind it, which a forked child has not.
///
/// In a child it can be neither used nor dropped: its threads do not exist there, and locks they held stay locked.
pub(crate) struct ProcessBound<T> {
    value: Option<T>,
    process: u32,
}

impl<T> ProcessBound<T> {
    pub(crate) fn new(value: T) -> Self {
        Self { value: Some(value), process: std::process::id() }
    }

    /// Returns the value, in the process that made it.
    pub(crate) fn get(&self) -> PyResult<&T> {
        let here = std::process::id();
        match &self.value {
            Some(value) if here == self.process => Ok(value),
            _ => {
                let message = format!("opened in process {}, used in process {here}: open it here again", self.process);
                Err(Error::new_err(message))
            }
        }
    }
}

impl<T> Drop for ProcessBound<T> {
    fn drop(&mut self) {
        if std::process::id() != self.process {
            std::mem::forget(self.value.take());
        }
    }
}
