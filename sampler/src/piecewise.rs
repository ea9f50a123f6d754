//! H, the piecewise linear function of eq. (8, 9).

use crate::spec::SpecError;

/// A piecewise linear function on [0, 1], through value `v_i` at knot `e_i`, with `e_0 = 0` and `e_S = 1`.
///
/// Where knots coincide the function jumps; at the jump it takes the middle, so that mirroring it left to right
/// mirrors it everywhere.
#[derive(Debug, Clone, PartialEq)]
pub struct PiecewiseLinear {
    knots: Vec<f64>,
    values: Vec<f64>,
}

impl PiecewiseLinear {
    /// Builds H from its S-1 inner knots, in any order, and its S+1 values.
    ///
    /// # Errors
    /// [`SpecError`] when the counts do not fit or a number is outside [0, 1].
    pub fn new(inner_knots: &[f64], values: &[f64]) -> Result<Self, SpecError> {
        if inner_knots.is_empty() || values.len() != inner_knots.len() + 2 {
            return Err(SpecError::SegmentCount { knots: inner_knots.len(), values: values.len() });
        }
        for (field, numbers) in [("knots", inner_knots), ("values", values)] {
            if let Some(index) = numbers.iter().position(|x| !(0.0..=1.0).contains(x)) {
                return Err(SpecError::OutOfRange { field, index, value: numbers[index], low: 0.0, high: 1.0 });
            }
        }
        let mut knots = vec![0.0];
        knots.extend_from_slice(inner_knots);
        knots.push(1.0);
        knots.sort_unstable_by(f64::total_cmp);
        Ok(Self { knots, values: values.to_vec() })
    }

    /// Returns H(u) for u in [0, 1], in O(log S).
    #[must_use]
    pub fn at(&self, u: f64) -> f64 {
        let u = u.clamp(0.0, 1.0);
        let right = self.knots.partition_point(|&knot| knot < u);
        let beyond = self.knots.partition_point(|&knot| knot <= u);
        if right < beyond {
            let (before, after) = (self.values[right], self.values[beyond - 1]);
            return if beyond - right == 1 { before } else { 0.5 * (before + after) };
        }
        let (e0, e1) = (self.knots[right - 1], self.knots[right]);
        let (v0, v1) = (self.values[right - 1], self.values[right]);
        (v0 + (v1 - v0) * ((u - e0) / (e1 - e0))).max(0.0)
    }

    /// Returns the S+1 knots, ends included.
    #[must_use]
    pub fn knots(&self) -> &[f64] {
        &self.knots
    }

    /// Returns the S+1 values.
    #[must_use]
    pub fn values(&self) -> &[f64] {
        &self.values
    }
}
