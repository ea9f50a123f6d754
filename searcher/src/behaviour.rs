//! What a sampler does, in a few numbers: the coordinates the surrogate sees.
//!
//! Many points of the cube are one sampler (the scales of c and v cancel, mirror images coincide, knots do not matter
//! where H is flat), and a small step may change everything or nothing. What a sampler does to the data has none of
//! these: the mean of each feature's quantile under it, their spread and correlation, and how many examples it uses
//! decide how a training goes, and nearby values train alike. So 40 trials teach the surrogate enough, which
//! `tests/search_quality.rs` holds.
//!
//! A proposal looks at a thousand samplers, so they are not built: the examples are 2^9 coarse cells at most, and T is
//! taken by counting their gradient mass into `BINS` intervals of G. That takes a few microseconds.

use crate::vectors::{dot, sum_of};
use swift_sampler::{Cells, FeatureTable, FeatureTableError, Resolution, SamplerSpec, SwiftSpec, Transform};

/// Bits of a cell, shared by the features: samplers are compared on at most this many coarse cells.
const CELL_BITS: u32 = 9;
/// Intervals of G in which T is told apart.
const BINS: usize = 512;
/// Variances and covariances of quantiles are at most 1/4; these many make them as wide as the means.
const SPREAD_SCALE: f64 = 6.0;
/// ln(ESS / n) in units of the means' range: e^-4 of the examples at 0, all of them at 1.
const LN_SIZE_SCALE: f64 = 0.25;

/// Why a dataset's behaviour cannot be described.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum BehaviourError {
    /// A feature is not a column.
    #[error(transparent)]
    Table(#[from] FeatureTableError),
}

/// Describes samplers over one dataset.
#[derive(Debug, Clone)]
pub struct Behaviour {
    features: Vec<String>,
    /// Share of examples in each cell.
    shares: Vec<f64>,
    inverse_shares: Vec<f64>,
    /// Gradient mass of each cell; `None` if the dataset has no gradient norms.
    gradient_mass: Option<Vec<f64>>,
    /// Each feature's quantile of each cell.
    quantiles: Vec<Vec<f64>>,
    /// The products of features j and k ≤ j in each cell, in the order (0,0), (1,0), (1,1), (2,0), …
    products: Vec<(usize, usize, Vec<f64>)>,
}

impl Behaviour {
    /// Groups the examples into coarse cells of `features`, in O(N · n log n).
    ///
    /// # Errors
    /// [`BehaviourError`] when a feature or the gradient norm is not a column.
    #[allow(clippy::needless_pass_by_value, reason = "a large table is freed as soon as it is described")]
    pub fn new(table: FeatureTable, features: &[String], gradient_norm: Option<&str>) -> Result<Self, BehaviourError> {
        let bits = CELL_BITS / u32::try_from(features.len()).unwrap_or(CELL_BITS).max(1);
        let cells = Cells::build(&table, features, gradient_norm, Resolution::Bits(bits.max(1)))?;
        let rows = cells.rows() as f64;
        let shares: Vec<f64> = (0..cells.len()).map(|cell| f64::from(cells.count(cell)) / rows).collect();
        let mut quantiles = vec![Vec::with_capacity(cells.len()); features.len()];
        for cell in 0..cells.len() {
            quantiles.iter_mut().zip(cells.quantiles(cell)).for_each(|(column, quantile)| column.push(quantile));
        }
        let product = |j: usize, k: usize| quantiles[j].iter().zip(&quantiles[k]).map(|(f, g)| f * g).collect();
        let pairs = (0..features.len()).flat_map(|j| (0..=j).map(move |k| (j, k)));
        let products = pairs.map(|(j, k)| (j, k, product(j, k))).collect();
        Ok(Self {
            features: features.to_vec(),
            inverse_shares: shares.iter().map(|share| 1.0 / share).collect(),
            shares,
            gradient_mass: (0..cells.len()).map(|cell| cells.gradient_mass(cell)).collect(),
            quantiles,
            products,
        })
    }

    /// Returns the number of coordinates: N means, N (N + 1) / 2 spreads and the effective sample size.
    #[must_use]
    pub fn dimension(&self) -> usize {
        let features = self.features.len();
        features + features * (features + 1) / 2 + 1
    }

    /// Returns what `sampler` does, as numbers of order one, in O(cells); `None` if it draws nothing, or is not over these
    /// features.
    #[must_use]
    pub fn coordinates(&self, sampler: &SamplerSpec) -> Option<Vec<f64>> {
        match sampler {
            SamplerSpec::Uniform {} => Some(self.moments(&self.shares)),
            SamplerSpec::Swift(spec) if spec.features == self.features => Some(self.moments(&self.mass(spec)?)),
            SamplerSpec::Swift(_) | SamplerSpec::Column { .. } => None,
        }
    }

