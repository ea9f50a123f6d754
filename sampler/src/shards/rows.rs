//! The rows of one shard: what its host holds beside what all share.

use std::ops::Range;
use std::sync::Arc;

use super::{ShardedCells, ShardsError};
use crate::cells::{CellAxis, Cells};
use crate::gradient_floor::GradientFloor;

/// The rows of one shard by cell: 4 bytes a row, and 4 for each cell of all shards.
#[derive(Debug, Clone)]
pub struct ShardRows {
    shared: Arc<ShardedCells>,
    shard: usize,
    cells: Arc<Cells>,
    /// Place in the shard's order of its first row of each cell of all shards.
    starts: Vec<u32>,
}

impl ShardRows {
    /// Takes up the cells that a shard's summary was made of.
    ///
    /// # Errors
    /// [`ShardsError::OtherRows`] when these are other cells.
    pub fn new(shared: &Arc<ShardedCells>, shard: usize, cells: Arc<Cells>) -> Result<Self, ShardsError> {
        let other = |problem| ShardsError::OtherRows { shard, problem };
        if shard >= shared.shards() {
            return Err(other("there is no such shard"));
        }
        if cells.features() != shared.features() {
            return Err(other("their cells are of other features"));
        }
        let (mut starts, mut next, mut place) = (Vec::with_capacity(shared.len()), 0, 0);
        for cell in 0..shared.len() {
            starts.push(place);
            let held = shared.held(cell, shard);
            if held == 0 {
                continue;
            }
            if next == cells.len() || !tuple(cells.axes(), next).eq(tuple(shared.axes(), cell)) {
                return Err(other("a cell is missing"));
            }
            if u64::from(cells.count(next)) != held {
                return Err(other("a cell has another number of rows"));
            }
            place += cells.count(next);
            next += 1;
        }
        if next < cells.len() {
            return Err(other("a cell was not summarised"));
        }
        Ok(Self { shared: Arc::clone(shared), shard, cells, starts })
    }

    /// Returns the cells of all shards that the rows are of.
    #[must_use]
    pub fn shared(&self) -> &Arc<ShardedCells> {
        &self.shared
    }

    /// Returns the shard's number, counted from 0.
    #[must_use]
    pub fn shard(&self) -> usize {
        self.shard
    }

    /// Returns the index of the shard's first row among those of all shards.
    #[must_use]
    pub fn first_row(&self) -> u64 {
        self.shared.first_row(self.shard)
    }

    /// Returns the index, among the rows of all shards, of the row at `position` of `cell`, or `None` where another shard
    /// has it.
    #[inline]
    #[must_use]
    #[allow(clippy::cast_possible_truncation, reason = "a shard has fewer than 2^32 rows")]
    pub fn index(&self, cell: usize, position: u64) -> Option<u64> {
        // Below the shard's first position the difference wraps around to something large.
        let within = position.wrapping_sub(self.shared.before(cell, self.shard));
        let held = within < self.shared.held(cell, self.shard);
        held.then(|| self.row(cell, within as u32)).map(|row| self.shared.first_row(self.shard) + u64::from(row))
    }

    /// Adds the gradient norms of the shard's rows, raised to the floor of all rows, to the sums of `cells`: `gradients` is
    /// the shard's column, in row order.
    ///
    /// Handed from shard to shard in ascending order, the sums are those of one pass over all rows, to the last bit. A
    /// range of cells at a time, all shards work at once, each a range behind the one before it.
    ///
    /// # Panics
    /// When there are no such cells, `sums` has not one number for each of them, or `gradients` not one a row.
    #[allow(clippy::cast_possible_truncation, reason = "a shard has fewer than 2^32 rows")]
    pub fn add_gradients(&self, gradients: &[f64], floor: GradientFloor, cells: Range<usize>, sums: &mut [f64]) {
        assert_eq!(sums.len(), cells.len(), "one sum a cell");
        assert_eq!(gradients.len(), self.cells.rows(), "one gradient norm a row");
        for (cell, sum) in cells.zip(sums) {
            for position in 0..self.shared.held(cell, self.shard) as u32 {
                *sum += floor.raise(gradients[self.row(cell, position) as usize]);
            }
        }
    }

    /// Returns the shard's row at `position` among its own of `cell`.
    #[inline]
    fn row(&self, cell: usize, position: u32) -> u32 {
        self.cells.row_at(self.starts[cell] + position)
    }
}

/// Returns the interval of a cell on each axis.
fn tuple(axes: &[CellAxis], cell: usize) -> impl Iterator<Item = u32> + '_ {
    axes.iter().map(move |axis| axis.intervals()[cell])
}
