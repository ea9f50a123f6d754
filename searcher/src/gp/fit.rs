//! Maximum a posteriori hyperparameters.

use super::kernel::Scaled;
use super::triangular::Triangle;
use super::{Hyperparameters, JITTER, Mean, Prior};
use crate::lbfgs::{Limits, Minimum, minimise};
use crate::randomness::Randomness;
use crate::vectors::{dot, sum_of};

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
/// The prior of β is normal around 0 with this variance.
const MEAN_VARIANCE: f64 = 10.0;
const RANDOM_STARTS: usize = 3;
/// Observations at most that the starts are compared on; the best goes on with all of them.
const COARSE_MAX: usize = 40;
/// Iterations after which the best [`GOING_ON`] starts are known.
const FIRST_ITERATIONS_MAX: usize = 6;
const GOING_ON: usize = 2;
const COARSE_ITERATIONS_MAX: usize = 20;
const ITERATIONS_MAX: usize = 10;

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
pub fn evidence(points: &[Vec<f64>], standardised: &[f64], hyperparameters: &Hyperparameters) -> Option<Evidence> {
    evidence_and_mean(points, standardised, hyperparameters, None).map(|(evidence, _)| evidence)
}

/// The evidence and β: that of the hyperparameters, or fitted to them.
fn evidence_and_mean(
    points: &[Vec<f64>],
    standardised: &[f64],
    hyperparameters: &Hyperparameters,
    fitted: Option<Mean>,
) -> Option<(Evidence, f64)> {
    let Hyperparameters { kernel, length_scales, noise, mean } = hyperparameters;
    let count = points.len();
    let scaled = Scaled::new(points, length_scales);
    let (mut matrix, mut slopes) = (Triangle::zeros(count), Triangle::zeros(count));
    for a in 0..count {
        let (row, slopes) = (matrix.row_mut(a), slopes.row_mut(a));
        scaled.squared_distances(|j| scaled.column(j)[a], a, row);
        kernel.values_and_slopes(row, slopes);
        row[0] = 1.0 + noise + JITTER;
    }
    let factor = matrix.cholesky()?;
    let mean = fitted.map_or(*mean, |fitted| fitted_mean(fitted, &factor, standardised));
    let residuals: Vec<f64> = standardised.iter().map(|y| y - mean).collect();
    let mut weights = residuals.clone();
    factor.solve_lower(&mut weights);
    factor.solve_upper(&mut weights);
    let log_marginal_likelihood =
        -0.5 * dot(&residuals, &weights) - factor.ln_diagonal() - 0.5 * count as f64 * std::f64::consts::TAU.ln();
    // d/dθ = ½ tr((αα' - K_y⁻¹) dK/dθ); dK/d ln ℓ_j = -2 (Δ_j/ℓ_j)² dk/dr², dK/d ln s² = s² I.
    let inverse = factor.inverse();
    let mut gradient = vec![0.0; length_scales.len()];
    let mut trace = 0.0;
    for a in 0..count {
        let row = slopes.row_mut(a);
        for ((slope, inverse), weight) in row.iter_mut().zip(inverse.row(a)).zip(&weights[a..]) {
            *slope *= -2.0 * (weights[a] * weight - inverse);
        }
        for j in 0..scaled.inverse().len() {
            let column = &scaled.column(j)[a..];
            let x = column[0];
            let slot = if gradient.len() == 1 { 0 } else { j };
            gradient[slot] += sum_of(row, column, |shared, other| shared * ((x - other) * (x - other)));
        }
        trace += weights[a] * weights[a] - inverse.row(a)[0];
    }
    gradient.push(0.5 * noise * trace);
    Some((Evidence { log_marginal_likelihood, gradient }, mean))
}

