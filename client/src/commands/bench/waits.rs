//! How long batches were waited for: a histogram of fixed size, whatever their number.

use std::time::Duration;

use serde::Serialize;

/// Buckets of each power of two of nanoseconds: percentiles are read to 3%.
const BUCKETS_A_DOUBLING: usize = 32;
/// Powers of two: up to 2^40 ns, which is 18 minutes.
const DOUBLINGS: usize = 40;

const MILLISECONDS_A_SECOND: f64 = 1e3;

/// Counts waits by their length.
#[derive(Debug, Clone)]
pub(super) struct Waits {
    counts: Vec<u64>,
    longest: Duration,
}

/// Percentiles, in milliseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub(super) struct Percentiles {
    pub(super) p50_ms: f64,
    pub(super) p99_ms: f64,
    pub(super) p999_ms: f64,
    pub(super) longest_ms: f64,
}

impl Waits {
    pub(super) fn new() -> Self {
        Self { counts: vec![0; BUCKETS_A_DOUBLING * DOUBLINGS], longest: Duration::ZERO }
    }

    pub(super) fn note(&mut self, wait: Duration) {
        self.counts[bucket(wait)] += 1;
        self.longest = self.longest.max(wait);
    }

    pub(super) fn add(&mut self, other: &Self) {
        self.counts.iter_mut().zip(&other.counts).for_each(|(count, more)| *count += more);
        self.longest = self.longest.max(other.longest);
    }

    pub(super) fn percentiles(&self) -> Percentiles {
        Percentiles {
            p50_ms: self.percentile(500),
            p99_ms: self.percentile(990),
            p999_ms: self.percentile(999),
            longest_ms: milliseconds(self.longest),
        }
    }

    /// Returns the wait that so many thousandths of all do not exceed, in milliseconds.
    fn percentile(&self, thousandths: u64) -> f64 {
        let total: u64 = self.counts.iter().sum();
        let below = (total * thousandths).div_ceil(1000);
        let mut counted = 0;
        let found = self.counts.iter().position(|count| {
            counted += count;
            counted >= below && counted > 0
        });
        found.map_or(0.0, |bucket| milliseconds(end_of(bucket).min(self.longest)))
    }
}

pub(super) fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * MILLISECONDS_A_SECOND
}

/// Buckets are linear within each doubling, and below the first.
fn bucket(wait: Duration) -> usize {
    let nanoseconds = usize::try_from(wait.as_nanos()).unwrap_or(usize::MAX).max(1);
    let doubling = nanoseconds.ilog2() as usize;
    let within = if doubling < 5 { 0 } else { (nanoseconds >> (doubling - 5)) - BUCKETS_A_DOUBLING };
    (doubling * BUCKETS_A_DOUBLING + within).min(BUCKETS_A_DOUBLING * DOUBLINGS - 1)
}

fn end_of(bucket: usize) -> Duration {
    let (doubling, within) = (bucket / BUCKETS_A_DOUBLING, bucket % BUCKETS_A_DOUBLING);
    let nanoseconds = (1u64 << doubling) + (((within as u64 + 1) << doubling) >> 5);
    Duration::from_nanos(nanoseconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_read_to_a_few_hundredths() {
        let mut waits = Waits::new();
        (1..=1000).for_each(|microseconds| waits.note(Duration::from_micros(microseconds)));
        let Percentiles { p50_ms, p99_ms, p999_ms, longest_ms } = waits.percentiles();
        for (found, expected) in [(p50_ms, 0.5), (p99_ms, 0.99), (p999_ms, 0.999), (longest_ms, 1.0)] {
            assert!((expected..=expected * 1.04).contains(&found), "{found} for {expected}");
        }
        assert_eq!(Waits::new().percentiles(), Percentiles::default());
    }
}
