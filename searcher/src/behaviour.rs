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
    /// Gradient mass of each cell; `None` if the dataset has no gradient norms.
    gradient_mass: Option<Vec<f64>>,
    /// The features' quantiles, cell by cell.
    quantiles: Vec<f64>,
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
        Ok(Self {
            features: features.to_vec(),
            shares: (0..cells.len()).map(|cell| f64::from(cells.count(cell)) / rows).collect(),
            gradient_mass: (0..cells.len()).map(|cell| cells.gradient_mass(cell)).collect(),
            quantiles: (0..cells.len()).flat_map(|cell| cells.quantiles(cell).collect::<Vec<f64>>()).collect(),
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
        let combine = |quantiles: &[f64]| -> f64 { quantiles.iter().zip(&spec.coefficients).map(|(f, c)| f * c).sum() };
        let combined: Vec<f64> = self.quantiles.chunks_exact(self.features.len()).map(combine).collect();
        let low = combined.iter().copied().fold(f64::INFINITY, f64::min);
        let high = combined.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        // A little below one interval a bin, so that the highest G is in the last.
        let bins_per_unit = (BINS as f64 - 1e-6) / (high - low).max(f64::MIN_POSITIVE);
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and BINS")]
        let bins: Vec<usize> = combined.iter().map(|g| ((g - low) * bins_per_unit) as usize).collect();
        let mut masses = [0.0; BINS];
        bins.iter().zip(of_cell).for_each(|(bin, mass)| masses[*bin] += mass);
        let heights = heights(&masses, spec);
        let mut mass: Vec<f64> = bins.iter().zip(&self.shares).map(|(bin, share)| heights[*bin] * share).collect();
        let total: f64 = mass.iter().sum();
        if total <= 0.0 {
            return None;
        }
        mass.iter_mut().for_each(|mass| *mass /= total);
        Some(mass)
    }

    fn moments(&self, mass: &[f64]) -> Vec<f64> {
        let features = self.features.len();
        let mut coordinates = vec![0.0; self.dimension()];
        let (means, spreads) = coordinates.split_at_mut(features);
        for (mass, quantiles) in mass.iter().zip(self.quantiles.chunks_exact(features)) {
            let mut slots = spreads.iter_mut();
            for (j, f) in quantiles.iter().enumerate() {
                means[j] += mass * f;
                quantiles[..=j].iter().zip(&mut slots).for_each(|(other, slot)| *slot += mass * f * other);
            }
        }
        let pairs = (0..features).flat_map(|j| (0..=j).map(move |k| (j, k)));
        for (slot, (j, k)) in spreads.iter_mut().zip(pairs) {
            *slot = SPREAD_SCALE * (*slot - means[j] * means[k]);
        }
        let squares: f64 = mass.iter().zip(&self.shares).map(|(mass, share)| mass * mass / share).sum();
        *coordinates.last_mut().expect("the size is a coordinate") = 1.0 - LN_SIZE_SCALE * squares.ln();
        coordinates
    }
}

/// H at the middle rank T of each interval of G, which hold these gradient masses.
fn heights(masses: &[f64; BINS], spec: &SwiftSpec) -> [f64; BINS] {
    let total: f64 = masses.iter().sum();
    let knot = |index: usize| match index {
        0 => 0.0,
        _ => spec.knots.get(index - 1).copied().unwrap_or(1.0),
    };
    let (mut below, mut segment) = (0.0, 0);
    masses.map(|own| {
        let t = (below + 0.5 * own) / total;
        below += own;
        while segment < spec.knots.len() && t > knot(segment + 1) {
            segment += 1;
        }
        let (start, end) = (knot(segment), knot(segment + 1));
        let along = if end > start { ((t - start) / (end - start)).clamp(0.0, 1.0) } else { 0.5 };
        spec.values[segment] + along * (spec.values[segment + 1] - spec.values[segment])
    })
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
