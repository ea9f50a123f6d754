//! Whether there is memory for another trial.

use std::cell::Cell;
use std::time::{Duration, Instant};

use super::WorkerConfig;
use crate::devices::{TRIAL_MEMORY, gpu_memory_free};
use crate::memory;

/// How often to look.
pub(super) const LOOK_INTERVAL: Duration = Duration::from_secs(5);

/// What trials were seen to use, and what there was when last looked.
#[derive(Debug, Default)]
pub(super) struct Room {
    /// Most memory that a trial used so far, in bytes.
    peak: Cell<u64>,
    /// When there was enough.
    enough: Cell<Option<Instant>>,
}

impl Room {
    /// Notes what a trial used, in bytes.
    pub(super) fn note(&self, used: u64) {
        self.peak.set(self.peak.get().max(used));
        self.enough.set(None);
    }

    /// Tells whether the machine has less memory free than the largest trial so far would need, beyond what this process
    /// holds if trials are `held` in it; or the GPU less than a trial may use.
    pub(super) fn is_lacking(&self, held: bool, config: &WorkerConfig) -> bool {
        if self.enough.get().is_some_and(|at| at.elapsed() < LOOK_INTERVAL) {
            return false;
        }
        let needed = self.peak.get().saturating_sub(if held { memory::of_this_process() } else { 0 });
        // A training in this process keeps its GPU memory from one trial to the next.
        let gpu = config.gpu.filter(|_| !held).map(|number| (number, gpu_memory_free(number)));
        let lacking = lacking(needed, memory::available(), gpu, config.limits.memory_bytes.unwrap_or(TRIAL_MEMORY));
        match &lacking {
            Some(what) => tracing::warn!("{what}: waiting with the next trial"),
            None => self.enough.set(Some(Instant::now())),
        }
        lacking.is_some()
    }
}

/// What is lacking; where nothing is known of what there is, nothing.
fn lacking(needed: u64, available: Option<u64>, gpu: Option<(u32, Option<u64>)>, needed_of_gpu: u64) -> Option<String> {
    if let Some(available) = available.filter(|available| *available < needed) {
        return Some(format!(
            "{} MiB of memory are available, and the largest trial so far would need {} more",
            available >> 20,
            needed >> 20
        ));
    }
    match gpu {
        Some((number, Some(free))) if free < needed_of_gpu => Some(format!(
            "{} MiB of memory are free on cuda:{number}, and a trial may need {} (--trial-memory)",
            free >> 20,
            needed_of_gpu >> 20
        )),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trial_waits_for_as_much_memory_as_the_largest_used() {
        assert_eq!(lacking(100, Some(100), None, 50), None);
        assert!(lacking(100, Some(99), None, 50).is_some());
        assert_eq!(lacking(100, None, None, 50), None, "nothing is known");
        assert!(lacking(0, Some(9), Some((1, Some(49))), 50).unwrap().contains("cuda:1"));
        assert_eq!(lacking(0, Some(9), Some((1, Some(50))), 50), None);
        assert_eq!(lacking(0, Some(9), Some((1, None)), 50), None);
    }
}
