//! The empirical cumulative distribution of a feature, eq. (7), as an interpolated table.

use std::sync::Arc;

use crate::axis::{distinct_values, sorted};
use crate::resolution::Resolution;

/// Shares that the table of a quantised feature tells apart: 2^16, far more than its intervals. A table of exact cells
/// keeps every value.
const QUANTISED_SHARES: u64 = 1 << 16;

/// f(x): the share of examples whose raw feature is at most that of x.
///
/// Exact at the values it was built from while there are at most 2^20 rows, within 2^-16 at those of more; linear in
/// between, so that it applies to values never seen and is Lipschitz, as the paper's approximation bound (A.1) assumes.
/// Clamped beyond both ends.
#[derive(Debug, Clone, PartialEq)]
pub struct EmpiricalCdf {
    values: Arc<Vec<f64>>,
    shares: Arc<Vec<f64>>,
}

impl EmpiricalCdf {
    /// Builds the exact table of a column, in O(n log n).
    ///
    /// # Panics
    /// When the column is empty; a [`crate::FeatureTable`] has rows.
    #[must_use]
    pub fn from_column(column: &[f64]) -> Self {
        assert!(!column.is_empty(), "a feature table has rows");
        let mut builder = CdfBuilder::new(column.len() as u64, Resolution::Exact);
        for (value, count) in distinct_values(&sorted(column)) {
            builder.push(value, count);
        }
        builder.finish()
    }

    /// Restores a table from [`Self::values`] and [`Self::shares`]; `None` unless both are equally long, not empty and
    /// strictly ascending.
    #[must_use]
    pub fn from_points(values: Vec<f64>, shares: Vec<f64>) -> Option<Self> {
        let ascending = |points: &[f64]| points.windows(2).all(|pair| pair[0] < pair[1]);
        let valid = !values.is_empty() && values.len() == shares.len() && ascending(&values) && ascending(&shares);
        valid.then(|| Self { values: Arc::new(values), shares: Arc::new(shares) })
    }

    /// Returns the distinct values of the table, ascending.
    #[must_use]
    pub fn values(&self) -> &[f64] {
        &self.values
    }

    /// Returns the share of examples at or below each of [`Self::values`].
    #[must_use]
    pub fn shares(&self) -> &[f64] {
        &self.shares
    }

    /// Returns [`Self::shares`] to hold on to.
    pub(crate) fn shared_shares(&self) -> &Arc<Vec<f64>> {
        &self.shares
    }

    /// Returns the quantile of `value`, in (0, 1], in O(log points).
    #[must_use]
    pub fn quantile(&self, value: f64) -> f64 {
        interpolate(&self.values, &self.shares, value)
    }
}

/// Makes an [`EmpiricalCdf`] of distinct values pushed ascending, keeping only the points it needs as they come.
#[derive(Debug)]
pub(crate) struct CdfBuilder {
    rows: u64,
    resolution: Resolution,
    below: u64,
    /// Rows at or below the last point kept.
    kept: u64,
    /// The last point with the rows at or below it, if it was not kept.
    passed: Option<(f64, u64)>,
    values: Vec<f64>,
    shares: Vec<f64>,
}

impl CdfBuilder {
    pub(crate) fn new(rows: u64, resolution: Resolution) -> Self {
        Self { rows, resolution, below: 0, kept: 0, passed: None, values: Vec::new(), shares: Vec::new() }
    }

    /// Takes the next distinct value and the number of rows that have it. What a quantised table passes over lies between
    /// two points that are less than 2^-16 apart.
    pub(crate) fn push(&mut self, value: f64, count: u64) {
        self.below += count;
        if self.is_apart()
            && let Some((value, below)) = self.passed.take()
        {
            self.keep(value, below);
        }
        if self.is_apart() { self.keep(value, self.below) } else { self.passed = Some((value, self.below)) }
    }

    fn is_apart(&self) -> bool {
        let (first, exact) = (self.values.is_empty(), self.resolution == Resolution::Exact);
        first || exact || (self.below - self.kept) * QUANTISED_SHARES >= self.rows
    }

    fn keep(&mut self, value: f64, below: u64) {
        self.values.push(value);
        self.shares.push(below as f64 / self.rows as f64);
        self.kept = below;
    }

    pub(crate) fn finish(mut self) -> EmpiricalCdf {
        if let Some((value, below)) = self.passed.take() {
            self.keep(value, below);
        }
        EmpiricalCdf { values: Arc::new(self.values), shares: Arc::new(self.shares) }
    }
}

/// Interpolates linearly in a table with ascending `xs`, clamped at both ends.
pub(crate) fn interpolate(xs: &[f64], ys: &[f64], x: f64) -> f64 {
    let right = xs.partition_point(|&point| point < x);
    if right == 0 {
        return ys[0];
    }
    if right == xs.len() {
        return ys[right - 1];
    }
    // At a point of the table the fraction is one and the value exact.
    let fraction = (x - xs[right - 1]) / (xs[right] - xs[right - 1]);
    if fraction >= 1.0 { ys[right] } else { ys[right - 1] + (ys[right] - ys[right - 1]) * fraction }
}

#[cfg(test)]
#[allow(clippy::float_cmp, reason = "shares of few examples are exact")]
mod tests {
    use super::*;

    #[test]
    fn ties_take_the_share_at_or_below_them() {
        let cdf = EmpiricalCdf::from_column(&[3.0, 1.0, 3.0, 2.0]);
        assert_eq!([1.0, 2.0, 3.0].map(|x| cdf.quantile(x)), [0.25, 0.5, 1.0]);
    }

    #[test]
    fn zero_and_minus_zero_tie() {
        let cdf = EmpiricalCdf::from_column(&[0.0, -0.0, 1.0, -0.0]);
        assert!(EmpiricalCdf::from_points(cdf.values().to_vec(), cdf.shares().to_vec()).is_some());
        assert_eq!(cdf.quantile(-0.0), 0.75);
    }

    #[test]
    fn unseen_values_are_interpolated_and_clamped() {
        let cdf = EmpiricalCdf::from_column(&[0.0, 1.0]);
        assert_eq!([-9.0, 0.5, 9.0].map(|x| cdf.quantile(x)), [0.5, 0.75, 1.0]);
    }

    #[test]
    fn a_thinned_table_is_within_2_to_the_minus_16_at_every_value_also_beside_jumps() {
        let rows = 1_000_000;
        let mut builder = CdfBuilder::new(rows, Resolution::Bits(10));
        let (mut below, mut shares) = (0, Vec::new());
        while below < rows {
            // Every 1000th value is that of a thousand rows.
            let count = if shares.len() % 1000 == 999 { 1000.min(rows - below) } else { 1 };
            below += count;
            builder.push(shares.len() as f64, count);
            shares.push(below as f64 / rows as f64);
        }
        let cdf = builder.finish();
        assert!(cdf.values().len() < 70_000 && cdf.values().is_sorted());
        assert_eq!((cdf.quantile(0.0), cdf.quantile(shares.len() as f64)), (1.0 / rows as f64, 1.0));
        for (value, share) in shares.iter().enumerate() {
            assert!((cdf.quantile(value as f64) - share).abs() <= 1.0 / QUANTISED_SHARES as f64);
        }
    }
}
