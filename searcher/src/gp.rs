//! The surrogate: a Gaussian process with a stationary kernel, one length scale a dimension or one for all, a constant
//! mean ([`Mean`]), and noise that is estimated with the rest.
//!
//! Replicates need no treatment of their own. The density of m observations at one point is that of their mean, whose
//! noise is s²/m, times the scaled χ² density of their variance around it; so the likelihood has in it what replicates
//! say about the noise, and weighs it against what all other points say.

mod fit;
mod kernel;
mod triangular;

pub use fit::{Evidence, evidence};

pub use kernel::Kernel;

use serde::{Deserialize, Serialize};

use crate::vectors::{dot, sum_of};
use kernel::Scaled;
use triangular::{SIDES, Transposed, Triangle};

/// Added to the diagonal besides the noise, so that repeated points never make the matrix singular.
pub const JITTER: f64 = 1e-6;

/// What the surrogate believes of a point far from all observed ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mean {
    /// What was observed on average. A search observes good points for the most part, so this promises too much of what is
    /// unknown.
    #[default]
    Average,
    /// Fitted with the rest: β = 1ᵀ K_y⁻¹ ỹ / (1ᵀ K_y⁻¹ 1 + 1/10), where observations close to each other count as one. The
    /// last term is the prior, normal with variance 10.
    Fitted,
}

/// What is assumed before there are observations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Prior {
    /// How correlation falls with distance.
    pub kernel: Kernel,
    /// Whether all dimensions share a length scale.
    pub isotropic: bool,
    /// What is believed far from all observations.
    pub mean: Mean,
}

/// What a Gaussian process needs beside the data.
#[derive(Debug, Clone, PartialEq)]
pub struct Hyperparameters {
    /// How correlation falls with distance.
    pub kernel: Kernel,
    /// ℓ: one length scale a dimension, or a single one for all, in units of the cube's side.
    pub length_scales: Vec<f64>,
    /// s²: variance of the noise, in units of the standardised objective.
    pub noise: f64,
    /// β: the constant mean of the standardised objective; 0 is the average observation.
    pub mean: f64,
}

/// Why a surrogate cannot be made.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum GpError {
    /// Too few observations to standardise.
    #[error("a surrogate needs at least 2 observations, there are {0}")]
    TooFewObservations(usize),
    /// A number that is not finite.
    #[error("observation {index} is {value}: objectives and points must be finite")]
    NotFinite {
        /// Which observation.
        index: usize,
        /// The offending number.
        value: f64,
    },
    /// A point of another dimension.
    #[error("point {index} has {found} coordinates, the others {expected}")]
    Dimension {
        /// Which observation.
        index: usize,
        /// Its coordinates.
        found: usize,
        /// Those of the first.
        expected: usize,
    },
    /// The kernel matrix has no Cholesky factor.
    #[error("the kernel matrix is not positive definite (noise {noise:e})")]
    NotPositiveDefinite {
        /// The noise it was built with.
        noise: f64,
    },
}

/// What the surrogate believes at a point, in the objective's own units.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Posterior {
    /// μ.
    pub mean: f64,
    /// σ of the objective itself, without the noise of observing it.
    pub sd: f64,
}

/// A Gaussian process conditioned on observations.
#[derive(Debug, Clone)]
pub struct GaussianProcess {
    hyperparameters: Hyperparameters,
    /// ȳ and sd(y): the objective is ȳ + sd · ỹ.
    centre: f64,
    scale: f64,
    /// ỹ.
    standardised: Vec<f64>,
    /// Observed points, then pending ones.
    points: Vec<Vec<f64>>,
    scaled: Scaled,
    /// K_y⁻¹ (ỹ - β) over the observed points.
    weights: Vec<f64>,
    /// Factor of K_y over observed and pending points.
    factor: Triangle,
    transposed: Transposed,
}

impl GaussianProcess {
    /// Conditions on observations with hyperparameters found by maximising their posterior density from several
    /// starts; `seed` chooses the random ones. O(starts · iterations · n³), of which most are over at most 40 points.
    ///
    /// # Errors
    /// [`GpError`] when the observations do not make a surrogate.
    pub fn fit(prior: Prior, points: &[Vec<f64>], objectives: &[f64], seed: u64) -> Result<Self, GpError> {
        let standardised = Standardised::new(points, objectives)?;
        let hyperparameters = fit::maximise(prior, points, &standardised.values, seed);
        Self::condition(points, &standardised, hyperparameters)
    }

