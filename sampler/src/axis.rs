//! One feature cut into intervals: what cells tell apart along it.
//!
//! An axis is made from the feature's distinct values in ascending order, wherever they were sorted: in memory or in
//! files. It depends on nothing else, so both make the same axis, to the bit.

use std::sync::Arc;

use crate::empirical_cdf::{CdfBuilder, EmpiricalCdf};
use crate::resolution::Resolution;

/// Values looked up at once, so that their steps through the thresholds overlap.
const LANES: usize = 16;

/// Makes an [`Axis`] of distinct values pushed ascending.
#[derive(Debug)]
pub struct AxisBuilder {
    rows: u64,
    resolution: Resolution,
    /// Rows pushed so far.
    below: u64,
    /// Number of the last interval among all there could be, empty ones included; `None`: the next value begins one.
    interval: Option<u64>,
    /// Σ quantile and rows of the last interval.
    sum: f64,
    count: u64,
    thresholds: Vec<f64>,
    quantiles: Vec<f64>,
    cdf: CdfBuilder,
}

impl AxisBuilder {
    /// Most rows, those of many shards together. Their distinct values are fewer than 2^32 where cells are exact.
    pub const ROWS_MAX: u64 = 1 << 40;

    /// Starts an axis of a feature of `rows` rows.
    ///
    /// # Panics
    /// When the rows are none or more than [`Self::ROWS_MAX`], or the resolution has more than [`Resolution::BITS_MAX`] bits.
    #[must_use]
    pub fn new(rows: u64, resolution: Resolution) -> Self {
        assert!((1..=Self::ROWS_MAX).contains(&rows), "a feature of {rows} rows");
        if let Resolution::Bits(bits) = resolution {
            assert!(bits <= Resolution::BITS_MAX, "an axis of {bits} bits");
        }
        Self {
            rows,
            resolution,
            below: 0,
            interval: None,
            sum: 0.0,
            count: 0,
            thresholds: Vec::new(),
            quantiles: Vec::new(),
            cdf: CdfBuilder::new(rows, resolution),
        }
    }

    /// Takes the next distinct value, larger than the one before, with the number of rows that have it. -0 and 0 are one
    /// value.
    ///
    /// # Panics
    /// When values do not ascend, the count is 0, counts exceed the rows, or exact values are 2^32.
    pub fn push(&mut self, value: f64, count: u64) {
        // Adding zero makes -0 equal to 0, as they tie.
        let value = value + 0.0;
        assert!(self.thresholds.last().is_none_or(|last| *last < value), "{value} is not above the value before it");
        assert!(count > 0 && count <= self.rows - self.below, "{count} rows of value {value}");
        self.below += count;
        let share = self.below as f64 / self.rows as f64;
        self.cdf.push(value, count);
        let Resolution::Bits(bits) = self.resolution else {
            assert!(u32::try_from(self.thresholds.len()).is_ok_and(|len| len < u32::MAX), "2^32 distinct values");
            self.thresholds.push(value);
            return;
        };
        // Shares are in (0, 1]; interval i holds (i / 2^bits, (i + 1) / 2^bits].
        let interval = ((self.below << bits) - 1) / self.rows;
        if self.interval != Some(interval) {
            (self.interval, self.sum, self.count) = (Some(interval), 0.0, 0);
            self.thresholds.push(value);
            self.quantiles.push(share);
        }
        // An interval stands for the mean of its rows' quantiles.
        self.sum += share * count as f64;
        self.count += count;
        let last = self.thresholds.len() - 1;
        self.thresholds[last] = value;
        self.quantiles[last] = self.sum / self.count as f64;
    }

    /// Ends the last interval, so that no larger value is in it.
    pub(crate) fn cut(&mut self) {
        self.interval = None;
    }

    /// Returns the axis.
    ///
    /// # Panics
    /// When the values pushed are not those of all rows.
    #[must_use]
    pub fn finish(self) -> Axis {
        assert!(self.below == self.rows, "an axis of {} rows has {} values", self.rows, self.below);
        let cdf = self.cdf.finish();
        let quantiles = match self.resolution {
            Resolution::Exact => Arc::clone(cdf.shared_shares()),
            Resolution::Bits(_) => Arc::new(self.quantiles),
        };
        Axis { resolution: self.resolution, thresholds: self.thresholds, quantiles, cdf }
    }
}

