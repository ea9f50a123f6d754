//! The surrogate: a Gaussian process with a stationary kernel, one length scale a dimension or one for all, a constant
//! mean, and noise that is estimated with the rest.
//!
//! Replicates need no treatment of their own. The density of m observations at one point is that of their mean, whose
//! noise is s²/m, times the scaled χ² density of their variance around it; so the likelihood has in it what replicates
//! say about the noise, and weighs it against what all other points say.

mod fit;
mod kernel;
mod triangular;

pub use fit::{Evidence, evidence};

pub use kernel::Kernel;

use kernel::{Scaled, squared_distance};
use triangular::{Triangle, dot};

/// Added to the diagonal besides the noise, so that repeated points never make the matrix singular.
pub const JITTER: f64 = 1e-6;

/// What a kernel is, before its length scales are known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Covariance {
    /// How correlation falls with distance.
    pub kernel: Kernel,
    /// Whether all dimensions share a length scale.
    pub isotropic: bool,
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
    /// Observed points, then pending ones.
    points: Vec<Vec<f64>>,
    scaled: Scaled,
    /// K_y⁻¹ ỹ over the observed points.
    weights: Vec<f64>,
    /// Factor of K_y over observed and pending points.
    factor: Triangle,
}

impl GaussianProcess {
    /// Conditions on observations with hyperparameters found by maximising their posterior density from several
    /// starts; `seed` chooses the random ones. O(starts · iterations · n³), of which most are over at most 40 points.
    ///
    /// # Errors
    /// [`GpError`] when the observations do not make a surrogate.
    pub fn fit(covariance: Covariance, points: &[Vec<f64>], objectives: &[f64], seed: u64) -> Result<Self, GpError> {
        let standardised = Standardised::new(points, objectives)?;
        let hyperparameters = fit::maximise(covariance, points, &standardised.values, seed);
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
        let mut weights = standardised.values.clone();
        factor.solve_lower(&mut weights);
        factor.solve_upper(&mut weights);
        Ok(Self {
            hyperparameters,
            centre: standardised.centre,
            scale: standardised.scale,
            points: points.to_vec(),
            scaled,
            weights,
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
        let at = self.scaled.scale(x);
        let mut correlations: Vec<f64> = (0..self.points.len())
            .map(|i| self.hyperparameters.kernel.value(squared_distance(&at, self.scaled.point(i))))
            .collect();
        let mean = dot(&correlations[..self.weights.len()], &self.weights);
        self.factor.solve_lower(&mut correlations);
        self.in_own_units(mean, 1.0 - dot(&correlations, &correlations))
    }

    /// Returns the posterior at a point and the gradients of μ and σ there, in O(n²).
    #[must_use]
    pub fn posterior_with_gradient(&self, x: &[f64]) -> (Posterior, Vec<f64>, Vec<f64>) {
        let at = self.scaled.scale(x);
        let (correlations, slopes): (Vec<f64>, Vec<f64>) = (0..self.points.len())
            .map(|i| self.hyperparameters.kernel.value_and_slope(squared_distance(&at, self.scaled.point(i))))
            .unzip();
        let mean = dot(&correlations[..self.weights.len()], &self.weights);
        let mut solved = correlations;
        self.factor.solve_lower(&mut solved);
        let posterior = self.in_own_units(mean, 1.0 - dot(&solved, &solved));
        self.factor.solve_upper(&mut solved);
        let (mut of_mean, mut of_sd) = (vec![0.0; x.len()], vec![0.0; x.len()]);
        let per_sd = self.scale * self.scale / posterior.sd.max(f64::MIN_POSITIVE.sqrt());
        for (i, slope) in slopes.iter().enumerate() {
            let by_mean = self.weights.get(i).map_or(0.0, |weight| self.scale * weight * slope);
            let by_sd = -per_sd * solved[i] * slope;
            for (j, (x, other)) in at.iter().zip(self.scaled.point(i)).enumerate() {
                let change = 2.0 * (x - other) * self.scaled.inverse()[j];
                of_mean[j] += by_mean * change;
                of_sd[j] += by_sd * change;
            }
        }
        (posterior, of_mean, of_sd)
    }

    fn in_own_units(&self, mean: f64, variance: f64) -> Posterior {
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
        for (j, entry) in row[..i].iter_mut().enumerate() {
            *entry = hyperparameters.kernel.value(squared_distance(scaled.point(i), scaled.point(j)));
        }
        row[i] = 1.0 + noise + JITTER;
    }
    matrix.cholesky().ok_or(GpError::NotPositiveDefinite { noise })
}