    /// Conditions on observations with given hyperparameters, in O(n³).
    ///
    /// # Errors
    /// [`GpError`] when the observations do not make a surrogate.
    pub fn with_hyperparameters(
        points: &[Vec<f64>],
        objectives: &[f64],
        hyperparameters: Hyperparameters,
    ) -> Result<Self, GpError> {
        Self::condition(points, &Standardised::new(points, objectives)?, hyperparameters)
    }

    fn condition(
        points: &[Vec<f64>],
        standardised: &Standardised,
        hyperparameters: Hyperparameters,
    ) -> Result<Self, GpError> {
        let scaled = Scaled::new(points, &hyperparameters.length_scales);
        let factor = factorise(&scaled, points.len(), &hyperparameters)?;
        let mut weights: Vec<f64> = standardised.values.iter().map(|y| y - hyperparameters.mean).collect();
        factor.solve_lower(&mut weights);
        factor.solve_upper(&mut weights);
        Ok(Self {
            hyperparameters,
            centre: standardised.centre,
            scale: standardised.scale,
            standardised: standardised.values.clone(),
            points: points.to_vec(),
            scaled,
            weights,
            transposed: factor.transposed(),
            factor,
        })
    }

    /// Adds points whose observation is under way: they shrink σ around them and leave μ as it is, in O(n³).
    ///
    /// # Errors
    /// [`GpError`] when a pending point has another dimension.
    pub fn with_pending(mut self, pending: &[Vec<f64>]) -> Result<Self, GpError> {
        if pending.is_empty() {
            return Ok(self);
        }
        self.points.extend_from_slice(pending);
        check_points(&self.points)?;
        pending.iter().for_each(|point| self.scaled.push(point));
        self.factor = factorise(&self.scaled, self.points.len(), &self.hyperparameters)?;
        self.transposed = self.factor.transposed();
        Ok(self)
    }

    /// Returns what the fit found.
    #[must_use]
    pub fn hyperparameters(&self) -> &Hyperparameters {
        &self.hyperparameters
    }

    /// Returns μ and σ at a point, in O(n²).
    #[must_use]
    pub fn posterior(&self, x: &[f64]) -> Posterior {
        self.posteriors(&[x])[0]
    }

    /// Returns μ and σ at each point, in O(n²) each, at a fraction of the time that they take one by one.
    #[must_use]
    pub fn posteriors(&self, points: &[impl AsRef<[f64]>]) -> Vec<Posterior> {
        let count = self.points.len();
        let (mut correlations, mut sides) = (vec![0.0; count], vec![[0.0; SIDES]; count]);
        let mut posteriors = Vec::with_capacity(points.len());
        for together in points.chunks(SIDES) {
            let mut means = [0.0; SIDES];
            for (side, point) in together.iter().enumerate() {
                self.correlations(&self.scaled.scale(point.as_ref()), &mut correlations);
                means[side] = dot(&correlations, &self.weights);
                sides.iter_mut().zip(&correlations).for_each(|(of, correlation)| of[side] = *correlation);
            }
            self.transposed.solve_sides(&mut sides);
            let mut explained = [0.0; SIDES];
            for of in &sides {
                for side in 0..SIDES {
                    explained[side] += of[side] * of[side];
                }
            }
            let units = |side: usize| self.in_own_units(means[side], 1.0 - explained[side]);
            posteriors.extend((0..together.len()).map(units));
        }
        posteriors
    }

    /// Returns μ at the observed points, in O(n).
    #[must_use]
    pub fn means_of_observed(&self) -> Vec<f64> {
        // β + K α = ỹ - (K_y - K) α.
        let diagonal = self.hyperparameters.noise + JITTER;
        let mean = |(standardised, weight): (&f64, &f64)| self.centre + self.scale * (standardised - diagonal * weight);
        self.standardised.iter().zip(&self.weights).map(mean).collect()
    }

