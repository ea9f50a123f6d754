//! How fast something goes.

use std::time::{Duration, Instant};

/// Runs `work`, which returns how much it did, again and again for about `seconds`; returns the amount a second.
pub(crate) fn a_second(seconds: f64, mut work: impl FnMut() -> u64) -> f64 {
    let (start, wanted) = (Instant::now(), Duration::from_secs_f64(seconds));
    let mut done = 0;
    loop {
        done += work();
        let passed = start.elapsed();
        if passed >= wanted {
            return done as f64 / passed.as_secs_f64();
        }
    }
}
