//! The threads that draw.

use std::ops::Range;

use rayon::{ThreadPool, ThreadPoolBuildError, ThreadPoolBuilder};
use swift_sampler::Plan;

/// Draws that one thread makes at once: a small part of a millisecond, and many times what handing them over takes.
const DRAWS_AT_ONCE: usize = 8192;

/// As many threads as the machine has cores. All streams' larger blocks are drawn here, each by as many as are free.
#[derive(Debug)]
pub struct Drawing(ThreadPool);

impl Drawing {
    /// Starts the threads.
    ///
    /// # Errors
    /// When the system gives no threads.
    pub fn new() -> Result<Self, ThreadPoolBuildError> {
        ThreadPoolBuilder::new().thread_name(|number| format!("draw-{number}")).build().map(Self)
    }

    /// Writes draws of one plan as [`Plan::draw_into`] does. Blocks meanwhile.
    pub(super) fn draw_into(&self, plan: &Plan, draws: Range<u64>, rows: &mut [u32], probabilities: &mut [f32]) {
        if rows.len() <= DRAWS_AT_ONCE {
            plan.draw_into(draws, rows, probabilities);
        } else {
            self.0.install(|| in_halves(plan, draws, rows, probabilities));
        }
    }
}

fn in_halves(plan: &Plan, draws: Range<u64>, rows: &mut [u32], probabilities: &mut [f32]) {
    if rows.len() <= DRAWS_AT_ONCE {
        return plan.draw_into(draws, rows, probabilities);
    }
    let half = rows.len() / 2;
    let middle = draws.start + half as u64;
    let (rows, later_rows) = rows.split_at_mut(half);
    let (probabilities, later_probabilities) = probabilities.split_at_mut(half);
    rayon::join(
        || in_halves(plan, draws.start..middle, rows, probabilities),
        || in_halves(plan, middle..draws.end, later_rows, later_probabilities),
    );
}
