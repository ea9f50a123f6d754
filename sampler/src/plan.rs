//! Plans: the draws of one segment under its replacement mode.

mod distinct;
pub(crate) mod stratified;

use std::ops::Range;
use std::sync::Arc;

use self::distinct::Distinct;
use self::stratified::Stratified;
use crate::philox::Seed;
use crate::replacement::{DISTINCT_EPOCH_DRAWS_MAX, EPOCH_DRAWS_MAX, Replacement};
use crate::sampler::{Draw, Sampler};
use crate::segment::Segment;

/// Why a segment cannot be planned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// The segment's bounds are out of order, or it has more draws than its mode can plan.
    #[error("a segment of draws {} to {} in an epoch from {} cannot be planned", .0.start, .0.end, .0.epoch_start)]
    Segment(Segment),
    /// A distinct segment inside an epoch without the plan of the segment before it, or with another plan.
    #[error(
        "the segment from draw {} leaves out what the epoch had since draw {}: it needs the plan of the segment before it",
        .0.start, .0.epoch_start
    )]
    Before(Segment),
}

/// The draws of one segment, each a pure function of (job seed, segment, sampler, draw number) and, in mode
/// [`Replacement::Distinct`], of what the epoch had before the segment.
///
/// An [`Replacement::Independent`] or [`Replacement::Stratified`] plan costs nothing; a [`Replacement::Distinct`] one
/// takes O(n + R log R) time for n examples and R draws, and keeps 4 bytes for every draw of the epoch.
///
/// A draw's probability is that of one independent draw under the sampler, in every mode: what importance weights are
/// made of.
#[derive(Debug, Clone)]
pub struct Plan {
    sampler: Arc<Sampler>,
    seed: Seed,
    segment: Segment,
    order: Order,
}

#[derive(Debug, Clone)]
enum Order {
    Independent,
    Stratified(Stratified),
    Distinct(Distinct),
}

impl Plan {
    /// Plans a segment. `before` is the plan of the segment before it in the same epoch, if there is one; only mode
    /// [`Replacement::Distinct`] looks at it.
    ///
    /// # Errors
    /// [`PlanError`].
    pub fn new(
        sampler: Arc<Sampler>,
        seed: Seed,
        replacement: Replacement,
        segment: Segment,
        before: Option<&Self>,
    ) -> Result<Self, PlanError> {
        check_segment(segment, replacement)?;
        let order = match replacement {
            Replacement::Independent => Order::Independent,
            Replacement::Stratified => Order::Stratified(Stratified::new(sampler.cells().len(), seed, segment)),
            Replacement::Distinct => {
                let earlier = earlier_rows(segment, before, sampler.rows(), seed)?;
                Order::Distinct(Distinct::new(&sampler, seed, segment, earlier))
            }
        };
        Ok(Self { sampler, seed, segment, order })
    }

    /// Returns the segment.
    #[must_use]
    pub fn segment(&self) -> Segment {
        self.segment
    }

    /// Returns the bytes the plan keeps beside its sampler.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        match &self.order {
            Order::Independent | Order::Stratified(_) => size_of::<Self>(),
            Order::Distinct(distinct) => size_of::<Self>() + distinct.size_bytes(),
        }
    }

    /// Returns draw number `draw` of the job, in O(log cells).
    ///
    /// # Panics
    /// When the draw is outside of the segment.
    #[must_use]
    pub fn draw(&self, draw: u64) -> Draw {
        let (mut row, mut probability) = ([0], [0.0]);
        self.draw_into(draw..draw + 1, &mut row, &mut probability);
        Draw { index: self.sampler.first_row() + u64::from(row[0]), probability: probability[0] }
    }

    /// Writes draws that may lie in several segments, as those of a batch at the end of an epoch do; `plan_of` returns the
    /// plan of the segment that a draw lies in, and is asked once a segment; `draw_into` is [`Self::draw_into`], or divides
    /// its work among threads. Rows are the dataset's own, from 0.
    ///
    /// # Errors
    /// Those of `plan_of`.
    ///
    /// # Panics
    /// When the slices are not as long as the range.
    pub fn draw_across<E>(
        mut draws: Range<u64>,
        mut rows: &mut [u32],
        mut probabilities: &mut [f32],
        mut plan_of: impl FnMut(u64) -> Result<Arc<Self>, E>,
        draw_into: impl Fn(&Self, Range<u64>, &mut [u32], &mut [f32]),
    ) -> Result<(), E> {
        while !draws.is_empty() {
            let plan = plan_of(draws.start)?;
            let end = draws.end.min(plan.segment.end);
            let count = usize::try_from(end - draws.start).expect("a slice has no more values");
            let (here, later) = rows.split_at_mut(count);
            let (probabilities_here, probabilities_later) = probabilities.split_at_mut(count);
            draw_into(&plan, draws.start..end, here, probabilities_here);
            (draws.start, rows, probabilities) = (end, later, probabilities_later);
        }
        Ok(())
    }

    /// Writes the draws of `draws` into `rows` and `probabilities`. Rows are the dataset's own, from 0.
    ///
    /// # Panics
    /// When the draws are not all in the segment, or the slices are not as long as the range.
    pub fn draw_into(&self, draws: Range<u64>, rows: &mut [u32], probabilities: &mut [f32]) {
        let Segment { start, end, .. } = self.segment;
        assert!(start <= draws.start && draws.end <= end, "draws {draws:?} of a plan for {start}..{end}");
        let wanted = draws.end.saturating_sub(draws.start);
        assert!(
            rows.len() as u64 == wanted && probabilities.len() as u64 == wanted,
            "both slices hold one value a draw"
        );
        match &self.order {
            Order::Independent => self.sampler.draw_into(self.seed, draws, rows, probabilities),
            Order::Stratified(stratified) => {
                stratified.draw_into(&self.sampler, draws.start - start, rows, probabilities);
            }
            Order::Distinct(distinct) => {
                distinct.draw_into(&self.sampler, draws.start - start, rows, probabilities);
            }
        }
    }
}

/// Checks that a segment's bounds are in order and its draws as few as its mode can plan.
pub(crate) fn check_segment(segment: Segment, replacement: Replacement) -> Result<(), PlanError> {
    let Segment { epoch_start, start, end } = segment;
    let draws_max = if replacement == Replacement::Distinct { DISTINCT_EPOCH_DRAWS_MAX } else { EPOCH_DRAWS_MAX };
    let in_order = epoch_start <= start && start < end && end - epoch_start <= draws_max;
    if in_order { Ok(()) } else { Err(PlanError::Segment(segment)) }
}

/// Returns the rows that the epoch had before a distinct segment.
fn earlier_rows(segment: Segment, before: Option<&Plan>, rows: usize, seed: Seed) -> Result<Vec<u32>, PlanError> {
    match before {
        None if segment.start == segment.epoch_start => Ok(Vec::new()),
        Some(Plan { order: Order::Distinct(distinct), sampler, seed: its_seed, segment: its })
            if its.epoch_start == segment.epoch_start
                && its.end == segment.end
                && its.start < segment.start
                && *its_seed == seed
                && sampler.rows() == rows =>
        {
            Ok(distinct.rows_until(sampler, segment.start - its.start))
        }
        _ => Err(PlanError::Before(segment)),
    }
}
