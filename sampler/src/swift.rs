//! The paper's sampler as a function of features, eq. (5-10): τ̃(x) = H(T(Σ c_j f_j(x))).

mod grid;
mod mid_ranks;

use std::borrow::Cow;
use std::sync::Arc;

use self::grid::EXACT_UNITS;
use self::mid_ranks::Ranked;
use crate::cells::{CellAxis, CellStatistics};
use crate::empirical_cdf::{EmpiricalCdf, interpolate};
use crate::piecewise::PiecewiseLinear;
use crate::resolution::EXACT_ROWS_MAX;
use crate::sampler::SamplerError;
use crate::spec::{SwiftSpec, Transform};

/// A swift sampler's weight function, usable on examples it was not built from.
///
/// Its tables (the CDFs and T) were taken from the training set when it was built and are part of it.
#[derive(Debug, Clone)]
pub struct SwiftFunction {
    coefficients: Vec<f64>,
    cdfs: Arc<Vec<EmpiricalCdf>>,
    /// Whether G is rounded to the exact grid, else to the coarse one.
    exact: bool,
    /// Distinct G, ascending, and T at each.
    combined: Vec<f64>,
    transformed: Vec<f64>,
    step: PiecewiseLinear,
}

impl SwiftFunction {
    /// Builds the function and the weight of each cell: in O(cells · log cells) while cells are exact, in O(cells) beyond.
    /// `spec` is canonical.
    pub(crate) fn build(spec: &SwiftSpec, cells: &impl CellStatistics) -> Result<(Self, Vec<f64>), SamplerError> {
        let step = PiecewiseLinear::new(&spec.knots, &spec.values)?;
        let mass: Cow<'_, [f64]> = match spec.transform {
            Transform::Cdf => cells.counts().map(|count| count as f64).collect(),
            Transform::Cgf => cells.gradient_mass().ok_or(SamplerError::NoGradientNorm)?.into(),
        };
        let combined = combine_cells(&spec.coefficients, cells.axes(), mass.len());
        let exact = cells.rows() <= EXACT_ROWS_MAX as u64;
        let ranked = if exact {
            mid_ranks::by_sorting(&combined, &mass, &step)
        } else {
            mid_ranks::by_counting(combined, &mass, &step)
        };
        let (coefficients, cdfs) = (spec.coefficients.clone(), Arc::clone(cells.cdfs()));
        let Ranked { combined, transformed, weights } = ranked;
        Ok((Self { coefficients, cdfs, exact, combined, transformed, step }, weights))
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
        let combined = combine(&self.coefficients, quantiles);
        let combined = if self.exact {
            grid::exact(combined) as f64 / EXACT_UNITS
        } else {
            grid::coarse_centre(grid::coarse(combined))
        };
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

/// G of each of so many cells.
fn combine_cells(coefficients: &[f64], axes: &[CellAxis], cells: usize) -> Vec<f64> {
    let mut combined = vec![0.0; cells];
    for (coefficient, axis) in coefficients.iter().zip(axes) {
        let terms: Vec<f64> = axis.quantiles().iter().map(|quantile| coefficient * quantile).collect();
        for (combined, &interval) in combined.iter_mut().zip(axis.intervals()) {
            *combined += terms[interval as usize];
        }
    }
    combined
}
