//! The draws of one segment over all shards.

use std::ops::Range;
use std::sync::Arc;

use super::{CellDraw, ShardRows, ShardedSampler, ShardsError};
use crate::philox::Seed;
use crate::plan::check_segment;
use crate::plan::stratified::Stratified;
use crate::replacement::Replacement;
use crate::segment::Segment;

/// The draws of one segment over all shards: what [`crate::Plan`] is over one dataset. Costs nothing to make.
#[derive(Debug, Clone)]
pub struct ShardedPlan {
    sampler: Arc<ShardedSampler>,
    seed: Seed,
    segment: Segment,
    stratified: Option<Stratified>,
}

/// A draw whose row a host holds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct HeldDraw {
    /// The draw's number in the job.
    pub draw: u64,
    /// The row's index among those of all shards.
    pub index: u64,
    /// The probability with which each draw of this sampler is that row.
    pub probability: f32,
}

impl ShardedPlan {
    /// Plans a segment in mode [`Replacement::Independent`] or [`Replacement::Stratified`].
    ///
    /// # Errors
    /// [`ShardsError::Plan`] when the segment has more draws than the mode can plan, [`ShardsError::Distinct`] in the third
    /// mode.
    pub fn new(
        sampler: Arc<ShardedSampler>,
        seed: Seed,
        replacement: Replacement,
        segment: Segment,
    ) -> Result<Self, ShardsError> {
        check_segment(segment, replacement)?;
        let stratified = match replacement {
            Replacement::Independent => None,
            Replacement::Stratified => Some(Stratified::new(sampler.cells().len(), seed, segment)),
            Replacement::Distinct => return Err(ShardsError::Distinct),
        };
        Ok(Self { sampler, seed, segment, stratified })
    }

    /// Returns the segment.
    #[must_use]
    pub fn segment(&self) -> Segment {
        self.segment
    }

    /// Returns draw number `draw` of the job, up to its row. Every host computes the same.
    ///
    /// # Panics
    /// When the draw is outside of the segment.
    #[must_use]
    pub fn draw(&self, draw: u64) -> CellDraw {
        let Segment { start, end, .. } = self.segment;
        assert!(start <= draw && draw < end, "draw {draw} of a plan for {start}..{end}");
        match &self.stratified {
            None => self.sampler.draw(self.seed, draw),
            Some(stratified) => {
                let count = |cell| self.sampler.cells().count(cell);
                let (cell, position) = stratified.place(self.sampler.table().units(), count, draw - start);
                self.sampler.cell_draw(cell, position)
            }
        }
    }

    /// Returns those of `draws` whose row lies in one shard, ascending: its host's part of a batch. The parts of all
    /// shards together are the batch.
    ///
    /// # Panics
    /// When the rows are of other cells than the sampler's, or a draw is outside of the segment.
    pub fn held<'a>(&'a self, draws: Range<u64>, rows: &'a ShardRows) -> impl Iterator<Item = HeldDraw> + 'a {
        assert!(Arc::ptr_eq(rows.shared(), self.sampler.cells()), "the rows are of other cells than the sampler's");
        draws.filter_map(move |draw| {
            let CellDraw { cell, position, probability } = self.draw(draw);
            rows.index(cell, position).map(|index| HeldDraw { draw, index, probability })
        })
    }
}