    /// Returns the posterior at a point and the gradients of μ and σ there, in O(n²).
    #[must_use]
    pub fn posterior_with_gradient(&self, x: &[f64]) -> (Posterior, Vec<f64>, Vec<f64>) {
        let at = self.scaled.scale(x);
        let mut solved = vec![0.0; self.points.len()];
        let mut by_sd = solved.clone();
        self.scaled.squared_distances(|j| at[j], 0, &mut solved);
        self.hyperparameters.kernel.values_and_slopes(&mut solved, &mut by_sd);
        let mean = dot(&solved, &self.weights);
        self.factor.solve_lower(&mut solved);
        let posterior = self.in_own_units(mean, 1.0 - dot(&solved, &solved));
        self.factor.solve_upper(&mut solved);
        let per_sd = self.scale * self.scale / posterior.sd.max(f64::MIN_POSITIVE.sqrt());
        let by_mean: Vec<f64> = by_sd.iter().zip(&self.weights).map(|(slope, w)| self.scale * w * slope).collect();
        by_sd.iter_mut().zip(&solved).for_each(|(slope, solved)| *slope *= -per_sd * solved);
        let gradient = |slopes: &[f64]| -> Vec<f64> {
            let along = |(j, x): (usize, &f64)| {
                2.0 * self.scaled.inverse()[j]
                    * sum_of(slopes, self.scaled.column(j), |slope, other| slope * (x - other))
            };
            at.iter().enumerate().map(along).collect()
        };
        (posterior, gradient(&by_mean), gradient(&by_sd))
    }

    fn correlations(&self, at: &[f64], correlations: &mut [f64]) {
        self.scaled.squared_distances(|j| at[j], 0, correlations);
        self.hyperparameters.kernel.values(correlations);
    }

    fn in_own_units(&self, mean: f64, variance: f64) -> Posterior {
        let mean = self.hyperparameters.mean + mean;
        Posterior { mean: self.centre + self.scale * mean, sd: self.scale * variance.max(0.0).sqrt() }
    }
}

/// ỹ = (y - ȳ) / sd(y); a constant objective is only centred.
struct Standardised {
    values: Vec<f64>,
    centre: f64,
    scale: f64,
}

impl Standardised {
    fn new(points: &[Vec<f64>], objectives: &[f64]) -> Result<Self, GpError> {
        assert_eq!(points.len(), objectives.len(), "every point has its objective");
        if objectives.len() < 2 {
            return Err(GpError::TooFewObservations(objectives.len()));
        }
        check_points(points)?;
        if let Some(index) = objectives.iter().position(|y| !y.is_finite()) {
            return Err(GpError::NotFinite { index, value: objectives[index] });
        }
        let count = objectives.len() as f64;
        let centre = objectives.iter().sum::<f64>() / count;
        let variance = objectives.iter().map(|y| (y - centre).powi(2)).sum::<f64>() / (count - 1.0);
        let scale = if variance > 0.0 { variance.sqrt() } else { 1.0 };
        let values = objectives.iter().map(|y| (y - centre) / scale).collect();
        Ok(Self { values, centre, scale })
    }
}

fn check_points(points: &[Vec<f64>]) -> Result<(), GpError> {
    let expected = points.first().map_or(0, Vec::len);
    for (index, point) in points.iter().enumerate() {
        if point.len() != expected {
            return Err(GpError::Dimension { index, found: point.len(), expected });
        }
        if let Some(value) = point.iter().find(|x| !x.is_finite()) {
            return Err(GpError::NotFinite { index, value: *value });
        }
    }
    Ok(())
}

fn factorise(scaled: &Scaled, count: usize, hyperparameters: &Hyperparameters) -> Result<Triangle, GpError> {
    let noise = hyperparameters.noise;
    let mut matrix = Triangle::zeros(count);
    for i in 0..count {
        let row = matrix.row_mut(i);
        scaled.squared_distances(|j| scaled.column(j)[i], i, row);
        hyperparameters.kernel.values(row);
        row[0] = 1.0 + noise + JITTER;
    }
    matrix.cholesky().ok_or(GpError::NotPositiveDefinite { noise })
}