/// β of greatest posterior density, given the factor of K_y.
fn fitted_mean(fitted: Mean, factor: &Triangle, standardised: &[f64]) -> f64 {
    match fitted {
        Mean::Average => 0.0,
        Mean::Fitted => {
            let (mut ones, mut values) = (vec![1.0; standardised.len()], standardised.to_vec());
            factor.solve_lower(&mut ones);
            factor.solve_lower(&mut values);
            dot(&ones, &values) / (dot(&ones, &ones) + 1.0 / MEAN_VARIANCE)
        }
    }
}

/// Returns the hyperparameters of greatest posterior density.
///
/// Of many observations, [`COARSE_MAX`] spread over all of them decide between the starts and come near the maximum, at a
/// fraction of the cost; from there it is climbed with all of them.
pub(super) fn maximise(prior: Prior, points: &[Vec<f64>], standardised: &[f64], seed: u64) -> Hyperparameters {
    let dimension = points[0].len();
    let scales = if prior.isotropic { 1 } else { dimension };
    let limits = |iterations_max| Limits {
        lower: bounds(scales, LENGTH_SCALE_MIN, NOISE_MIN),
        upper: bounds(scales, LENGTH_SCALE_MAX, NOISE_MAX),
        iterations_max,
        gradient_tolerance: 1e-3,
    };
    let posterior = Posterior { prior, dimension };
    let descend = |points: &[Vec<f64>], standardised: &[f64], start: &[f64], iterations_max| {
        let negative =
            |theta: &[f64], gradient: &mut [f64]| posterior.negative_log_density(points, standardised, theta, gradient);
        minimise(negative, start, &limits(iterations_max))
    };
    let every = points.len().div_ceil(COARSE_MAX);
    let kept = |index: &usize| (points.len() - 1 - index).is_multiple_of(every);
    let coarse: Vec<Vec<f64>> = (0..points.len()).filter(kept).map(|index| points[index].clone()).collect();
    let coarse_standardised: Vec<f64> = (0..points.len()).filter(kept).map(|index| standardised[index]).collect();
    let on_coarse = |start: &[f64], iterations_max| descend(&coarse, &coarse_standardised, start, iterations_max);
    let mut begun: Vec<Minimum> =
        starts(dimension, scales, seed).iter().map(|start| on_coarse(start, FIRST_ITERATIONS_MAX)).collect();
    begun.sort_by(|a, b| a.value.total_cmp(&b.value));
    let best = begun[..GOING_ON]
        .iter()
        .map(|start| on_coarse(&start.point, COARSE_ITERATIONS_MAX))
        .min_by(|a, b| a.value.total_cmp(&b.value))
        .expect("some starts go on");
    let found = posterior.hyperparameters(&descend(points, standardised, &best.point, ITERATIONS_MAX).point);
    let mean = evidence_and_mean(points, standardised, &found, Some(prior.mean)).map_or(0.0, |(_, mean)| mean);
    Hyperparameters { mean, ..found }
}

/// The posterior density of hyperparameters θ = (ln ℓ, ln s²).
#[derive(Debug, Clone, Copy)]
struct Posterior {
    prior: Prior,
    dimension: usize,
}

impl Posterior {
    /// The negative log posterior density without its constants.
    ///
    /// The priors are log-normal densities of ℓ and s² themselves, hence the terms -ln ℓ and -ln s²: without them the
    /// fit drifts to long length scales and the search to a standstill. A mean that is fitted is the one of greatest density
    /// for these θ, so what θ changes of it changes nothing in the gradient.
    fn negative_log_density(
        self,
        points: &[Vec<f64>],
        standardised: &[f64],
        theta: &[f64],
        gradient: &mut [f64],
    ) -> f64 {
        let of_theta = self.hyperparameters(theta);
        let Some((evidence, mean)) = evidence_and_mean(points, standardised, &of_theta, Some(self.prior.mean)) else {
            gradient.fill(0.0);
            return f64::INFINITY;
        };
        let scales = theta.len() - 1;
        let centre = ln_length_scale_centre(self.dimension);
        let mut value = -evidence.log_marginal_likelihood + mean * mean / (2.0 * MEAN_VARIANCE);
        for (j, &ln) in theta.iter().enumerate() {
            let (centre, variance) =
                if j < scales { (centre, LN_LENGTH_SCALE_VARIANCE) } else { (LN_NOISE_CENTRE, 1.0) };
            value += ln + (ln - centre).powi(2) / (2.0 * variance);
            gradient[j] = -evidence.gradient[j] + 1.0 + (ln - centre) / variance;
        }
        value
    }

