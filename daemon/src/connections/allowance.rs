//! How many frames a connection may send that bring nothing: PINGs, SETTINGS, calls that are taken back, empty data.
//!
//! Each is work for the daemon, and none is of use beyond a certain number. What a client gets answered earns it more, so
//! that only who asks for work and takes nothing is held back: first it is read more slowly, then hung up on.

use std::time::{Duration, Instant};

/// Frames at once.
pub(crate) const BURST_FRAMES: u32 = 4096;
/// Frames a second, over and above those that are earned.
pub(crate) const FRAMES_A_SECOND: u32 = 256;
/// A call that is answered earns so many: its headers, data, and what windows and probes go with it.
pub(super) const EARNED_A_CALL: u32 = 8;
/// So many bytes that are sent earn one: clients with small windows open them again for every few.
pub(super) const BYTES_AN_EARNED_FRAME: u64 = 4 << 10;
/// Who has used up its allowance is not listened to for so long.
pub(super) const PAUSE: Duration = Duration::from_millis(50);
/// Who uses it up again and again, for so long, is hung up on.
pub(crate) const FLOOD_MAX: Duration = Duration::from_secs(10);

/// The frames that a connection may still send.
#[derive(Debug)]
pub(super) struct Allowance {
    /// Negative where more came at once than was left.
    left: i64,
    filled_to: Instant,
    /// Since when it has not been full enough for a second.
    low_since: Option<Instant>,
}

impl Allowance {
    pub(super) fn new(now: Instant) -> Self {
        Self { left: i64::from(BURST_FRAMES), filled_to: now, low_since: None }
    }

    /// Adds what was earned, and what time brings.
    pub(super) fn fill(&mut self, now: Instant, earned: u64) {
        let due = now.saturating_duration_since(self.filled_to).as_micros() * u128::from(FRAMES_A_SECOND) / 1_000_000;
        let mut added = i64::try_from(earned).unwrap_or(i64::MAX);
        if due > 0 {
            self.filled_to = now;
            added = added.saturating_add(i64::try_from(due).unwrap_or(i64::MAX));
        }
        self.left = self.left.saturating_add(added).min(i64::from(BURST_FRAMES));
        if self.left > i64::from(FRAMES_A_SECOND) {
            self.low_since = None;
        }
    }

    pub(super) fn spend(&mut self, now: Instant, frames: u64) {
        self.left = self.left.saturating_sub_unsigned(frames);
        if self.is_spent() {
            self.low_since.get_or_insert(now);
        }
    }

    pub(super) fn is_spent(&self) -> bool {
        self.left <= 0
    }

    /// Tells whether the client has gone on for too long.
    pub(super) fn is_flood(&self, now: Instant) -> bool {
        self.low_since.is_some_and(|since| now.saturating_duration_since(since) > FLOOD_MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_earns_what_it_sends_is_never_held_back_and_who_does_not_is_hung_up_on() {
        let start = Instant::now();
        let mut honest = Allowance::new(start);
        let mut flood = Allowance::new(start);
        for tick in 0..1200 {
            let now = start + tick * Duration::from_millis(10);
            honest.fill(now, 100 * u64::from(EARNED_A_CALL));
            honest.spend(now, 100 * u64::from(EARNED_A_CALL));
            assert!(!honest.is_spent() && !honest.is_flood(now));
            flood.fill(now, 0);
            if !flood.is_spent() {
                flood.spend(now, 1000);
            }
            assert_eq!(flood.is_flood(now), tick > 1004, "at {tick}");
        }
    }

    #[test]
    fn a_burst_is_forgotten_once_it_is_over() {
        let start = Instant::now();
        let mut allowance = Allowance::new(start);
        allowance.spend(start, BURST_FRAMES.into());
        assert!(allowance.is_spent());
        let later = start + Duration::from_secs(9);
        allowance.fill(later, 0);
        allowance.spend(later, 1);
        assert!(!allowance.is_spent() && !allowance.is_flood(later + FLOOD_MAX));
    }
}
