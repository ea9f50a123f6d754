//! How far ahead of a reader steps are frozen.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::registry::{LEASE_STEPS, LEASE_STEPS_MAX};

/// A lease should last so many times as long as a commit takes: it is renewed when half of it is used, and where commits
/// queue up, every reader asks for fewer of them.
const COMMITS_A_LEASE: u32 = 8;
/// How long a lease should last at least: each costs a few tenths of a millisecond of computing.
const LEASE_MIN: Duration = Duration::from_millis(3);
/// How long it should last at most: an activation is later by as much.
const LEASE_MAX: Duration = Duration::from_secs(1);

/// How long commits that extend a job take, smoothed, over all readers of a daemon.
#[derive(Debug, Default)]
pub struct CommitTime(AtomicU64);

impl CommitTime {
    /// Notes how long a commit took, the wait for others included.
    pub(super) fn note(&self, took: Duration) {
        let took = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX / 8);
        let before = self.0.load(Ordering::Relaxed);
        // One of two notes at the same time may be lost, which does no harm.
        let smoothed = if before == 0 { took } else { (before.saturating_mul(7).saturating_add(took)) / 8 };
        self.0.store(smoothed, Ordering::Relaxed);
    }

    /// Returns how long a lease should last.
    fn lease(&self) -> Duration {
        (Duration::from_nanos(self.0.load(Ordering::Relaxed)) * COMMITS_A_LEASE).clamp(LEASE_MIN, LEASE_MAX)
    }
}

/// How far one reader extends the horizon at once.
#[derive(Debug, Default)]
pub(super) struct Lease {
    steps: u64,
    extended: Option<Instant>,
}

impl Lease {
    /// Returns the steps of the next extension: more than the last one's where that was used up too soon, fewer where it
    /// lasted.
    pub(super) fn next(&mut self, commits: &CommitTime) -> u64 {
        let wanted = commits.lease();
        self.steps = match self.extended.replace(Instant::now()).map(|extended| extended.elapsed()) {
            None => LEASE_STEPS,
            Some(used) if used < wanted / 2 => (self.steps * 2).min(LEASE_STEPS_MAX),
            Some(used) if used > wanted => (self.steps / 2).max(1),
            Some(_) => self.steps,
        };
        self.steps
    }

    /// Tells whether a horizon that is so far ahead is to be extended while there is time.
    pub(super) fn is_due(&self, steps_ahead: u64) -> bool {
        steps_ahead <= self.steps / 2
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leases_last_as_long_as_commits_warrant() {
        let commits = CommitTime::default();
        assert_eq!(commits.lease(), LEASE_MIN);
        for _ in 0..100 {
            commits.note(Duration::from_millis(10));
        }
        assert!((Duration::from_millis(70)..=Duration::from_millis(80)).contains(&commits.lease()));
        commits.note(Duration::from_secs(100));
        assert_eq!(commits.lease(), LEASE_MAX);
    }

    #[test]
    fn a_lease_that_is_used_up_at_once_is_doubled() {
        let (commits, mut lease) = (CommitTime::default(), Lease::default());
        commits.note(Duration::from_secs(1));
        let steps: Vec<u64> = (0..20).map(|_| lease.next(&commits)).collect();
        assert_eq!(steps[..3], [LEASE_STEPS, LEASE_STEPS * 2, LEASE_STEPS * 4]);
        assert_eq!(steps[19], LEASE_STEPS_MAX);
        assert!(lease.is_due(LEASE_STEPS_MAX / 2) && !lease.is_due(LEASE_STEPS_MAX));
    }
}
