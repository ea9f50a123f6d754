//! Asking threads to stop, from a signal, a closed pipe or another thread.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

/// A flag that threads wait on; clones share it.
#[derive(Debug, Clone, Default)]
pub struct Stop {
    shared: Arc<(Mutex<bool>, Condvar)>,
}

impl Stop {
    /// Asks everyone to stop.
    pub fn set(&self) {
        let (flag, changed) = &*self.shared;
        *flag.lock().unwrap_or_else(PoisonError::into_inner) = true;
        changed.notify_all();
    }

    /// Tells whether to stop.
    #[must_use]
    pub fn is_set(&self) -> bool {
        *self.shared.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until asked to stop, `timeout` at most, and tells whether to stop.
    #[must_use = "the wait may have ended because of a stop"]
    pub fn wait_timeout(&self, timeout: Duration) -> bool {
        let (flag, changed) = &*self.shared;
        let guard = flag.lock().unwrap_or_else(PoisonError::into_inner);
        let (guard, _) =
            changed.wait_timeout_while(guard, timeout, |stopped| !*stopped).unwrap_or_else(PoisonError::into_inner);
        *guard
    }

    /// Stops when standard input closes, as it does when the process at its other end dies.
    ///
    /// # Errors
    /// When no thread can be started.
    pub fn on_stdin_closed(&self) -> std::io::Result<()> {
        let stop = self.clone();
        std::thread::Builder::new().name("stdin".to_owned()).spawn(move || {
            // Whatever is written there is read and dropped; the end, or an error, is the message.
            let drained = std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink());
            tracing::debug!(?drained, "standard input closed");
            stop.set();
        })?;
        Ok(())
    }

    /// Stops on Ctrl-C and SIGTERM.
    ///
    /// # Errors
    /// When the signals cannot be caught.
    pub fn on_signals(&self) -> std::io::Result<()> {
        use tokio::signal::unix::{SignalKind, signal};
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (mut interrupt, mut terminate) = {
            let _entered = runtime.enter();
            (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?)
        };
        let stop = self.clone();
        std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                }
            });
            stop.set();
        })?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_waiting_thread_wakes_when_asked_to_stop() {
        let stop = Stop::default();
        assert!(!stop.wait_timeout(Duration::ZERO));
        let waiter = std::thread::spawn({
            let stop = stop.clone();
            move || stop.wait_timeout(Duration::from_secs(60))
        });
        stop.set();
        assert!(waiter.join().unwrap());
    }
}
