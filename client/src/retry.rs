//! Trying again: which failures, how soon, and for how long.

use std::error::Error;
use std::time::{Duration, Instant};

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use tonic::{Code, Status};

/// First pause between two attempts; later ones double, each with jitter.
const PAUSE_MIN: Duration = Duration::from_millis(50);
/// Longest pause between two attempts.
const PAUSE_MAX: Duration = Duration::from_secs(2);

/// A failed attempt that another may mend.
#[derive(Debug)]
pub(crate) struct Lost {
    /// Why it failed.
    pub(crate) reason: String,
    /// Whether the daemon cannot have seen the request.
    pub(crate) unsent: bool,
}

impl Lost {
    /// Tells a lost connection and UNAVAILABLE from answers that stand.
    pub(crate) fn from_status(status: &Status) -> Option<Self> {
        // A status that the daemon sent has no source; one with a source was made here of a transport failure.
        let source = status.source();
        if source.is_none() && status.code() != Code::Unavailable {
            return None;
        }
        let chain = std::iter::successors(source, |&error| error.source());
        let unsent = chain.clone().any(|error| error.is::<tonic::ConnectError>());
        let deepest = chain.last().map(ToString::to_string);
        Some(Self { reason: deepest.unwrap_or_else(|| status.message().to_owned()), unsent })
    }

    /// An attempt that was not answered in time.
    pub(crate) fn timed_out(after: Duration) -> Self {
        Self { reason: format!("not answered within {:.1} s", after.as_secs_f64()), unsent: false }
    }
}

/// The attempts since the last success.
#[derive(Debug)]
pub(crate) struct Attempts {
    since: Instant,
    pauses: ExponentialBackoff,
}

impl Attempts {
    /// Starts to count.
    pub(crate) fn new() -> Self {
        let pauses = ExponentialBuilder::default()
            .with_min_delay(PAUSE_MIN)
            .with_max_delay(PAUSE_MAX)
            .without_max_times()
            .with_jitter()
            .build();
        Self { since: Instant::now(), pauses }
    }

    /// Returns how long it has been tried.
    pub(crate) fn waited(&self) -> Duration {
        self.since.elapsed()
    }

    /// Waits for the next attempt; `false` when it would come after `deadline`.
    pub(crate) async fn pause(&mut self, deadline: Duration) -> bool {
        let left = deadline.saturating_sub(self.since.elapsed());
        if left.is_zero() {
            return false;
        }
        let pause = self.pauses.next().unwrap_or(PAUSE_MAX);
        tokio::time::sleep(pause.min(left)).await;
        true
    }
}
