//! Stationary kernels of unit variance, as functions of the squared distance r² between points in units of length scales.

use serde::{Deserialize, Serialize};

use crate::vectors::exp_of_negative;

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
    /// Replaces each r² by the correlation there.
    pub(super) fn values(self, squared: &mut [f64]) {
        match self {
            Self::SquaredExponential => squared.iter_mut().for_each(|entry| *entry = squared_exponential(*entry).0),
            Self::Matern52 => squared.iter_mut().for_each(|entry| *entry = matern52(*entry).0),
            Self::Matern32 => squared.iter_mut().for_each(|entry| *entry = matern32(*entry).0),
        }
    }

    /// Replaces each r² by the correlation there, and writes its slope by r².
    pub(super) fn values_and_slopes(self, squared: &mut [f64], slopes: &mut [f64]) {
        let both = squared.iter_mut().zip(slopes);
        match self {
            Self::SquaredExponential => both.for_each(|(entry, slope)| (*entry, *slope) = squared_exponential(*entry)),
            Self::Matern52 => both.for_each(|(entry, slope)| (*entry, *slope) = matern52(*entry)),
            Self::Matern32 => both.for_each(|(entry, slope)| (*entry, *slope) = matern32(*entry)),
        }
    }
}

fn squared_exponential(squared: f64) -> (f64, f64) {
    let value = exp_of_negative(-0.5 * squared);
    (value, -0.5 * value)
}

fn matern52(squared: f64) -> (f64, f64) {
    let s = (5.0 * squared).sqrt();
    let decay = exp_of_negative(-s);
    ((1.0 + s + 5.0 / 3.0 * squared) * decay, -5.0 / 6.0 * (1.0 + s) * decay)
}

fn matern32(squared: f64) -> (f64, f64) {
    let s = (3.0 * squared).sqrt();
    let decay = exp_of_negative(-s);
    ((1.0 + s) * decay, -1.5 * decay)
}

/// Points in units of length scales, one coordinate of all points after another.
#[derive(Debug, Clone)]
pub(super) struct Scaled {
    inverse: Vec<f64>,
    columns: Vec<Vec<f64>>,
}

impl Scaled {
    /// One length scale holds for all dimensions, else there is one a dimension.
    pub(super) fn new(points: &[Vec<f64>], length_scales: &[f64]) -> Self {
        let dimension = points.first().map_or(0, Vec::len);
        let inverse: Vec<f64> = match length_scales {
            [shared] => vec![1.0 / shared; dimension],
            scales => scales.iter().map(|scale| 1.0 / scale).collect(),
        };
        let column = |(j, inverse): (usize, &f64)| points.iter().map(|point| point[j] * inverse).collect();
        let columns = inverse.iter().enumerate().map(column).collect();
        Self { inverse, columns }
    }

    pub(super) fn push(&mut self, point: &[f64]) {
        for ((column, x), inverse) in self.columns.iter_mut().zip(point).zip(&self.inverse) {
            column.push(x * inverse);
        }
    }

    /// Coordinate j of all points.
    pub(super) fn column(&self, j: usize) -> &[f64] {
        &self.columns[j]
    }

    pub(super) fn scale(&self, point: &[f64]) -> Vec<f64> {
        point.iter().zip(&self.inverse).map(|(x, inverse)| x * inverse).collect()
    }

    pub(super) fn inverse(&self) -> &[f64] {
        &self.inverse
    }

    /// Writes r² between a scaled point and the points from `first` on.
    pub(super) fn squared_distances(&self, at: impl Fn(usize) -> f64, first: usize, squared: &mut [f64]) {
        squared.fill(0.0);
        for (j, column) in self.columns.iter().enumerate() {
            let x = at(j);
            for (sum, other) in squared.iter_mut().zip(&column[first..]) {
                *sum += (x - other) * (x - other);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn correlations_begin_at_one_fall_and_have_the_slope_of_finite_differences() {
        for kernel in [Kernel::SquaredExponential, Kernel::Matern52, Kernel::Matern32] {
            let value_and_slope = |squared: f64| {
                let (mut value, mut slope) = ([squared], [0.0]);
                kernel.values_and_slopes(&mut value, &mut slope);
                (value[0], slope[0])
            };
            let at = |squared: f64| {
                let mut value = [squared];
                kernel.values(&mut value);
                value[0]
            };
            assert!((at(0.0) - 1.0).abs() < 1e-15);
            for squared in [0.01, 0.3, 2.0, 9.0] {
                let (value, slope) = value_and_slope(squared);
                let difference = (at(squared + 1e-6) - at(squared - 1e-6)) / 2e-6;
                assert!(value < 1.0 && value > 0.0 && (slope - difference).abs() < 1e-7, "{kernel:?} {squared}");
            }
        }
    }
}
