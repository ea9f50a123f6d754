//! Waiting without holding the interpreter up.

use std::future::Future;
use std::time::Duration;

use pyo3::prelude::*;
use tokio::runtime::Runtime;

/// How often a wait looks for signals, so that Ctrl-C ends it.
pub(crate) const SIGNAL_INTERVAL: Duration = Duration::from_millis(50);

/// Waits for a future with the interpreter released; a signal handler that raises ends the wait.
pub(crate) fn wait<T: Send>(py: Python<'_>, runtime: &Runtime, future: impl Future<Output = T> + Send) -> PyResult<T> {
    let mut future = Box::pin(future);
    loop {
        let slice = async { tokio::time::timeout(SIGNAL_INTERVAL, future.as_mut()).await };
        match py.detach(|| runtime.block_on(slice)) {
            Ok(value) => return Ok(value),
            Err(_elapsed) => py.check_signals()?,
        }
    }
}
