//! What a sampler does, in a few numbers: the coordinates the surrogate sees.
//!
//! Many points of the cube are one sampler (the scales of c and v cancel, mirror images coincide, knots do not matter
//! where H is flat), and a small step may change everything or nothing. What a sampler does to the data has none of
//! these: the mean of each feature's quantile under it, their spread and correlation, and how many examples it uses
//! decide how a training goes, and nearby values train alike. So 40 trials teach the surrogate enough, which
//! `tests/search_quality.rs` holds.

use swift_sampler::{Cells, Dataset, DatasetError, FeatureTable, FeatureTableError, Resolution, Sampler, SamplerSpec};

/// Bits of a cell, shared by the features: samplers are compared on at most this many coarse cells.
const CELL_BITS: u32 = 9;
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
    /// The columns are not a dataset.
    #[error(transparent)]
    Dataset(#[from] DatasetError),
}

/// Describes samplers over one dataset.
#[derive(Debug, Clone)]
pub struct Behaviour {
    coarse: Dataset,
    /// Share of examples in each cell.
    shares: Vec<f64>,
}

impl Behaviour {
    /// Groups the examples into coarse cells of `features`, in O(N · n log n).
    ///
    /// # Errors
    /// [`BehaviourError`] when a feature or the gradient norm is not a column.
    pub fn new(table: FeatureTable, features: &[String], gradient_norm: Option<&str>) -> Result<Self, BehaviourError> {
        let bits = CELL_BITS / u32::try_from(features.len()).unwrap_or(CELL_BITS).max(1);
        let bits = bits.max(1);
        let cells = Cells::build(&table, features, gradient_norm, Resolution::Bits(bits))?;
        let shares = (0..cells.len()).map(|cell| f64::from(cells.count(cell)) / cells.rows() as f64).collect();
        Ok(Self { coarse: Dataset::from_stored(table, gradient_norm.map(str::to_owned), cells)?, shares })
    }

    /// Returns the number of coordinates: N means, N (N + 1) / 2 spreads and the effective sample size.
    #[must_use]
    pub fn dimension(&self) -> usize {
        let features = self.coarse.features().len();
        features + features * (features + 1) / 2 + 1
    }

    /// Returns what `sampler` does, as numbers of order one, in O(cells · log cells); `None` if it draws nothing, or is not
    /// over these features.
    #[must_use]
    pub fn coordinates(&self, sampler: &SamplerSpec) -> Option<Vec<f64>> {
        let mass: Vec<f64> = match sampler {
            SamplerSpec::Uniform {} => self.shares.clone(),
            SamplerSpec::Swift(spec) if spec.features == self.coarse.features() => {
                let sampler = Sampler::build(sampler, &self.coarse).ok()?;
                let cells = sampler.cells();
                (0..cells.len()).map(|cell| sampler.cell_probability(cell) * f64::from(cells.count(cell))).collect()
            }
            SamplerSpec::Swift(_) | SamplerSpec::Column { .. } => return None,
        };
        Some(self.moments(&mass))
    }

    fn moments(&self, mass: &[f64]) -> Vec<f64> {
        let (cells, features) = (self.coarse.cells(), self.coarse.features().len());
        let weighted = |value: &dyn Fn(&[f64]) -> f64| -> f64 {
            let mut quantiles = vec![0.0; features];
            let of_cell = |(cell, mass): (usize, &f64)| {
                quantiles.iter_mut().zip(cells.quantiles(cell)).for_each(|(slot, quantile)| *slot = quantile);
                mass * value(&quantiles)
            };
            mass.iter().enumerate().map(of_cell).sum()
        };
        let means: Vec<f64> = (0..features).map(|j| weighted(&|quantiles| quantiles[j])).collect();
        let mut coordinates = means.clone();
        for j in 0..features {
            for k in 0..=j {
                let spread = weighted(&|quantiles| (quantiles[j] - means[j]) * (quantiles[k] - means[k]));
                coordinates.push(SPREAD_SCALE * spread);
            }
        }
        let squares: f64 = mass.iter().zip(&self.shares).map(|(mass, share)| mass * mass / share).sum();
        coordinates.push(1.0 - LN_SIZE_SCALE * squares.ln());
        coordinates
    }
}
