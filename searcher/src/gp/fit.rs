//! Maximum a posteriori hyperparameters.

use super::kernel::correlation_matrix;
use super::{Hyperparameters, with_noise};
use crate::lbfgs::{Limits, minimise};
use crate::randomness::Randomness;
use nalgebra::{Cholesky, DMatrix, DVector};

/// Bounds of ℓ, in units of the cube's side.
const LENGTH_SCALE_MIN: f64 = 0.025;
const LENGTH_SCALE_MAX: f64 = 1e3;
/// Bounds of s², in units of the standardised objective's variance.
const NOISE_MIN: f64 = 1e-4;
const NOISE_MAX: f64 = 1e1;
/// The prior of ln s² is normal around this with variance 1.
const LN_NOISE_CENTRE: f64 = -4.0;
/// The prior of ln ℓ is normal around [`ln_length_scale_centre`] with this variance.
const LN_LENGTH_SCALE_VARIANCE: f64 = 3.0;
const RANDOM_STARTS: usize = 4;
const ITERATIONS_MAX: usize = 100;

/// What observations say about hyperparameters.
#[derive(Debug, Clone)]
pub struct Evidence {
    /// ln p(ỹ | ℓ, s²), with its constant -n/2 ln 2π.
    pub log_marginal_likelihood: f64,
    /// Its slope by ln ℓ_j, and last by ln s².
    pub gradient: Vec<f64>,
}

/// Returns the log marginal likelihood of standardised objectives and its gradient, in O(n³ + n² d); `None` when the
/// kernel matrix has no Cholesky factor.
#[must_use]
pub fn evidence(
    points: &[Vec<f64>],
    standardised: &DVector<f64>,
    hyperparameters: &Hyperparameters,
) -> Option<Evidence> {
    let Hyperparameters { length_scales, noise } = hyperparameters;
    let correlations = correlation_matrix(points, length_scales);
    let factor = Cholesky::new(with_noise(correlations.clone(), *noise))?;
    let weights = factor.solve(standardised);
    let count = points.len();
    let ln_determinant_half: f64 = factor.l_dirty().diagonal().iter().map(|entry| entry.ln()).sum();
    let log_marginal_likelihood =
        -0.5 * standardised.dot(&weights) - ln_determinant_half - 0.5 * count as f64 * std::f64::consts::TAU.ln();
    // d/dθ = ½ tr((αα' - K_y⁻¹) dK/dθ); dK/d ln ℓ_j = K ∘ (Δ_j/ℓ_j)², dK/d ln s² = s² I.
    let inner: DMatrix<f64> = &weights * weights.transpose() - factor.inverse();
    let mut gradient = vec![0.0; length_scales.len() + 1];
    for a in 0..count {
        for b in 0..a {
            let shared = inner[(a, b)] * correlations[(a, b)];
            for (j, scale) in length_scales.iter().enumerate() {
                gradient[j] += shared * ((points[a][j] - points[b][j]) / scale).powi(2);
            }
        }
    }
    gradient[length_scales.len()] = 0.5 * noise * inner.trace();
    Some(Evidence { log_marginal_likelihood, gradient })
}

/// Returns the hyperparameters of greatest posterior density.
pub(super) fn maximise(points: &[Vec<f64>], standardised: &DVector<f64>, seed: u64) -> Hyperparameters {
    let dimension = points[0].len();
    let limits = Limits {
        lower: bounds(dimension, LENGTH_SCALE_MIN, NOISE_MIN),
        upper: bounds(dimension, LENGTH_SCALE_MAX, NOISE_MAX),
        iterations_max: ITERATIONS_MAX,
        gradient_tolerance: 1e-5,
    };
    let negative =
        |theta: &[f64], gradient: &mut [f64]| -> f64 { negative_log_posterior(points, standardised, theta, gradient) };
    starts(dimension, seed)
        .iter()
        .map(|start| minimise(negative, start, &limits))
        .min_by(|a, b| a.value.total_cmp(&b.value))
        .map(|best| hyperparameters(&best.point))
        .expect("there are starts")
}

