//! Acquisition functions: what a point promises, given what the surrogate believes there.

use serde::{Deserialize, Serialize};

use crate::gp::Posterior;

/// How κ weighs what is unknown against what is known to be good.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Exploration {
    /// The same κ throughout.
    Kappa(f64),
    /// κ_t = √(2 ln(t^{d/2+2} π² / 3δ)) with δ = 0.1 (Brochu et al. 2010), which grows with the number of observations
    /// t; in 40 trials of 10 dimensions it explores nearly at random. For fidelity to the paper.
    Brochu,
    /// κ falls evenly from 1.8 to 0 over the budget.
    Decay,
}

impl Exploration {
    /// κ of a study that does not say otherwise.
    pub const DEFAULT: Self = Self::Kappa(1.8);
    /// κ = 3, preset `explore`: for many evaluations, or good regions that may lie far apart.
    pub const EXPLORE: Self = Self::Kappa(3.0);
    /// κ = 0.5, preset `exploit`: stays near what is known to be good; for few evaluations with little noise.
    pub const EXPLOIT: Self = Self::Kappa(0.5);

    /// Returns κ after `observations` of a search of `budget` evaluations.
    #[must_use]
    pub fn kappa(self, observations: usize, budget: usize, dimension: usize) -> f64 {
        match self {
            Self::Kappa(kappa) => kappa,
            Self::Brochu => {
                let t = observations.max(1) as f64;
                let power = dimension as f64 / 2.0 + 2.0;
                (2.0 * (power * t.ln() + (std::f64::consts::PI.powi(2) / (3.0 * 0.1)).ln())).sqrt()
            }
            Self::Decay => 1.8 * budget.saturating_sub(observations) as f64 / budget.max(1) as f64,
        }
    }
}

/// An acquisition function with the number it needs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Promise {
    /// μ + κσ.
    UpperConfidenceBound(f64),
    /// ln E[max(f - best, 0)], where `best` is the best posterior mean of an evaluated point (Ament et al. 2023).
    LogExpectedImprovement(f64),
}

/// z below which the tail of the normal distribution is summed by its asymptotic series.
const TAIL: f64 = -12.0;
/// Least σ, so that an exactly known point promises little rather than nothing defined.
const SD_MIN: f64 = 1e-12;

impl Promise {
    /// Returns the promise of a posterior, and its slopes by μ and by σ.
    pub(crate) fn of(self, posterior: Posterior) -> (f64, f64, f64) {
        match self {
            Self::UpperConfidenceBound(kappa) => (posterior.mean + kappa * posterior.sd, 1.0, kappa),
            Self::LogExpectedImprovement(best) => {
                let sd = posterior.sd.max(SD_MIN);
                let (ln_h, above, density) = improvement((posterior.mean - best) / sd);
                (sd.ln() + ln_h, above / sd, density / sd)
            }
        }
    }
}

/// ln h(z), Φ(z)/h(z) and φ(z)/h(z) for h(z) = φ(z) + z Φ(z), the expected improvement of a standard normal.
fn improvement(z: f64) -> (f64, f64, f64) {
    let ln_density = -0.5 * (z * z + std::f64::consts::TAU.ln());
    if z > TAIL {
        let (density, cumulative) = (ln_density.exp(), 0.5 * complementary_error(-z / std::f64::consts::SQRT_2));
        let h = density + z * cumulative;
        (h.ln(), cumulative / h, density / h)
    } else {
        // h = φ (1 - 3/z² + 15/z⁴ …) / z², Φ = -φ (1 - 1/z² + 3/z⁴ …) / z.
        let inverse = 1.0 / (z * z);
        let per_h = z * z / (1.0 - 3.0 * inverse + 15.0 * inverse * inverse);
        (ln_density - per_h.ln(), -per_h * (1.0 - inverse + 3.0 * inverse * inverse) / z, per_h)
    }
}

/// erfc, for |x| below 5 to 10^-15: the series of erf near 0, the continued fraction beyond.
fn complementary_error(x: f64) -> f64 {
    let z = x.abs();
    let tail = if z < 2.0 {
        let (mut term, mut sum) = (z, z);
        for n in 1..60 {
            term *= -z * z / f64::from(n);
            sum += term / f64::from(2 * n + 1);
        }
        1.0 - 2.0 / std::f64::consts::PI.sqrt() * sum
    } else {
        let fraction = (1..80).rev().fold(z, |below, n| z + 0.5 * f64::from(n) / below);
        (-z * z).exp() / (fraction * std::f64::consts::PI.sqrt())
    };
    if x >= 0.0 { tail } else { 2.0 - tail }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_complementary_error_function_has_its_known_values() {
        // From Python's math.erfc.
        let known = [
            (0.0, 1.0),
            (0.5, 0.479_500_122_186_953_5),
            (1.9, 0.007_209_570_764_742_524),
            (2.1, 0.002_979_466_656_333_059),
            (4.0, 1.541_725_790_028_002e-8),
            (-1.0, 1.842_700_792_949_715),
        ];
        for (x, expected) in known {
            assert!((complementary_error(x) / expected - 1.0).abs() < 1e-11, "{x}: {}", complementary_error(x));
        }
    }

    #[test]
    fn slopes_are_those_of_finite_differences_also_far_below_the_best() {
        for promise in [Promise::UpperConfidenceBound(1.8), Promise::LogExpectedImprovement(0.8)] {
            for (mean, sd) in [(0.85, 0.02), (0.8, 0.1), (0.7, 0.02), (0.5, 0.02), (0.2, 0.01)] {
                let at = |mean: f64, sd: f64| promise.of(Posterior { mean, sd }).0;
                let (_, by_mean, by_sd) = promise.of(Posterior { mean, sd });
                let step = 1e-7;
                let differences = [
                    (at(mean + step, sd) - at(mean - step, sd)) / (2.0 * step),
                    (at(mean, sd + step) - at(mean, sd - step)) / (2.0 * step),
                ];
                for (slope, difference) in [by_mean, by_sd].into_iter().zip(differences) {
                    let close = (slope - difference).abs() < 2e-3 * (1.0 + difference.abs());
                    assert!(close, "{promise:?} at {mean} ± {sd}: {slope} {difference}");
                }
            }
        }
    }

    #[test]
    fn the_tail_joins_without_a_step() {
        let (near, far) = (improvement(TAIL + 1e-9).0, improvement(TAIL - 1e-9).0);
        assert!((near - far).abs() < 1e-4, "{near} {far}");
    }

    #[test]
    fn brochus_kappa_grows_and_decay_ends_at_zero() {
        assert!(Exploration::Brochu.kappa(40, 40, 10) > Exploration::Brochu.kappa(10, 40, 10));
        assert!((Exploration::DEFAULT.kappa(40, 40, 10) - 1.8).abs() < 1e-12);
        assert!((Exploration::Decay.kappa(10, 40, 10) - 1.35).abs() < 1e-12);
        assert!(Exploration::Decay.kappa(40, 40, 10).abs() < 1e-12);
    }
}
