//! The optimiser: which point to evaluate next, and which to recommend, as pure functions of what was observed.
//!
//! It searches a unit cube through a [`Domain`], which says what the surrogate sees of a point. A study's policy and the
//! benchmark against other optimisers use the same code. Every random choice is made by a seed and the evaluation's number,
//! so whoever asks again is told the same.

mod low_values;
mod maximise;
mod trust_region;

pub use low_values::LowValues;

use serde::{Deserialize, Serialize};

use crate::acquisition::{Exploration, Promise};
use crate::gp::{GaussianProcess, GpError, Kernel, Mean, Prior};
use crate::randomness::seed_for;
use crate::space::Cube;
use trust_region::TrustRegion;

/// Observations below which the surrogate has nothing to say.
pub const OBSERVATIONS_MIN: usize = 4;

/// What is searched.
pub trait Domain {
    /// Returns the cube that points live in.
    fn cube(&self) -> Cube;

    /// Returns the coordinates that the surrogate sees of a point; `None` where an evaluation is not worth it.
    fn place(&self, point: &[f64]) -> Option<Vec<f64>>;

    /// Returns whether the surrogate sees the points themselves, so that its gradients are those of the cube.
    fn is_plain(&self) -> bool {
        false
    }
}

impl Domain for Cube {
    fn cube(&self) -> Cube {
        self.clone()
    }

    fn place(&self, point: &[f64]) -> Option<Vec<f64>> {
        Some(point.to_vec())
    }

    fn is_plain(&self) -> bool {
        self.ascending.is_empty()
    }
}

/// The function of μ and σ whose greatest value is evaluated next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Acquisition {
    /// μ + κσ, with κ by [`Exploration`].
    #[default]
    UpperConfidenceBound,
    /// The logarithm of the improvement expected over the best posterior mean of an evaluated point.
    LogExpectedImprovement,
}

/// How the search learns and looks ahead. The default is the method of studies stored before there was a choice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Method {
    /// How correlation falls with distance.
    pub kernel: Kernel,
    /// One length scale for all coordinates, instead of one each.
    pub isotropic: bool,
    /// What is believed of points far from all observed ones.
    pub mean: Mean,
    /// What is maximised.
    pub acquisition: Acquisition,
    /// What observations far below the others are taken for.
    pub low_values: LowValues,
    /// Whether points are only looked for in a box around the best, which grows and shrinks with success.
    pub trust_region: bool,
}

impl Method {
    /// What finds the best samplers (`ARCHITECTURE.md`, "The search").
    pub const SAMPLERS: Self = Self {
        kernel: Kernel::Matern52,
        isotropic: false,
        mean: Mean::Fitted,
        acquisition: Acquisition::UpperConfidenceBound,
        low_values: LowValues::Compressed,
        trust_region: false,
    };
    /// What is best on functions of a cube about which nothing is known.
    pub const CUBE: Self = Self {
        kernel: Kernel::Matern52,
        isotropic: false,
        mean: Mean::Fitted,
        acquisition: Acquisition::LogExpectedImprovement,
        low_values: LowValues::Compressed,
        trust_region: false,
    };
}

/// A search.
#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    /// How it learns and looks ahead.
    pub method: Method,
    /// κ.
    pub exploration: Exploration,
    /// Points of the initial design.
    pub initial: usize,
    /// Evaluations in all.
    pub budget: usize,
}

impl Options {
    /// Points of the initial design unless told otherwise.
    pub const INITIAL: usize = 10;

    /// Returns the options of a search of so many evaluations.
    #[must_use]
    pub fn for_budget(method: Method, budget: usize) -> Self {
        Self { method, exploration: Exploration::DEFAULT, initial: Self::INITIAL.min(budget.div_ceil(4)), budget }
    }
}

/// An evaluation that has ended.
#[derive(Debug, Clone, PartialEq)]
pub struct Observation {
    /// Its point of the cube.
    pub point: Vec<f64>,
    /// What the surrogate sees of it.
    pub coordinates: Vec<f64>,
    /// What was observed, to be maximised; `None` if it turned out to be infeasible, which counts as below the worst.
    pub value: Option<f64>,
}

/// Returns the point to evaluate as number `number`, counted from 0: of the initial design, or by the surrogate.
///
/// `pending` holds the coordinates of evaluations under way.
///
/// # Errors
/// [`GpError`] when observations are not finite or of differing dimensions.
pub fn suggest(
    options: &Options,
    domain: &dyn Domain,
    observations: &[Observation],
    pending: &[Vec<f64>],
    seed: u64,
    number: u64,
) -> Result<Vec<f64>, GpError> {
    let begun = observations.len() + pending.len();
    if begun >= options.initial
        && let Some(surrogate) = Surrogate::learn(options, observations, seed_for(seed, number, "fit"))?
    {
        return surrogate.propose(options, domain, pending, seed_for(seed, number, "acquisition"));
    }
    Ok(initial(domain, begun as u64, seed))
}