/// A feature's values cut into intervals, numbered from 0 ascending; none is empty.
#[derive(Debug, Clone, PartialEq)]
pub struct Axis {
    resolution: Resolution,
    /// The largest value of each interval.
    thresholds: Vec<f64>,
    /// Those of exact cells are the CDF's shares.
    quantiles: Arc<Vec<f64>>,
    cdf: EmpiricalCdf,
}

impl Axis {
    /// Sorts a column and cuts it, in O(n log n).
    ///
    /// # Panics
    /// When the column is empty or has 2^32 rows or more; a [`crate::FeatureTable`] has neither.
    #[must_use]
    pub fn of_column(column: &[f64], resolution: Resolution) -> Self {
        let mut builder = AxisBuilder::new(column.len() as u64, resolution);
        for (value, count) in distinct_values(&sorted(column)) {
            builder.push(value, count);
        }
        builder.finish()
    }

    /// Returns how finely the feature is told apart.
    #[must_use]
    pub fn resolution(&self) -> Resolution {
        self.resolution
    }

    /// Returns the number of intervals.
    #[must_use]
    pub fn len(&self) -> usize {
        self.thresholds.len()
    }

    /// Returns whether there is no interval; never true.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.thresholds.is_empty()
    }

    /// Returns the quantile that each interval stands for: the mean of its rows' quantiles, in (0, 1].
    #[must_use]
    pub fn quantiles(&self) -> &Arc<Vec<f64>> {
        &self.quantiles
    }

    /// Returns the feature's CDF.
    #[must_use]
    pub fn cdf(&self) -> &EmpiricalCdf {
        &self.cdf
    }

    /// Returns the interval of `value`, in O(log intervals); the last one beyond all values.
    #[must_use]
    pub fn interval(&self, value: f64) -> u32 {
        let mut interval = [0];
        self.intervals_into(&[value], &mut interval);
        interval[0]
    }

    /// Writes the interval of each of `values`, as [`Self::interval`] returns it, faster.
    ///
    /// # Panics
    /// When the slices differ in length.
    pub fn intervals_into(&self, values: &[f64], intervals: &mut [u32]) {
        assert!(values.len() == intervals.len(), "one interval a value");
        for (values, intervals) in values.chunks(LANES).zip(intervals.chunks_mut(LANES)) {
            let mut block = [0.0; LANES];
            block[..values.len()].copy_from_slice(values);
            intervals.copy_from_slice(&self.block_intervals(&block)[..values.len()]);
        }
    }

    /// Searches for all values in step, without a branch that depends on them.
    #[allow(clippy::cast_possible_truncation, reason = "an axis has fewer intervals than 2^32")]
    fn block_intervals(&self, values: &[f64; LANES]) -> [u32; LANES] {
        let mut first = [0u32; LANES];
        let mut len = self.thresholds.len();
        while len > 1 {
            let half = len / 2;
            for (first, value) in first.iter_mut().zip(values) {
                let lies_above = self.thresholds[*first as usize + half - 1] < *value;
                *first += u32::from(lies_above) * half as u32;
            }
            len -= half;
        }
        first
    }
}

/// Returns a column's values, ascending.
pub(crate) fn sorted(column: &[f64]) -> Vec<f64> {
    // Adding zero makes -0 equal to 0, as they tie.
    let mut sorted: Vec<f64> = column.iter().map(|value| value + 0.0).collect();
    sorted.sort_unstable_by(f64::total_cmp);
    sorted
}

/// Returns the distinct values of a sorted column, and how often each occurs.
pub(crate) fn distinct_values(sorted: &[f64]) -> impl Iterator<Item = (f64, u64)> + '_ {
    sorted.chunk_by(|a, b| a.total_cmp(b).is_eq()).map(|tied| (tied[0], tied.len() as u64))
}
