//! How long a trial may take or stand still, and how much memory it may use.

use std::fmt::{self, Display, Formatter};
use std::time::{Duration, Instant};

/// Limits of one attempt at a trial.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TrialLimits {
    /// Longest time an attempt may take; `None`: any.
    pub timeout: Option<Duration>,
    /// Longest time without progress.
    pub hang: Duration,
    /// Most memory its processes may use, in bytes; `None`: any.
    pub memory_bytes: Option<u64>,
}

impl Default for TrialLimits {
    fn default() -> Self {
        Self { timeout: None, hang: Self::HANG, memory_bytes: None }
    }
}

impl TrialLimits {
    /// Longest time without progress unless told otherwise.
    pub const HANG: Duration = Duration::from_secs(600);
}

/// A limit of time that an attempt exceeded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Overdue {
    /// It took longer than this.
    TimedOut(Duration),
    /// It made no progress for this long.
    Hung(Duration),
}

impl Display for Overdue {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::TimedOut(limit) => {
                write!(formatter, "timed out: it took longer than {} s (--trial-timeout)", limit.as_secs_f64())
            }
            Self::Hung(limit) => write!(
                formatter,
                "hung: no batch pulled, no epoch ended and nothing written for {} s (--hang-timeout)",
                limit.as_secs_f64()
            ),
        }
    }
}

/// When an attempt started and when it last made progress.
#[derive(Debug, Clone, Copy)]
pub struct TrialClock {
    started: Instant,
    progressed: Instant,
}

impl TrialClock {
    /// Starts an attempt.
    #[must_use]
    pub fn start(now: Instant) -> Self {
        Self { started: now, progressed: now }
    }

    /// Notes progress.
    pub fn progress(&mut self, now: Instant) {
        self.progressed = now;
    }

    /// Returns the limit that is exceeded, if one is.
    #[must_use]
    pub fn overdue(&self, limits: &TrialLimits, now: Instant) -> Option<Overdue> {
        match limits.timeout {
            Some(timeout) if now.duration_since(self.started) > timeout => Some(Overdue::TimedOut(timeout)),
            _ if now.duration_since(self.progressed) > limits.hang => Some(Overdue::Hung(limits.hang)),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_puts_off_a_hang_but_not_the_time_out() {
        let seconds = Duration::from_secs;
        let start = Instant::now();
        let limits = TrialLimits { timeout: Some(seconds(100)), hang: seconds(10), memory_bytes: None };
        let mut clock = TrialClock::start(start);
        assert_eq!(clock.overdue(&limits, start + seconds(10)), None);
        assert_eq!(clock.overdue(&limits, start + seconds(11)), Some(Overdue::Hung(seconds(10))));
        clock.progress(start + seconds(95));
        assert_eq!(clock.overdue(&limits, start + seconds(99)), None);
        assert_eq!(clock.overdue(&limits, start + seconds(101)), Some(Overdue::TimedOut(seconds(100))));
        let endless = TrialLimits { timeout: None, ..limits };
        assert_eq!(clock.overdue(&endless, start + seconds(101)), None);
    }
}