/// The negative log posterior density by θ = (ln ℓ, ln s²), without its constants.
///
/// The priors are log-normal densities of ℓ and s² themselves, hence the terms -ln ℓ and -ln s²: without them the
/// fit drifts to long length scales and the search to a standstill.
fn negative_log_posterior(
    points: &[Vec<f64>],
    standardised: &DVector<f64>,
    theta: &[f64],
    gradient: &mut [f64],
) -> f64 {
    let Some(evidence) = evidence(points, standardised, &hyperparameters(theta)) else {
        gradient.fill(0.0);
        return f64::INFINITY;
    };
    let dimension = theta.len() - 1;
    let centre = ln_length_scale_centre(dimension);
    let mut value = -evidence.log_marginal_likelihood;
    for (j, &ln) in theta.iter().enumerate() {
        let (centre, variance) =
            if j < dimension { (centre, LN_LENGTH_SCALE_VARIANCE) } else { (LN_NOISE_CENTRE, 1.0) };
        value += ln + (ln - centre).powi(2) / (2.0 * variance);
        gradient[j] = -evidence.gradient[j] + 1.0 + (ln - centre) / variance;
    }
    value
}

/// m = √2 + ½ ln d (Hvarfner et al. 2024): length scales grow with the dimension as distances do.
fn ln_length_scale_centre(dimension: usize) -> f64 {
    std::f64::consts::SQRT_2 + 0.5 * (dimension as f64).ln()
}

fn starts(dimension: usize, seed: u64) -> Vec<Vec<f64>> {
    let centre = ln_length_scale_centre(dimension);
    let uniform = |ln_length_scale: f64, ln_noise: f64| {
        let mut start = vec![ln_length_scale; dimension];
        start.push(ln_noise);
        start
    };
    let mode = (centre - LN_LENGTH_SCALE_VARIANCE, LN_NOISE_CENTRE - 1.0);
    let mut starts = vec![uniform(mode.0, mode.1), uniform(0.5f64.ln(), 0.1f64.ln()), uniform(centre, LN_NOISE_CENTRE)];
    let mut randomness = Randomness::new(seed);
    for _ in 0..RANDOM_STARTS {
        let mut start: Vec<f64> =
            (0..dimension).map(|_| mode.0 + LN_LENGTH_SCALE_VARIANCE.sqrt() * randomness.normal()).collect();
        start.push(mode.1 + randomness.normal());
        starts.push(start);
    }
    starts
}

fn bounds(dimension: usize, length_scale: f64, noise: f64) -> Vec<f64> {
    let mut bounds = vec![length_scale.ln(); dimension];
    bounds.push(noise.ln());
    bounds
}

fn hyperparameters(theta: &[f64]) -> Hyperparameters {
    let (noise, length_scales) = theta.split_last().expect("θ ends with ln s²");
    Hyperparameters { length_scales: length_scales.iter().map(|ln| ln.exp()).collect(), noise: noise.exp() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gradient_agrees_with_finite_differences() {
        let mut randomness = Randomness::new(3);
        let points: Vec<Vec<f64>> = (0..12).map(|_| (0..4).map(|_| randomness.uniform()).collect()).collect();
        let standardised = DVector::from_fn(12, |i, _| (3.0 * points[i][0]).sin() + 0.1 * randomness.normal());
        let theta = [-0.7, 0.2, -1.1, 0.9, -3.0];
        let mut gradient = [0.0; 5];
        negative_log_posterior(&points, &standardised, &theta, &mut gradient);
        for j in 0..theta.len() {
            let at = |offset: f64| {
                let mut moved = theta;
                moved[j] += offset;
                negative_log_posterior(&points, &standardised, &moved, &mut [0.0; 5])
            };
            let difference = (at(1e-5) - at(-1e-5)) / 2e-5;
            assert!(
                (gradient[j] - difference).abs() < 1e-5 * (1.0 + difference.abs()),
                "{j}: {difference} {gradient:?}"
            );
        }
    }

    #[test]
    fn the_fit_finds_which_dimensions_matter_and_how_noisy_the_objective_is() {
        let mut randomness = Randomness::new(11);
        let points: Vec<Vec<f64>> = (0..60).map(|_| (0..3).map(|_| randomness.uniform()).collect()).collect();
        let clean: Vec<f64> = points.iter().map(|x| (6.0 * x[0]).sin()).collect();
        let sd = 0.7;
        let standardised = DVector::from_fn(60, |i, _| clean[i] / sd + 0.2 * randomness.normal());
        let fitted = maximise(&points, &standardised, 0);
        assert!(fitted.length_scales[0] < 0.6, "{fitted:?}");
        assert!(fitted.length_scales[1] > 2.0 * fitted.length_scales[0], "{fitted:?}");
        assert!((0.01..0.12).contains(&fitted.noise), "{fitted:?}");
    }
}
