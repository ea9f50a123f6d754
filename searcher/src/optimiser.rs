//! The optimiser: which point to evaluate next, and which to recommend, as pure functions of what was observed.
//!
//! It searches a unit cube through a [`Domain`], which says what the surrogate sees of a point. A study's policy and the
//! benchmark against other optimisers use the same two functions, [`suggest`] and [`recommend`].

use crate::acquisition::{self, Exploration};
use crate::gp::{GaussianProcess, GpError};
use crate::randomness::seed_for;
use crate::space::Cube;

/// Observations below which the surrogate has nothing to say.
pub const OBSERVATIONS_MIN: usize = 4;

/// What is searched.
pub trait Domain {
    /// Returns the cube that points live in.
    fn cube(&self) -> Cube;

    /// Returns the coordinates that the surrogate sees of a point; `None` where an evaluation is not worth it.
    fn place(&self, point: &[f64]) -> Option<Vec<f64>>;
}

impl Domain for Cube {
    fn cube(&self) -> Cube {
        self.clone()
    }

    fn place(&self, point: &[f64]) -> Option<Vec<f64>> {
        Some(point.to_vec())
    }
}

/// How the search goes about it.
#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    /// κ.
    pub exploration: Exploration,
    /// Points of the initial design.
    pub initial: usize,
    /// Evaluations in all, as far as that is known.
    pub budget: usize,
}

impl Options {
    /// Points of the initial design unless told otherwise.
    pub const INITIAL: usize = 10;

    /// Returns the options of a search of so many evaluations, about which nothing else is known.
    #[must_use]
    pub fn for_budget(budget: usize) -> Self {
        Self { exploration: Exploration::DEFAULT, initial: Self::INITIAL.min(budget.div_ceil(4)), budget }
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
/// `pending` holds the coordinates of evaluations under way. Every random choice is made by `seed` and `number`.
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
    let begun = (observations.len() + pending.len()) as u64;
    if begun < options.initial as u64 {
        return Ok(initial(domain, begun, seed));
    }
    match Surrogate::learn(observations, seed_for(seed, number, "fit"))? {
        Some(surrogate) => surrogate.propose(options, domain, pending, seed_for(seed, number, "acquisition")),
        None => Ok(initial(domain, begun, seed)),
    }
}

/// Returns the index of the observation with the best posterior mean: the least likely to have been lucky.
///
/// # Errors
/// [`GpError`] when there are no feasible observations, or they are not finite or of differing dimensions.
pub fn recommend(observations: &[Observation], seed: u64) -> Result<usize, GpError> {
    let surrogate = Surrogate::learn(observations, seed_for(seed, observations.len() as u64, "fit"))?;
    let score = |observation: &Observation| {
        let value = observation.value?;
        Some(surrogate.as_ref().map_or(value, |s| s.gp.posterior(&observation.coordinates).mean))
    };
    (0..observations.len())
        .filter_map(|index| Some((index, score(&observations[index])?)))
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
    observations: usize,
}

impl Surrogate {
    /// Fits a surrogate; `None` while too few observations are feasible.
    ///
    /// Objectives are floored at median - (best - median): below, they only say "bad". A few points at which the
    /// objective collapses would otherwise set the scale, and the differences between good ones vanish in the noise. An
    /// infeasible one counts as half a standard deviation below the worst, then likewise.
    ///
    /// # Errors
    /// [`GpError`] when observations are not finite or of differing dimensions.
    pub fn learn(observations: &[Observation], seed: u64) -> Result<Option<Self>, GpError> {
        let feasible: Vec<f64> = observations.iter().filter_map(|observation| observation.value).collect();
        if feasible.len() < OBSERVATIONS_MIN {
            return Ok(None);
        }
        let imputed = below_the_worst(&feasible);
        let mut values: Vec<f64> = observations.iter().map(|o| o.value.unwrap_or(imputed)).collect();
        floor_low_objectives(&mut values);
        let coordinates: Vec<Vec<f64>> = observations.iter().map(|o| o.coordinates.clone()).collect();
        let gp = GaussianProcess::fit(&coordinates, &values, seed)?;
        let mut ranked: Vec<(f64, &Vec<f64>)> =
            observations.iter().map(|o| (gp.posterior(&o.coordinates).mean, &o.point)).collect();
        ranked.sort_by(|a, b| b.0.total_cmp(&a.0));
        ranked.dedup_by(|a, b| a.1 == b.1);
        let incumbents = ranked.into_iter().map(|(_, point)| point.clone()).collect();
        Ok(Some(Self { gp, incumbents, observations: observations.len() }))
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
        let cube = domain.cube();
        let kappa = options.exploration.kappa(self.observations, cube.dimension);
        let gp = self.gp.with_pending(pending)?;
        let place = |point: &[f64]| domain.place(point);
        Ok(acquisition::maximise(&gp, &cube, kappa, &self.incumbents, seed, &place)
            .expect("a domain accepts nearly every point"))
    }
}

fn floor_low_objectives(values: &mut [f64]) {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let (median, best) = (sorted[sorted.len() / 2], sorted[sorted.len() - 1]);
    // When half of all are best there is no scale to go by, and nothing is floored.
    if best > median {
        let floor = median - (best - median);
        values.iter_mut().for_each(|value| *value = value.max(floor));
    }
}

fn below_the_worst(objectives: &[f64]) -> f64 {
    let count = objectives.len() as f64;
    let mean = objectives.iter().sum::<f64>() / count;
    let sd = (objectives.iter().map(|y| (y - mean).powi(2)).sum::<f64>() / (count - 1.0)).sqrt();
    objectives.iter().copied().fold(f64::INFINITY, f64::min) - 0.5 * sd.max(f64::EPSILON)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_collapsed_trial_does_not_set_the_scale() {
        let mut values = [0.79, 0.80, 0.81, 0.82, 0.83, 0.44];
        floor_low_objectives(&mut values);
        assert!((values[5] - 0.79).abs() < 1e-9, "{values:?}");
        assert!((values[0] - 0.79).abs() < 1e-9 && (values[4] - 0.83).abs() < 1e-9, "{values:?}");
        let mut equal = [0.8, 0.8, 0.1];
        floor_low_objectives(&mut equal);
        assert!((equal[2] - 0.1).abs() < 1e-9);
    }
}
