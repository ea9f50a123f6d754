//! The surrogate: a Gaussian process with a squared-exponential kernel, one length scale a dimension, a constant mean
//! and noise that is estimated with the rest.

mod fit;
mod kernel;

pub use fit::{Evidence, evidence};

use kernel::{correlation, correlation_matrix};
use nalgebra::{Cholesky, DMatrix, DVector, Dyn};

/// Added to the diagonal besides the noise, so that repeated points never make the matrix singular.
pub const JITTER: f64 = 1e-6;

/// What the kernel needs beside the data.
#[derive(Debug, Clone, PartialEq)]
pub struct Hyperparameters {
    /// ℓ: one length scale a dimension, in units of the cube's side.
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
    /// K_y⁻¹ ỹ over the observed points.
    weights: DVector<f64>,
    /// Factor of K_y over observed and pending points.
    factor: Cholesky<f64, Dyn>,
}

impl GaussianProcess {
    /// Conditions on observations with hyperparameters found by maximising their posterior density from several
    /// starts; `seed` chooses the random ones. O(starts · iterations · n³).
    ///
    /// # Errors
    /// [`GpError`] when the observations do not make a surrogate.
    pub fn fit(points: &[Vec<f64>], objectives: &[f64], seed: u64) -> Result<Self, GpError> {
        let standardised = Standardised::new(points, objectives)?;
        let hyperparameters = fit::maximise(points, &standardised.values, seed);
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
        let factor = factorise(points, &hyperparameters)?;
        let weights = factor.solve(&standardised.values);
        Ok(Self {
            hyperparameters,
            centre: standardised.centre,
            scale: standardised.scale,
            points: points.to_vec(),
            weights,
            factor,
        })
    }

    /// Adds points whose observation is under way: they shrink σ around them and leave μ as it is, in O(n³).
    ///
    /// # Errors
    /// [`GpError`] when a pending point has another dimension.
    pub fn with_pending(mut self, pending: &[Vec<f64>]) -> Result<Self, GpError> {
        self.points.extend_from_slice(pending);
        check_points(&self.points)?;
        self.factor = factorise(&self.points, &self.hyperparameters)?;
        Ok(self)
    }

    /// Returns μ and σ at a point, in O(n²).
    #[must_use]
    pub fn posterior(&self, x: &[f64]) -> Posterior {
        let k = self.correlations(x);
        let spread = self.factor.l_dirty().solve_lower_triangular(&k).map_or(0.0, |v| v.norm_squared());
        let mean = k.rows(0, self.weights.len()).dot(&self.weights);
        Posterior { mean: self.centre + self.scale * mean, sd: self.scale * (1.0 - spread).max(0.0).sqrt() }
    }

    fn correlations(&self, x: &[f64]) -> DVector<f64> {
        let scales = &self.hyperparameters.length_scales;
        DVector::from_iterator(self.points.len(), self.points.iter().map(|point| correlation(x, point, scales)))
    }
}

/// ỹ = (y - ȳ) / sd(y); a constant objective is only centred.
struct Standardised {
    values: DVector<f64>,
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
        let values = DVector::from_iterator(objectives.len(), objectives.iter().map(|y| (y - centre) / scale));
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

fn factorise(points: &[Vec<f64>], hyperparameters: &Hyperparameters) -> Result<Cholesky<f64, Dyn>, GpError> {
    let kernel = with_noise(correlation_matrix(points, &hyperparameters.length_scales), hyperparameters.noise);
    Cholesky::new(kernel).ok_or(GpError::NotPositiveDefinite { noise: hyperparameters.noise })
}

fn with_noise(mut kernel: DMatrix<f64>, noise: f64) -> DMatrix<f64> {
    for i in 0..kernel.nrows() {
        kernel[(i, i)] += noise + JITTER;
    }
    kernel
}
