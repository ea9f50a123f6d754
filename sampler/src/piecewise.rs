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
        self.between(right, beyond, u)
    }

    /// Returns H(u), of which `right` knots are below u and `beyond` are not above it.
    #[inline]
    fn between(&self, right: usize, beyond: usize, u: f64) -> f64 {
        if right < beyond {
            let (before, after) = (self.values[right], self.values[beyond - 1]);
            return if beyond - right == 1 { before } else { 0.5 * (before + after) };
        }
        let (e0, e1) = (self.knots[right - 1], self.knots[right]);
        let (v0, v1) = (self.values[right - 1], self.values[right]);
        (v0 + (v1 - v0) * ((u - e0) / (e1 - e0))).max(0.0)
    }

    /// Returns H to be taken at ascending places.
    pub(crate) fn ascending(&self) -> Ascending<'_> {
        Ascending { step: self, right: 0, beyond: 0 }
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

/// H at one place after another, each in O(1) on average.
pub(crate) struct Ascending<'a> {
    step: &'a PiecewiseLinear,
    right: usize,
    beyond: usize,
}

impl Ascending<'_> {
    /// Returns H(u), where u is in [0, 1] and not below the u before.
    #[inline]
    pub(crate) fn at(&mut self, u: f64) -> f64 {
        let knots = &self.step.knots;
        while self.right < knots.len() && knots[self.right] < u {
            self.right += 1;
        }
        while self.beyond < knots.len() && knots[self.beyond] <= u {
            self.beyond += 1;
        }
        self.step.between(self.right, self.beyond, u)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn ascending_places_have_the_values_of_single_ones(
            knots in prop::collection::vec(0u8..11, 1..5),
            mut places in prop::collection::vec(prop_oneof![0.0..=1.0f64, (0u8..11).prop_map(|k| f64::from(k) / 10.0)], 0..50),
            values in prop::collection::vec(0.0..1.0f64, 6),
        ) {
            let knots: Vec<f64> = knots.into_iter().map(|knot| f64::from(knot) / 10.0).collect();
            let step = PiecewiseLinear::new(&knots, &values[..knots.len() + 2]).unwrap();
            places.sort_by(f64::total_cmp);
            let mut ascending = step.ascending();
            for place in places {
                prop_assert_eq!(ascending.at(place).to_bits(), step.at(place).to_bits());
            }
        }
    }
}
