//! The cells of all shards' rows: what every host holds.

use std::sync::Arc;

use super::{ShardSummary, ShardsError};
use crate::axis::Axis;
use crate::cells::{CellAxis, CellStatistics};
use crate::empirical_cdf::EmpiricalCdf;

/// Rows end below this, the longest cell that can be permuted.
const ROWS_MAX: u64 = 1 << 62;

/// The cells of the rows of all shards, without the rows: statistics, and how many rows each shard has of each cell.
///
/// Takes 8 bytes for each cell and shard, 4 for each cell and feature, and 8 for each cell with gradient norms.
#[derive(Debug, Clone)]
pub struct ShardedCells {
    features: Vec<String>,
    cdfs: Arc<Vec<EmpiricalCdf>>,
    /// First row of each shard, and the end of the last.
    edges: Vec<u64>,
    axes: Vec<CellAxis>,
    /// For each cell, one number a shard: how many of the cell's rows lie in that shard and those before it.
    ends: Vec<u64>,
    gradient_mass: Option<Vec<f64>>,
}

/// Where a position in a cell is: in which shard, and at which position among that shard's rows of the cell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ShardPlace {
    /// The shard, counted from 0.
    pub shard: usize,
    /// The position, counted from 0.
    pub position: u32,
}

impl ShardedCells {
    /// Merges the summaries of all shards, ascending in rows; `axes` are those of all rows, one a feature. Takes
    /// O(cells · shards).
    ///
    /// # Errors
    /// [`ShardsError`] when a summary is damaged, or the shards do not follow one upon another.
    pub fn merge(features: Vec<String>, axes: &[Axis], summaries: &[ShardSummary]) -> Result<Self, ShardsError> {
        if features.len() != axes.len() {
            return Err(ShardsError::Axes { features: features.len(), axes: axes.len() });
        }
        let edges = edges(summaries)?;
        for (shard, summary) in summaries.iter().enumerate() {
            summary.check(shard, axes)?;
        }
        let mut next_cells = vec![0; summaries.len()];
        let (mut intervals, mut ends) = (vec![Vec::new(); axes.len()], Vec::new());
        let next = |summary: &'_ ShardSummary, cell: usize| cell < summary.counts.len();
        loop {
            let unmerged = summaries.iter().zip(&next_cells).filter(|&(summary, &cell)| next(summary, cell));
            let Some(tuple) = unmerged.map(|(summary, &cell)| summary.intervals(cell, axes.len())).min() else { break };
            let mut end = 0;
            for (summary, cell) in summaries.iter().zip(&mut next_cells) {
                if next(summary, *cell) && summary.intervals(*cell, axes.len()) == tuple {
                    end += u64::from(summary.counts[*cell]);
                    *cell += 1;
                }
                ends.push(end);
            }
            intervals.iter_mut().zip(tuple).for_each(|(of_axis, &interval)| of_axis.push(interval));
        }
        let of_cells = |(intervals, axis): (Vec<u32>, &Axis)| CellAxis::new(intervals, Arc::clone(axis.quantiles()));
        Ok(Self {
            features,
            cdfs: Arc::new(axes.iter().map(|axis| axis.cdf().clone()).collect()),
            axes: intervals.into_iter().zip(axes).map(of_cells).collect(),
            edges,
            ends,
            gradient_mass: None,
        })
    }

    /// Adds Σ g of each cell, which [`super::ShardRows::add_gradients`] sums.
    ///
    /// # Errors
    /// [`ShardsError::GradientMass`] unless there is a positive number for each cell.
    pub fn with_gradient_mass(self, mass: Vec<f64>) -> Result<Self, ShardsError> {
        if mass.len() != self.len() || !mass.iter().all(|mass| *mass > 0.0) {
            return Err(ShardsError::GradientMass { cells: self.len() });
        }
        Ok(Self { gradient_mass: Some(mass), ..self })
    }

    /// Returns the number of cells; none is empty.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ends.len() / self.shards()
    }

    /// Returns whether there is no cell; never true.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the number of shards.
    #[must_use]
    pub fn shards(&self) -> usize {
        self.edges.len() - 1
    }

    /// Returns the index of the first row of `shard`.
    #[must_use]
    pub fn first_row(&self, shard: usize) -> u64 {
        self.edges[shard]
    }

    /// Returns the number of rows of all shards.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.edges[self.shards()] - self.edges[0]
    }

    /// Returns the features the cells tell apart.
    #[must_use]
    pub fn features(&self) -> &[String] {
        &self.features
    }

    /// Returns the number of rows in `cell`.
    #[must_use]
    pub fn count(&self, cell: usize) -> u64 {
        self.ends[(cell + 1) * self.shards() - 1]
    }

    /// Returns the axes, one a feature.
    #[must_use]
    pub fn axes(&self) -> &[CellAxis] {
        &self.axes
    }

    /// Returns f of `cell`, eq. (7): one quantile a feature.
    pub fn quantiles(&self, cell: usize) -> impl Iterator<Item = f64> + '_ {
        self.axes.iter().map(move |axis| axis.quantile(cell))
    }

    /// Returns which shard has the row at `position` of `cell`, in O(log shards): no rows are needed to tell.
    ///
    /// # Panics
    /// When the cell has no such position.
    #[must_use]
    pub fn place(&self, cell: usize, position: u64) -> ShardPlace {
        let ends = self.ends(cell);
        let shard = ends.partition_point(|&end| end <= position);
        assert!(shard < ends.len(), "position {position} of a cell of {} rows", self.count(cell));
        let position = u32::try_from(position - self.before(cell, shard)).expect("a shard has fewer than 2^32 rows");
        ShardPlace { shard, position }
    }

    /// Returns how many rows of `cell` the shards before `shard` have.
    #[inline]
    pub(super) fn before(&self, cell: usize, shard: usize) -> u64 {
        if shard == 0 { 0 } else { self.ends[cell * self.shards() + shard - 1] }
    }

    /// Returns how many rows of `cell` lie in `shard`.
    #[inline]
    pub(super) fn held(&self, cell: usize, shard: usize) -> u64 {
        self.ends[cell * self.shards() + shard] - self.before(cell, shard)
    }

    fn ends(&self, cell: usize) -> &[u64] {
        &self.ends[cell * self.shards()..(cell + 1) * self.shards()]
    }
}

impl CellStatistics for ShardedCells {
    fn rows(&self) -> u64 {
        self.rows()
    }

    fn counts(&self) -> impl Iterator<Item = u64> {
        self.ends.chunks_exact(self.shards()).map(|ends| ends[ends.len() - 1])
    }

    fn axes(&self) -> &[CellAxis] {
        self.axes()
    }

    fn gradient_mass(&self) -> Option<&[f64]> {
        self.gradient_mass.as_deref()
    }

    fn cdfs(&self) -> &Arc<Vec<EmpiricalCdf>> {
        &self.cdfs
    }
}

/// Returns where each shard begins, and where the last ends.
fn edges(summaries: &[ShardSummary]) -> Result<Vec<u64>, ShardsError> {
    let first = summaries.first().ok_or(ShardsError::None)?;
    let mut edges = vec![first.first_row];
    for (shard, summary) in summaries.iter().enumerate() {
        let (first_row, expected) = (summary.first_row, edges[shard]);
        if first_row != expected {
            return Err(ShardsError::Gap { shard, first_row, expected });
        }
        let end = first_row.saturating_add(summary.rows());
        if end >= ROWS_MAX {
            return Err(ShardsError::TooManyRows(end));
        }
        edges.push(end);
    }
    Ok(edges)
}
