//! The paper's sampler as a function of features, eq. (5-10): τ̃(x) = H(T(Σ c_j f_j(x))).

use std::borrow::Cow;
use std::sync::Arc;

use crate::cells::CellStatistics;
use crate::empirical_cdf::{EmpiricalCdf, interpolate};
use crate::piecewise::PiecewiseLinear;
use crate::sampler::SamplerError;
use crate::spec::{SwiftSpec, Transform};

/// G is rounded to multiples of 2^-40, and neighbours tie: sums equal on paper differ by less, but may be rounded apart.
const GRID: f64 = (1u64 << 40) as f64;

/// A swift sampler's weight function, usable on examples it was not built from.
///
/// Its tables (the CDFs and T) were taken from the training set when it was built and are part of it.
#[derive(Debug, Clone)]
pub struct SwiftFunction {
    coefficients: Vec<f64>,
    cdfs: Arc<Vec<EmpiricalCdf>>,
    /// Distinct G, ascending, and T at each.
    combined: Vec<f64>,
    transformed: Vec<f64>,
    step: PiecewiseLinear,
}

impl SwiftFunction {
    /// Builds the function and the weight of each cell, in O(cells · log cells). `spec` is canonical.
    pub(crate) fn build(spec: &SwiftSpec, cells: &impl CellStatistics) -> Result<(Self, Vec<f64>), SamplerError> {
        let step = PiecewiseLinear::new(&spec.knots, &spec.values)?;
        let mass: Cow<'_, [f64]> = match spec.transform {
            Transform::Cdf => cells.counts().map(|count| count as f64).collect(),
            Transform::Cgf => cells.gradient_mass().ok_or(SamplerError::NoGradientNorm)?.into(),
        };
        let mut order: Vec<(i64, usize)> =
            (0..cells.len()).map(|cell| (on_grid(combine(&spec.coefficients, cells.quantiles(cell))), cell)).collect();
        order.sort_unstable();

        let total: f64 = order.iter().map(|&(_, cell)| mass[cell]).sum();
        let (mut combined, mut transformed) = (Vec::new(), Vec::new());
        let mut weights = vec![0.0; cells.len()];
        let mut below = 0.0;
        for tied in order.chunk_by(|a, b| b.0 - a.0 <= 1) {
            let own: f64 = tied.iter().map(|&(_, cell)| mass[cell]).sum();
            // Mid-rank: half of a tie's own mass lies below it.
            let t = ((below + 0.5 * own) / total).min(1.0);
            let weight = step.at(t);
            for &(_, cell) in tied {
                weights[cell] = weight;
            }
            below += own;
            combined.push(tied[0].0 as f64 / GRID);
            transformed.push(t);
        }
        let coefficients = spec.coefficients.clone();
        Ok((Self { coefficients, cdfs: Arc::clone(cells.cdfs()), combined, transformed, step }, weights))
    }

    /// Returns T(G(x)) of an example with these raw features, in the spec's order: its place on the axis of H, in [0, 1].
    ///
    /// # Errors
    /// [`SamplerError::FeatureCount`] unless there is one number a feature.
    pub fn place(&self, features: &[f64]) -> Result<f64, SamplerError> {
        if features.len() != self.coefficients.len() {
            return Err(SamplerError::FeatureCount { given: features.len(), expected: self.coefficients.len() });
        }
        let quantiles = self.cdfs.iter().zip(features).map(|(cdf, &raw)| cdf.quantile(raw));
        let combined = on_grid(combine(&self.coefficients, quantiles)) as f64 / GRID;
        Ok(interpolate(&self.combined, &self.transformed, combined))
    }

    /// Returns the weight τ̃, in [0, 1], of an example with these raw features.
    ///
    /// # Errors
    /// [`SamplerError::FeatureCount`] unless there is one number a feature.
    pub fn weight(&self, features: &[f64]) -> Result<f64, SamplerError> {
        self.place(features).map(|place| self.step.at(place))
    }

    /// Returns H.
    #[must_use]
    pub fn step(&self) -> &PiecewiseLinear {
        &self.step
    }
}

/// G, eq. (6).
fn combine(coefficients: &[f64], quantiles: impl Iterator<Item = f64>) -> f64 {
    coefficients.iter().zip(quantiles).map(|(c, f)| c * f).sum()
}

#[allow(clippy::cast_possible_truncation, reason = "|G| ≤ √N, so 2^40 G is far inside i64")]
fn on_grid(combined: f64) -> i64 {
    (combined * GRID).round() as i64
}
