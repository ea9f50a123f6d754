//! One feature of every cell.

use std::sync::Arc;

/// One feature of every cell: an interval, and the quantile that it stands for. A quantile takes 8 bytes an interval, not
/// a cell.
#[derive(Debug, Clone, PartialEq)]
pub struct CellAxis {
    intervals: Vec<u32>,
    quantiles: Arc<Vec<f64>>,
}

impl CellAxis {
    /// Takes the interval of each cell and the quantile of each interval.
    #[must_use]
    pub fn new(intervals: Vec<u32>, quantiles: Arc<Vec<f64>>) -> Self {
        Self { intervals, quantiles }
    }

    /// Takes the quantile of each cell, as stores of format 1 have them, in O(cells · log cells).
    #[must_use]
    #[allow(clippy::cast_possible_truncation, reason = "there are fewer cells than 2^32")]
    pub fn of_quantiles(of_cell: &[f64]) -> Self {
        let mut quantiles = of_cell.to_vec();
        quantiles.sort_unstable_by(f64::total_cmp);
        quantiles.dedup_by(|a, b| a.total_cmp(b).is_eq());
        let interval = |quantile: &f64| quantiles.partition_point(|below| below.total_cmp(quantile).is_lt()) as u32;
        let intervals = of_cell.iter().map(interval).collect();
        Self { intervals, quantiles: Arc::new(quantiles) }
    }

    /// Returns the interval of each cell.
    #[must_use]
    pub fn intervals(&self) -> &[u32] {
        &self.intervals
    }

    /// Returns the quantile of each interval, in (0, 1].
    #[must_use]
    pub fn quantiles(&self) -> &[f64] {
        &self.quantiles
    }

    /// Returns the quantile of `cell`.
    #[inline]
    #[must_use]
    pub fn quantile(&self, cell: usize) -> f64 {
        self.quantiles[self.intervals[cell] as usize]
    }

    /// Says what is wrong with it for so many cells.
    pub(super) fn check(&self, cells: usize) -> Result<(), &'static str> {
        if self.intervals.len() != cells {
            return Err("the intervals do not match the cells");
        }
        if !self.intervals.iter().all(|&interval| (interval as usize) < self.quantiles.len()) {
            return Err("a cell's interval has no quantile");
        }
        if !self.quantiles.iter().all(|quantile| *quantile > 0.0 && *quantile <= 1.0) {
            return Err("a quantile is outside (0, 1]");
        }
        Ok(())
    }
}
