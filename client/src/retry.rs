//! Trying again: which failures, how soon, and for how long.

use std::error::Error;
use std::time::{Duration, Instant};

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use tonic::{Code, Status};
use tonic_types::StatusExt;

/// First pause between two attempts; later ones double. Jitter adds up to as much again to each.
const PAUSE_MIN: Duration = Duration::from_millis(50);
/// Longest pause between two attempts, before jitter: a daemon that is back is found within half a second.
const PAUSE_MAX: Duration = Duration::from_millis(250);

/// A failed attempt that another may mend.
#[derive(Debug)]
pub(crate) struct Lost {
    /// Why it failed.
    pub(crate) reason: String,
    /// Whether the daemon cannot have acted on the request.
    pub(crate) unsent: bool,
    /// Whether something is there, though not what was expected.
    pub(crate) strange: bool,
    /// Whether there was no answer in time.
    pub(crate) stalled: bool,
    /// The pause that the daemon asks for.
    pub(crate) pause_min: Duration,
}

impl Lost {
    /// Tells a lost connection and UNAVAILABLE from answers that stand; so does a pause that the daemon asks for.
    pub(crate) fn from_status(status: &Status) -> Option<Self> {
        // A status that the daemon sent has no source; one with a source was made here of a transport failure.
        let Some(source) = status.source() else {
            let pause_min = status.get_details_retry_info().and_then(|info| info.retry_delay);
            let unsent = match (status.code(), pause_min) {
                (Code::Unavailable, _) => false,
                (Code::ResourceExhausted, Some(_)) => true,
                _ => return None,
            };
            let reason = status.message().to_owned();
            return Some(Self {
                reason,
                unsent,
                strange: false,
                stalled: false,
                pause_min: pause_min.unwrap_or_default(),
            });
        };
        let chain = std::iter::successors(Some(source), |&error| error.source());
        let unsent = chain.clone().any(is_unsent);
        let strange = chain.clone().any(is_strange);
        let deepest = chain.last().map_or_else(|| status.message().to_owned(), ToString::to_string);
        Some(Self { reason: deepest, unsent, strange, stalled: false, pause_min: Duration::ZERO })
    }

    /// An attempt that was not answered in time.
    pub(crate) fn timed_out(after: Duration) -> Self {
        let reason = format!("not answered within {:.1} s", after.as_secs_f64());
        Self { reason, unsent: false, strange: false, stalled: true, pause_min: Duration::ZERO }
    }

    /// A name without an address.
    pub(crate) fn unresolved(reason: String) -> Self {
        Self { reason, unsent: true, strange: false, stalled: false, pause_min: Duration::ZERO }
    }

    /// A stream that should not have ended.
    pub(crate) fn ended(what: &str) -> Self {
        Self { reason: what.into(), unsent: false, strange: false, stalled: false, pause_min: Duration::ZERO }
    }

    /// A refusal for want of room.
    pub(crate) fn no_room(status: &Status) -> Self {
        Self {
            reason: status.message().to_owned(),
            unsent: true,
            strange: false,
            stalled: false,
            pause_min: Duration::ZERO,
        }
    }
}

/// Tells failures before the daemon took up the request: no connection, or one that the daemon was closing.
fn is_unsent(error: &(dyn Error + 'static)) -> bool {
    let refused = |error: &h2::Error| {
        let closing = error.is_go_away() && error.reason() == Some(h2::Reason::NO_ERROR);
        error.is_remote() && (closing || error.reason() == Some(h2::Reason::REFUSED_STREAM))
    };
    error.is::<tonic::ConnectError>()
        || error.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_canceled)
        || error.downcast_ref::<h2::Error>().is_some_and(refused)
}

