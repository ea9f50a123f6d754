//! How far the making of a dataset is, and whether it is still wanted.

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::StoreError;

/// What is being done for a new dataset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Files are received; counted in bytes.
    Receiving,
    /// Files are read; counted in values.
    Reading,
    /// Examples are grouped into cells, and columns hashed; counted in values.
    Grouping,
    /// What was made is written to disk.
    Writing,
}

impl Phase {
    const ALL: [Self; 4] = [Self::Receiving, Self::Reading, Self::Grouping, Self::Writing];
}

/// How far the making of a dataset is; shared by the threads that make it and those who ask.
#[derive(Debug)]
pub struct Progress {
    phase: AtomicU8,
    done: AtomicU64,
    total: AtomicU64,
    stop: CancellationToken,
    pause: Option<Duration>,
}

impl Progress {
    /// Starts in the first phase. Cancel `stop` when the dataset is no longer wanted.
    #[must_use]
    pub fn new(stop: CancellationToken) -> Self {
        Self { phase: AtomicU8::new(0), done: AtomicU64::new(0), total: AtomicU64::new(0), stop, pause: None }
    }

    /// Rests before every block that is read, so that others may use disk and cores meanwhile.
    #[must_use]
    pub fn resting(self, pause: Duration) -> Self {
        Self { pause: Some(pause), ..self }
    }

    /// Begins a phase of so much work; 0 where that is not known.
    pub fn begin(&self, phase: Phase, total: u64) {
        self.done.store(0, Ordering::Relaxed);
        self.total.store(total, Ordering::Relaxed);
        self.phase.store(phase as u8, Ordering::Relaxed);
    }

    /// Notes work that is done.
    pub fn advance(&self, by: usize) {
        self.done.fetch_add(by as u64, Ordering::Relaxed);
    }

    /// Returns the phase, how much of it is done, and how much there is; 0 where that is not known.
    #[must_use]
    pub fn now(&self) -> (Phase, u64, u64) {
        let total = self.total.load(Ordering::Relaxed);
        let phase = Phase::ALL[usize::from(self.phase.load(Ordering::Relaxed))];
        (phase, self.done.load(Ordering::Relaxed).min(total), total)
    }

    /// Ends the work of a thread when the dataset is no longer wanted.
    ///
    /// # Errors
    /// [`StoreError::Interrupted`].
    pub fn check(&self) -> Result<(), StoreError> {
        if let Some(pause) = self.pause {
            thread::sleep(pause);
        }
        if self.stop.is_cancelled() { Err(StoreError::Interrupted) } else { Ok(()) }
    }
}

impl Default for Progress {
    fn default() -> Self {
        Self::new(CancellationToken::new())
    }
}
