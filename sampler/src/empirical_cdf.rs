//! The empirical cumulative distribution of a feature, eq. (7), as an interpolated table.

/// Points a table keeps; beyond, evenly spaced ones are kept and the error is below the inverse of this.
const POINTS_MAX: usize = 1 << 20;

/// f(x): the share of examples whose raw feature is at most that of x.
///
/// Exact at the values it was built from (up to 2^20 distinct ones), linear in between, so that it applies to values
/// never seen and is Lipschitz, as the paper's approximation bound (A.1) assumes. Clamped beyond both ends.
#[derive(Debug, Clone, PartialEq)]
pub struct EmpiricalCdf {
    values: Vec<f64>,
    shares: Vec<f64>,
}

impl EmpiricalCdf {
    /// Builds the table from a column and returns, beside it, the rank of each row's value among the distinct ones
    /// together with the share of each distinct value, in O(n log n).
    ///
    /// # Panics
    /// When the column is empty or has 2^32 rows or more; a [`crate::FeatureTable`] has neither.
    #[must_use]
    pub fn from_column(column: &[f64]) -> (Self, Ranks) {
        assert!(!column.is_empty(), "a feature table has rows");
        let rows = u32::try_from(column.len()).expect("a feature table has fewer than 2^32 rows");
        // Adding zero makes -0 equal to 0, as they tie.
        let value = |row: u32| column[row as usize] + 0.0;
        let mut order: Vec<u32> = (0..rows).collect();
        order.sort_unstable_by(|&a, &b| value(a).total_cmp(&value(b)));
        let mut rank = vec![0u32; column.len()];
        let (mut values, mut shares) = (Vec::new(), Vec::new());
        let mut below = 0;
        for group in order.chunk_by(|&a, &b| value(a).total_cmp(&value(b)).is_eq()) {
            let distinct = u32::try_from(values.len()).expect("no more distinct values than rows");
            for &row in group {
                rank[row as usize] = distinct;
            }
            below += group.len();
            values.push(value(group[0]));
            shares.push(below as f64 / column.len() as f64);
        }
        let ranks = Ranks { of_row: rank, share: shares.clone() };
        (Self::thinned(values, shares), ranks)
    }

    /// Restores a table from [`Self::values`] and [`Self::shares`]; `None` unless both are equally long, not empty and
    /// strictly ascending.
    #[must_use]
    pub fn from_points(values: Vec<f64>, shares: Vec<f64>) -> Option<Self> {
        let ascending = |points: &[f64]| points.windows(2).all(|pair| pair[0] < pair[1]);
        let valid = !values.is_empty() && values.len() == shares.len() && ascending(&values) && ascending(&shares);
        valid.then_some(Self { values, shares })
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

    /// Returns the quantile of `value`, in (0, 1], in O(log points).
    #[must_use]
    pub fn quantile(&self, value: f64) -> f64 {
        interpolate(&self.values, &self.shares, value)
    }

    fn thinned(values: Vec<f64>, shares: Vec<f64>) -> Self {
        let len = values.len();
        if len <= POINTS_MAX {
            return Self { values, shares };
        }
        let kept = (0..POINTS_MAX).map(|point| point * (len - 1) / (POINTS_MAX - 1));
        let (values, shares) = kept.map(|index| (values[index], shares[index])).unzip();
        Self { values, shares }
    }
}

/// The dense ranks of a column's rows.
#[derive(Debug, Clone)]
pub struct Ranks {
    /// For each row, the position of its value among the distinct values, ascending.
    pub of_row: Vec<u32>,
    /// For each distinct value, the share of rows at or below it.
    pub share: Vec<f64>,
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
        let (cdf, ranks) = EmpiricalCdf::from_column(&[3.0, 1.0, 3.0, 2.0]);
        assert_eq!(ranks.of_row, [2, 0, 2, 1]);
        assert_eq!(ranks.share, [0.25, 0.5, 1.0]);
        assert_eq!([1.0, 2.0, 3.0].map(|x| cdf.quantile(x)), [0.25, 0.5, 1.0]);
    }

    #[test]
    fn zero_and_minus_zero_tie() {
        let (cdf, ranks) = EmpiricalCdf::from_column(&[0.0, -0.0, 1.0, -0.0]);
        assert_eq!(ranks.of_row, [0, 0, 1, 0]);
        assert!(EmpiricalCdf::from_points(cdf.values().to_vec(), cdf.shares().to_vec()).is_some());
        assert_eq!(cdf.quantile(-0.0), 0.75);
    }

    #[test]
    fn unseen_values_are_interpolated_and_clamped() {
        let (cdf, _) = EmpiricalCdf::from_column(&[0.0, 1.0]);
        assert_eq!([-9.0, 0.5, 9.0].map(|x| cdf.quantile(x)), [0.5, 0.75, 1.0]);
    }

    #[test]
    fn a_thinned_table_keeps_both_ends() {
        let len = POINTS_MAX + 1000;
        let values: Vec<f64> = (0..len).map(|i| i as f64).collect();
        let shares: Vec<f64> = (1..=len).map(|i| i as f64 / len as f64).collect();
        let cdf = EmpiricalCdf::thinned(values, shares);
        assert_eq!(cdf.values().len(), POINTS_MAX);
        assert_eq!(cdf.quantile((len - 1) as f64), 1.0);
        assert_eq!(cdf.quantile(0.0), 1.0 / len as f64);
        assert!((cdf.quantile(700_000.5) - 700_001.5 / len as f64).abs() < 1e-6);
    }
}