/// Tells whether the other side is no daemon, or not the one that is trusted: our connections say so by this kind.
fn is_strange(error: &(dyn Error + 'static)) -> bool {
    error.downcast_ref::<std::io::Error>().is_some_and(|error| error.kind() == std::io::ErrorKind::InvalidData)
}

/// The attempts since the last success.
#[derive(Debug)]
pub(crate) struct Attempts {
    since: Instant,
    pauses: ExponentialBackoff,
    /// Attempts that failed.
    failed: usize,
    /// Those of them since the last pause.
    at_once: usize,
    /// Attempts that were not answered in time.
    stalled: usize,
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
        Self { since: Instant::now(), pauses, failed: 0, at_once: 0, stalled: 0 }
    }

    /// Returns how long it has been tried.
    pub(crate) fn waited(&self) -> Duration {
        self.since.elapsed()
    }

    /// Returns how many failed.
    pub(crate) fn failed(&self) -> usize {
        self.failed
    }

    /// Returns how long the next attempt may wait for its answer where `replicas` can be asked.
    ///
    /// While there are others that have not stalled, that is `stall_timeout`, or less where the deadline is near, so
    /// that each can be asked before it.
    pub(crate) fn timeout(
        &self,
        timeout: Duration,
        stall_timeout: Duration,
        replicas: usize,
        deadline: Duration,
    ) -> Duration {
        let others = replicas.saturating_sub(1 + self.stalled);
        let Ok(others @ 1..) = u32::try_from(others) else { return timeout };
        let share = deadline.saturating_sub(self.waited()) / (others + 1);
        timeout.min(stall_timeout).min(share)
    }

    /// Waits for the next attempt; `false` when it would come after `deadline`.
    pub(crate) async fn pause(&mut self, lost: &Lost, replicas: usize, any_well: bool, deadline: Duration) -> bool {
        let left = deadline.saturating_sub(self.waited());
        match self.next_pause(lost, replicas, any_well, left) {
            Some(pause) => {
                tokio::time::sleep(pause).await;
                true
            }
            None => false,
        }
    }

    /// Counts a failed attempt and returns how long to wait for the next; `None` when no time is left for it.
    ///
    /// There is no wait where another of `replicas` is well, until each may have been asked.
    fn next_pause(&mut self, lost: &Lost, replicas: usize, any_well: bool, left: Duration) -> Option<Duration> {
        self.stalled += usize::from(lost.stalled);
        self.failed += 1;
        self.at_once += 1;
        if left.is_zero() {
            return None;
        }
        if any_well && self.at_once < replicas {
            return Some(Duration::ZERO);
        }
        self.at_once = 0;
        let pause = self.pauses.next().unwrap_or(PAUSE_MAX).min(left);
        (lost.pause_min <= left).then(|| pause.max(lost.pause_min))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tonic_types::ErrorDetails;

    const SECOND: Duration = Duration::from_secs(1);
    const MINUTE: Duration = Duration::from_secs(60);

    fn asking_for(code: Code, pause: Duration) -> Status {
        let mut details = ErrorDetails::new();
        details.set_retry_info(Some(pause));
        Status::with_error_details(code, "later", details)
    }

    #[test]
    fn only_what_another_attempt_may_mend_is_tried_again() {
        assert_eq!(Lost::from_status(&Status::unavailable("")).unwrap().pause_min, Duration::ZERO);
        assert_eq!(Lost::from_status(&asking_for(Code::Unavailable, SECOND)).unwrap().pause_min, SECOND);
        assert_eq!(Lost::from_status(&asking_for(Code::ResourceExhausted, SECOND)).unwrap().pause_min, SECOND);
        for stands in [Status::resource_exhausted(""), Status::not_found(""), asking_for(Code::NotFound, SECOND)] {
            assert!(Lost::from_status(&stands).is_none(), "{stands}");
        }
    }

    #[test]
    fn a_pause_is_at_least_what_the_daemon_asks_for() {
        let lost = Lost::from_status(&asking_for(Code::Unavailable, 5 * SECOND)).unwrap();
        assert_eq!(Attempts::new().next_pause(&lost, 1, false, MINUTE), Some(5 * SECOND));
        assert_eq!(Attempts::new().next_pause(&lost, 1, false, 4 * SECOND), None, "it would come after the deadline");
    }

    #[test]
    fn pauses_grow_to_half_a_second_and_no_further() {
        let (mut attempts, lost) = (Attempts::new(), Lost::ended("it ended"));
        let pauses: Vec<_> = (0..100).map(|_| attempts.next_pause(&lost, 1, false, Duration::MAX).unwrap()).collect();
        assert!((PAUSE_MIN..=2 * PAUSE_MIN).contains(&pauses[0]), "{pauses:?}");
        assert!(pauses[10..].iter().all(|pause| (PAUSE_MAX..=2 * PAUSE_MAX).contains(pause)), "{pauses:?}");
        assert!(pauses[10..].windows(2).any(|two| two[0] != two[1]), "they have jitter: {pauses:?}");
    }

    #[test]
    fn no_pause_outlasts_the_deadline() {
        let (mut attempts, lost) = (Attempts::new(), Lost::ended("it ended"));
        let left = Duration::from_millis(7);
        assert_eq!(attempts.next_pause(&lost, 1, false, left), Some(left));
        assert_eq!(attempts.next_pause(&lost, 2, true, Duration::ZERO), None);
    }

    #[test]
    fn other_replicas_are_asked_at_once_each() {
        let (mut attempts, lost) = (Attempts::new(), Lost::timed_out(SECOND));
        for _ in 0..2 {
            assert_eq!(attempts.next_pause(&lost, 3, true, MINUTE), Some(Duration::ZERO));
        }
        assert!(attempts.next_pause(&lost, 3, true, MINUTE).unwrap() >= PAUSE_MIN);
        assert!(Attempts::new().next_pause(&lost, 3, false, MINUTE).unwrap() >= PAUSE_MIN, "all are failing");
    }

    #[test]
    fn an_attempt_is_short_while_there_are_others_to_ask() {
        let mut attempts = Attempts::new();
        assert_eq!(attempts.timeout(MINUTE, 5 * SECOND, 1, MINUTE), MINUTE);
        assert_eq!(attempts.timeout(MINUTE, 5 * SECOND, 3, Duration::MAX), 5 * SECOND);
        assert!(attempts.timeout(MINUTE, 5 * SECOND, 4, 2 * SECOND) <= SECOND / 2);
        attempts.stalled = 2;
        assert_eq!(attempts.timeout(MINUTE, 5 * SECOND, 3, MINUTE), MINUTE);
    }
}