    /// The probability of each cell; `None` if that of all is zero.
    fn mass(&self, spec: &SwiftSpec) -> Option<Vec<f64>> {
        let of_cell = match spec.transform {
            Transform::Cdf => &self.shares,
            Transform::Cgf => self.gradient_mass.as_ref()?,
        };
        let mut combined = vec![0.0; self.shares.len()];
        for (column, coefficient) in self.quantiles.iter().zip(&spec.coefficients) {
            combined.iter_mut().zip(column).for_each(|(sum, quantile)| *sum += quantile * coefficient);
        }
        let low = combined.iter().copied().fold(f64::INFINITY, |low, g| if g < low { g } else { low });
        let high = combined.iter().copied().fold(f64::NEG_INFINITY, |high, g| if g > high { g } else { high });
        // A little below one interval a bin, so that the highest G is in the last.
        let bins_per_unit = (BINS as f64 - 1e-6) / (high - low).max(f64::MIN_POSITIVE);
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and BINS")]
        let bins: Vec<u16> = combined.iter().map(|g| ((g - low) * bins_per_unit) as u16).collect();
        let mut masses = [0.0; BINS];
        bins.iter().zip(of_cell).for_each(|(bin, mass)| masses[usize::from(*bin)] += mass);
        let heights = heights(&masses, spec);
        let mut mass = combined;
        for ((mass, bin), share) in mass.iter_mut().zip(&bins).zip(&self.shares) {
            *mass = heights[usize::from(*bin)] * share;
        }
        let total: f64 = sum_of(&mass, &mass, |mass, _| mass);
        if total <= 0.0 {
            return None;
        }
        let per_total = 1.0 / total;
        mass.iter_mut().for_each(|mass| *mass *= per_total);
        Some(mass)
    }

    fn moments(&self, mass: &[f64]) -> Vec<f64> {
        let mut coordinates = Vec::with_capacity(self.dimension());
        coordinates.extend(self.quantiles.iter().map(|column| dot(mass, column)));
        for (j, k, column) in &self.products {
            coordinates.push(SPREAD_SCALE * (dot(mass, column) - coordinates[*j] * coordinates[*k]));
        }
        let squares = sum_of(mass, &self.inverse_shares, |mass, inverse| mass * mass * inverse);
        coordinates.push(1.0 - LN_SIZE_SCALE * squares.ln());
        coordinates
    }
}

/// H at the middle rank T of each interval of G, which hold these gradient masses.
fn heights(masses: &[f64; BINS], spec: &SwiftSpec) -> [f64; BINS] {
    let total: f64 = sum_of(masses, masses, |mass, _| mass);
    // T in units of mass, so that nothing is divided in the loop.
    let knot = |index: usize| match index {
        0 => 0.0,
        _ => total * spec.knots.get(index - 1).copied().unwrap_or(1.0),
    };
    let segment_from = |index: usize| {
        let (start, end, rise) = (knot(index), knot(index + 1), spec.values[index + 1] - spec.values[index]);
        let slope = if end > start { rise / (end - start) } else { 0.0 };
        let first = if end > start { spec.values[index] } else { spec.values[index] + 0.5 * rise };
        (start, end, first, slope)
    };
    let (mut below, mut segment) = (0.0, 0);
    let (mut start, mut end, mut first, mut slope) = segment_from(0);
    let mut heights = [0.0; BINS];
    for (height, own) in heights.iter_mut().zip(masses) {
        let t = below + 0.5 * own;
        below += own;
        while segment < spec.knots.len() && t > end {
            segment += 1;
            (start, end, first, slope) = segment_from(segment);
        }
        // Rounding may bring the last one beyond the end.
        *height = first + (t.min(end) - start) * slope;
    }
    heights
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::landscape::Landscape;
    use swift_sampler::{Dataset, Sampler};

    #[test]
    fn coordinates_are_those_of_the_sampler_that_is_drawn_from() {
        let landscape = Landscape::new(6);
        let (space, table) = (landscape.space(), landscape.table());
        let behaviour = Behaviour::new(table.clone(), &space.features, Some("grad_norm")).unwrap();
        let cells = Cells::build(table, &space.features, Some("grad_norm"), Resolution::Bits(4)).unwrap();
        let coarse = Dataset::from_stored(table.clone(), Some("grad_norm".to_owned()), cells).unwrap();
        for index in 0..300 {
            let spec = space.sampler(&space.cube().sobol(index, 8)).unwrap();
            let sampler = Sampler::build(&spec, &coarse).unwrap();
            let cells = sampler.cells();
            let mass: Vec<f64> =
                (0..cells.len()).map(|cell| sampler.cell_probability(cell) * f64::from(cells.count(cell))).collect();
            let found = behaviour.coordinates(&spec).unwrap();
            for (found, exact) in found.iter().zip(behaviour.moments(&mass)) {
                assert!((found - exact).abs() < 0.02, "{spec:?}: {found} {exact}");
            }
        }
    }

    #[test]
    fn the_uniform_sampler_uses_every_example_whichever_way_it_is_written() {
        let landscape = Landscape::new(6);
        let space = landscape.space();
        let behaviour = Behaviour::new(landscape.table().clone(), &space.features, Some("grad_norm")).unwrap();
        let uniform = behaviour.coordinates(&SamplerSpec::Uniform {}).unwrap();
        let flat = space.sampler(&[0.9, 0.2, 0.2, 0.5, 0.7, 0.6, 0.6, 0.6, 0.6, 0.6]).unwrap();
        let written = behaviour.coordinates(&flat).unwrap();
        assert!(uniform.iter().zip(&written).all(|(a, b)| (a - b).abs() < 1e-9), "{uniform:?} {written:?}");
        assert!((uniform[5] - 1.0).abs() < 1e-9 && (uniform[0] - 0.5).abs() < 0.01, "{uniform:?}");
    }
}
