//! What all hosts must know of one shard.

use serde::{Deserialize, Serialize};

use super::ShardsError;
use crate::axis::Axis;
use crate::cells::Cells;

/// How many rows of each cell one shard has: plain data, of a size that does not grow with the rows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShardSummary {
    /// Index of the shard's first row among those of all shards.
    pub first_row: u64,
    /// Of each cell, its interval on each axis; cells ascend as these tuples do.
    pub intervals: Vec<u32>,
    /// Of each cell, its number of rows.
    pub counts: Vec<u32>,
}

impl ShardSummary {
    /// Summarises the cells of a shard, which were made [over the axes](Cells::over_axes) of all shards.
    #[must_use]
    pub fn of(first_row: u64, cells: &Cells) -> Self {
        let intervals = |cell: usize| cells.axes().iter().map(move |axis| axis.intervals()[cell]);
        Self {
            first_row,
            intervals: (0..cells.len()).flat_map(intervals).collect(),
            counts: (0..cells.len()).map(|cell| cells.count(cell)).collect(),
        }
    }

    /// Returns the number of rows.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.counts.iter().map(|&count| u64::from(count)).sum()
    }

    /// Returns the intervals of a cell on so many axes.
    pub(super) fn intervals(&self, cell: usize, axes: usize) -> &[u32] {
        &self.intervals[cell * axes..(cell + 1) * axes]
    }

    /// Checks what merging relies on.
    pub(super) fn check(&self, shard: usize, axes: &[Axis]) -> Result<(), ShardsError> {
        let len = self.counts.len();
        let on_axes = |cell: usize| {
            self.intervals(cell, axes.len()).iter().zip(axes).all(|(&interval, axis)| (interval as usize) < axis.len())
        };
        let ascends = |cell: usize| self.intervals(cell - 1, axes.len()) < self.intervals(cell, axes.len());
        let problem = if len == 0 || self.counts.contains(&0) {
            "a cell without rows, or no cell"
        } else if self.intervals.len() != len * axes.len() {
            "not one interval an axis and cell"
        } else if !(0..len).all(on_axes) {
            "an interval that its axis does not have"
        } else if !(1..len).all(ascends) {
            "its cells do not ascend"
        } else {
            return Ok(());
        };
        Err(ShardsError::Summary { shard, problem })
    }
}
