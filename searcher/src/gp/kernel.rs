//! Stationary kernels of unit variance, as functions of the squared distance r² between points in units of length scales.

use serde::{Deserialize, Serialize};

/// How correlation falls with distance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kernel {
    /// exp(-r²/2): infinitely smooth.
    #[default]
    SquaredExponential,
    /// (1 + s + s²/3) exp(-s), s = √5 r: twice differentiable.
    Matern52,
    /// (1 + s) exp(-s), s = √3 r: once differentiable.
    Matern32,
}

impl Kernel {
    /// Returns the correlation at r².
    #[must_use]
    pub fn value(self, squared: f64) -> f64 {
        self.value_and_slope(squared).0
    }

    /// Returns the correlation at r², and its slope by r².
    #[must_use]
    pub fn value_and_slope(self, squared: f64) -> (f64, f64) {
        match self {
            Self::SquaredExponential => {
                let value = (-0.5 * squared).exp();
                (value, -0.5 * value)
            }
            Self::Matern52 => {
                let s = (5.0 * squared).sqrt();
                let decay = (-s).exp();
                ((1.0 + s + s * s / 3.0) * decay, -5.0 / 6.0 * (1.0 + s) * decay)
            }
            Self::Matern32 => {
                let s = (3.0 * squared).sqrt();
                let decay = (-s).exp();
                ((1.0 + s) * decay, -1.5 * decay)
            }
        }
    }
}

/// Points in units of length scales, one after another.
#[derive(Debug, Clone)]
pub(super) struct Scaled {
    dimension: usize,
    inverse: Vec<f64>,
    coordinates: Vec<f64>,
}

impl Scaled {
    /// One length scale holds for all dimensions, else there is one a dimension.
    pub(super) fn new(points: &[Vec<f64>], length_scales: &[f64]) -> Self {
        let dimension = points.first().map_or(0, Vec::len);
        let inverse: Vec<f64> = match length_scales {
            [shared] => vec![1.0 / shared; dimension],
            scales => scales.iter().map(|scale| 1.0 / scale).collect(),
        };
        let mut scaled = Self { dimension, inverse, coordinates: Vec::with_capacity(points.len() * dimension) };
        points.iter().for_each(|point| scaled.push(point));
        scaled
    }

    pub(super) fn push(&mut self, point: &[f64]) {
        self.coordinates.extend(point.iter().zip(&self.inverse).map(|(x, inverse)| x * inverse));
    }

    pub(super) fn point(&self, index: usize) -> &[f64] {
        &self.coordinates[index * self.dimension..(index + 1) * self.dimension]
    }

    pub(super) fn scale(&self, point: &[f64]) -> Vec<f64> {
        point.iter().zip(&self.inverse).map(|(x, inverse)| x * inverse).collect()
    }

    pub(super) fn inverse(&self) -> &[f64] {
        &self.inverse
    }
}

/// r² of two scaled points.
pub(super) fn squared_distance(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(x, y)| (x - y) * (x - y)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn correlations_begin_at_one_fall_and_have_the_slope_of_finite_differences() {
        for kernel in [Kernel::SquaredExponential, Kernel::Matern52, Kernel::Matern32] {
            assert!((kernel.value(0.0) - 1.0).abs() < 1e-15);
            for squared in [0.01, 0.3, 2.0, 9.0] {
                let (value, slope) = kernel.value_and_slope(squared);
                let difference = (kernel.value(squared + 1e-6) - kernel.value(squared - 1e-6)) / 2e-6;
                assert!(value < 1.0 && value > 0.0 && (slope - difference).abs() < 1e-7, "{kernel:?} {squared}");
            }
        }
    }
}