/// Returns the index of the observation with the best posterior mean: not the luckiest, but the one whose neighbours were
/// good as well.
///
/// # Errors
/// [`GpError`] when there are no feasible observations, or they are not finite or of differing dimensions.
pub fn recommend(options: &Options, observations: &[Observation], seed: u64) -> Result<usize, GpError> {
    let surrogate = Surrogate::learn(options, observations, seed_for(seed, observations.len() as u64, "fit"))?;
    let means = surrogate.map(|surrogate| surrogate.gp.means_of_observed());
    let score = |index: usize| {
        let value = observations[index].value?;
        Some(means.as_ref().map_or(value, |means| means[index]))
    };
    (0..observations.len())
        .filter_map(|index| Some((index, score(index)?)))
        // On a tie the earlier one stays.
        .reduce(|best, next| if next.1 > best.1 { next } else { best })
        .map(|(index, _)| index)
        .ok_or(GpError::TooFewObservations(0))
}

/// Returns point `index` of the scrambled Sobol sequence, or in the rare case that the domain refuses it, that of another
/// scramble.
///
/// # Panics
/// When the domain refuses every point.
#[must_use]
pub fn initial(domain: &dyn Domain, index: u64, seed: u64) -> Vec<f64> {
    let index = u32::try_from(index).expect("a search has fewer than 2^16 evaluations");
    let cube = domain.cube();
    (0..1000)
        .map(|scramble| cube.sobol(index, seed_for(seed, scramble, "sobol")))
        .find(|point| domain.place(point).is_some())
        .expect("a domain accepts nearly every point")
}

/// A surrogate that has seen observations.
#[derive(Debug, Clone)]
pub struct Surrogate {
    /// Over coordinates.
    pub gp: GaussianProcess,
    /// Observed points, best posterior mean first.
    incumbents: Vec<Vec<f64>>,
    /// Posterior mean at the first.
    best_mean: f64,
    region: TrustRegion,
    observations: usize,
}

impl Surrogate {
    /// Fits a surrogate; `None` while too few observations are feasible.
    ///
    /// An infeasible observation counts as half a standard deviation below the worst. Low values then mean what
    /// [`Method::low_values`] says.
    ///
    /// # Errors
    /// [`GpError`] when observations are not finite or of differing dimensions.
    pub fn learn(options: &Options, observations: &[Observation], seed: u64) -> Result<Option<Self>, GpError> {
        let feasible: Vec<f64> = observations.iter().filter_map(|observation| observation.value).collect();
        if feasible.len() < OBSERVATIONS_MIN {
            return Ok(None);
        }
        let imputed = low_values::below_the_worst(&feasible);
        let mut values: Vec<f64> = observations.iter().map(|o| o.value.unwrap_or(imputed)).collect();
        let region = TrustRegion::after(&values, options.initial);
        options.method.low_values.raise(&mut values);
        let coordinates: Vec<Vec<f64>> = observations.iter().map(|o| o.coordinates.clone()).collect();
        let Method { kernel, isotropic, mean, .. } = options.method;
        let gp = GaussianProcess::fit(Prior { kernel, isotropic, mean }, &coordinates, &values, seed)?;
        let mut ranked: Vec<(f64, &Vec<f64>)> =
            gp.means_of_observed().into_iter().zip(observations.iter().map(|o| &o.point)).collect();
        ranked.sort_by(|a, b| b.0.total_cmp(&a.0));
        ranked.dedup_by(|a, b| a.1 == b.1);
        let best_mean = ranked[0].0;
        let incumbents = ranked.into_iter().map(|(_, point)| point.clone()).collect();
        Ok(Some(Self { gp, incumbents, best_mean, region, observations: observations.len() }))
    }

    /// Returns the point of greatest acquisition function, given that `pending` coordinates are being evaluated.
    ///
    /// # Errors
    /// [`GpError`] when a pending point has another dimension.
    ///
    /// # Panics
    /// When the domain refuses every point.
    pub fn propose(
        self,
        options: &Options,
        domain: &dyn Domain,
        pending: &[Vec<f64>],
        seed: u64,
    ) -> Result<Vec<f64>, GpError> {
        let dimension = domain.cube().dimension;
        let promise = match options.method.acquisition {
            Acquisition::UpperConfidenceBound => {
                Promise::UpperConfidenceBound(options.exploration.kappa(self.observations, options.budget, dimension))
            }
            Acquisition::LogExpectedImprovement => Promise::LogExpectedImprovement(self.best_mean),
        };
        let region = if options.method.trust_region {
            self.region.around(&self.incumbents[0])
        } else {
            maximise::Box::whole(dimension)
        };
        let gp = self.gp.with_pending(pending)?;
        Ok(maximise::maximise(&gp, domain, promise, &self.incumbents, &region, seed))
    }
}

#[cfg(test)]
mod tests;