    fn hyperparameters(self, theta: &[f64]) -> Hyperparameters {
        let (noise, scales) = theta.split_last().expect("θ ends with ln s²");
        let length_scales = scales.iter().map(|ln| ln.exp()).collect();
        Hyperparameters { kernel: self.prior.kernel, length_scales, noise: noise.exp(), mean: 0.0 }
    }
}

/// m = √2 + ½ ln d (Hvarfner et al. 2024): length scales grow with the dimension as distances do.
fn ln_length_scale_centre(dimension: usize) -> f64 {
    std::f64::consts::SQRT_2 + 0.5 * (dimension as f64).ln()
}

fn starts(dimension: usize, scales: usize, seed: u64) -> Vec<Vec<f64>> {
    let centre = ln_length_scale_centre(dimension);
    let uniform = |ln_length_scale: f64, ln_noise: f64| {
        let mut start = vec![ln_length_scale; scales];
        start.push(ln_noise);
        start
    };
    let mode = (centre - LN_LENGTH_SCALE_VARIANCE, LN_NOISE_CENTRE - 1.0);
    let mut starts = vec![uniform(mode.0, mode.1), uniform(0.5f64.ln(), 0.1f64.ln()), uniform(centre, LN_NOISE_CENTRE)];
    let mut randomness = Randomness::new(seed);
    for _ in 0..RANDOM_STARTS {
        let mut start: Vec<f64> =
            (0..scales).map(|_| mode.0 + LN_LENGTH_SCALE_VARIANCE.sqrt() * randomness.normal()).collect();
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gp::Kernel;

    #[test]
    fn the_gradient_agrees_with_finite_differences_for_every_kernel() {
        let mut randomness = Randomness::new(3);
        let points: Vec<Vec<f64>> = (0..12).map(|_| (0..4).map(|_| randomness.uniform()).collect()).collect();
        let standardised: Vec<f64> = points.iter().map(|x| (3.0 * x[0]).sin() + 0.1 * randomness.normal()).collect();
        let cases = [
            (Kernel::SquaredExponential, Mean::Average),
            (Kernel::Matern52, Mean::Average),
            (Kernel::Matern52, Mean::Fitted),
            (Kernel::Matern32, Mean::Fitted),
        ];
        for (kernel, mean) in cases {
            for theta in [&[-0.7, 0.2, -1.1, 0.9, -3.0][..], &[-0.7, -3.0]] {
                let posterior = Posterior { prior: Prior { kernel, isotropic: theta.len() == 2, mean }, dimension: 4 };
                let mut gradient = vec![0.0; theta.len()];
                posterior.negative_log_density(&points, &standardised, theta, &mut gradient);
                for j in 0..theta.len() {
                    let at = |offset: f64| {
                        let mut moved = theta.to_vec();
                        moved[j] += offset;
                        posterior.negative_log_density(&points, &standardised, &moved, &mut vec![0.0; theta.len()])
                    };
                    let difference = (at(1e-5) - at(-1e-5)) / 2e-5;
                    let close = (gradient[j] - difference).abs() < 1e-5 * (1.0 + difference.abs());
                    assert!(close, "{kernel:?} {mean:?} {j}: {difference} {gradient:?}");
                }
            }
        }
    }

    #[test]
    fn the_fitted_mean_counts_observations_close_to_each_other_as_one() {
        // Nine good observations at one place, and one bad one far away.
        let mut points = vec![vec![0.0]; 9];
        points.push(vec![1.0]);
        let values = [&[1.0; 9][..], &[-1.0]].concat();
        let of = |fitted: Mean| {
            let given = Hyperparameters { kernel: Kernel::Matern52, length_scales: vec![0.05], noise: 0.01, mean: 0.0 };
            evidence_and_mean(&points, &values, &given, Some(fitted)).unwrap()
        };
        let (evidence, mean) = of(Mean::Fitted);
        assert!(mean.abs() < 0.02 && of(Mean::Average).1.abs() < 1e-15, "{mean}");
        // No other mean has greater density.
        let density = |mean: f64| {
            let other = Hyperparameters { kernel: Kernel::Matern52, length_scales: vec![0.05], noise: 0.01, mean };
            super::evidence(&points, &values, &other).unwrap().log_marginal_likelihood
                - mean * mean / (2.0 * MEAN_VARIANCE)
        };
        let best = evidence.log_marginal_likelihood - mean * mean / (2.0 * MEAN_VARIANCE);
        assert!((density(mean) - best).abs() < 1e-12 && density(mean + 0.1) < best && density(mean - 0.1) < best);
    }

    #[test]
    fn the_fit_finds_which_dimensions_matter_and_how_noisy_the_objective_is() {
        let mut randomness = Randomness::new(11);
        let points: Vec<Vec<f64>> = (0..60).map(|_| (0..3).map(|_| randomness.uniform()).collect()).collect();
        let sd = 0.7;
        let standardised: Vec<f64> =
            points.iter().map(|x| (6.0 * x[0]).sin() / sd + 0.2 * randomness.normal()).collect();
        let fitted = maximise(Prior::default(), &points, &standardised, 0);
        assert!(fitted.length_scales[0] < 0.6, "{fitted:?}");
        assert!(fitted.length_scales[1] > 2.0 * fitted.length_scales[0], "{fitted:?}");
        assert!((0.01..0.12).contains(&fitted.noise), "{fitted:?}");
    }

    #[test]
    fn replicates_say_what_their_mean_and_their_variance_say() {
        let mut randomness = Randomness::new(5);
        let points: Vec<Vec<f64>> = (0..7).map(|_| (0..2).map(|_| randomness.uniform()).collect()).collect();
        let replicated: Vec<Vec<f64>> = [vec![points[0].clone(); 2], points.clone()].concat();
        let objectives: Vec<f64> = replicated.iter().map(|x| x[0] + 0.1 * randomness.normal()).collect();
        let ln_density = |noise: f64| {
            let hyperparameters =
                Hyperparameters { kernel: Kernel::Matern52, length_scales: vec![0.5], noise, mean: 0.0 };
            evidence(&replicated, &objectives, &hyperparameters).unwrap().log_marginal_likelihood
        };
        // The same by hand: the mean of three, with a third of the noise, in a dense Gaussian density; and χ².
        let mean = objectives[..3].iter().sum::<f64>() / 3.0;
        let squares: f64 = objectives[..3].iter().map(|y| (y - mean).powi(2)).sum();
        let by_hand = |noise: f64| {
            let noise = noise + JITTER;
            let mut matrix = Triangle::zeros(7);
            for a in 0..7 {
                for b in a + 1..7 {
                    let squared: f64 = points[a].iter().zip(&points[b]).map(|(x, y)| (x - y).powi(2)).sum();
                    matrix.row_mut(a)[b - a] = squared / 0.25;
                }
                Kernel::Matern52.values(matrix.row_mut(a));
                matrix.row_mut(a)[0] = 1.0 + if a == 0 { noise / 3.0 } else { noise };
            }
            let factor = matrix.cholesky().unwrap();
            let mut solved: Vec<f64> = [&[mean], &objectives[3..]].concat();
            factor.solve_lower(&mut solved);
            let of_means = -0.5 * dot(&solved, &solved) - factor.ln_diagonal();
            of_means - squares / (2.0 * noise) - noise.ln()
        };
        let constant = ln_density(0.01) - by_hand(0.01);
        for noise in [1e-3, 0.05, 0.7] {
            assert!((ln_density(noise) - by_hand(noise) - constant).abs() < 1e-8, "{noise}");
        }
    }
}
