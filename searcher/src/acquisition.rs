//! Where to look next: the upper confidence bound μ + κσ and its maximisation over the cube.

use serde::{Deserialize, Serialize};

use crate::gp::GaussianProcess;
use crate::randomness::{Randomness, seed_for};
use crate::space::Cube;

/// Points of the scrambled Sobol sequence that are tried first.
const SOBOL_CANDIDATES: u32 = 2048;
/// Evaluated points whose surroundings are tried besides.
const INCUMBENTS: usize = 5;
/// Perturbations of each.
const PERTURBATIONS: usize = 64;
/// Standard deviations of the perturbations, in units of the cube's side.
const PERTURBATION_SDS: [f64; 2] = [0.03, 0.15];
/// Candidates whose surroundings are searched in rounds, ever more closely.
const LOCAL_SEARCHES: usize = 10;
const LOCAL_ROUNDS: u64 = 6;
/// Moves of each in a round.
const LOCAL_MOVES: usize = 16;
/// Standard deviation of a move in the first round, in units of the cube's side; halved with every round.
const LOCAL_SD: f64 = 0.15;
/// Chance that a move changes a coordinate.
const LOCAL_CHANCE: f64 = 0.4;

/// How κ weighs what is unknown against what is known to be good.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Exploration {
    /// The same κ throughout.
    Kappa(f64),
    /// κ_t = √(2 ln(t^{d/2+2} π² / 3δ)) with δ = 0.1 (Brochu et al. 2010), which grows with the number of observations
    /// t; in 40 trials of 10 dimensions it explores nearly at random. For fidelity to the paper.
    Brochu,
}

impl Exploration {
    /// κ of a study that does not say otherwise.
    pub const DEFAULT: Self = Self::Kappa(1.8);

    /// Returns κ after `observations`.
    #[must_use]
    pub fn kappa(self, observations: usize, dimension: usize) -> f64 {
        match self {
            Self::Kappa(kappa) => kappa,
            Self::Brochu => {
                let t = observations.max(1) as f64;
                let power = dimension as f64 / 2.0 + 2.0;
                (2.0 * (power * t.ln() + (std::f64::consts::PI.powi(2) / (3.0 * 0.1)).ln())).sqrt()
            }
        }
    }
}

/// Returns the point of greatest upper confidence bound among those that `place` accepts; `None` if it accepts none.
///
/// `place` maps a point of the cube to the coordinates that the surrogate sees, and refuses points not worth a trial.
/// Candidates are 2048 scrambled Sobol points and perturbations of the best of `incumbents` (ordered best first);
/// around the 10 best the search goes on at random, ever more closely, since the bound may have steps and creases in the
/// cube. Costs about 3,300 posteriors, so O(3300 n²), and as many placements.
#[must_use]
pub fn maximise(
    gp: &GaussianProcess,
    cube: &Cube,
    kappa: f64,
    incumbents: &[Vec<f64>],
    seed: u64,
    place: &dyn Fn(&[f64]) -> Option<Vec<f64>>,
) -> Option<Vec<f64>> {
    let ranked = |point: Vec<f64>| {
        let posterior = gp.posterior(&place(&point)?);
        Some((posterior.mean + kappa * posterior.sd, point))
    };
    let mut candidates: Vec<(f64, Vec<f64>)> = (0..SOBOL_CANDIDATES)
        .map(|index| cube.sobol(index, seed))
        .chain(perturbations(cube, incumbents, seed))
        .filter_map(ranked)
        .collect();
    for round in 0..LOCAL_ROUNDS {
        keep_best(&mut candidates);
        let mut randomness = Randomness::new(seed_for(seed, round, "local search"));
        let moved: Vec<Vec<f64>> = candidates
            .iter()
            .flat_map(|(_, start)| std::iter::repeat_n(start, LOCAL_MOVES))
            .map(|start| moved(cube, start, LOCAL_SD * 0.5f64.powf(round as f64), &mut randomness))
            .collect();
        candidates.extend(moved.into_iter().filter_map(ranked));
    }
    keep_best(&mut candidates);
    candidates.into_iter().next().map(|(_, point)| point)
}

fn keep_best(candidates: &mut Vec<(f64, Vec<f64>)>) {
    candidates.sort_by(|a, b| b.0.total_cmp(&a.0));
    candidates.truncate(LOCAL_SEARCHES);
}

fn moved(cube: &Cube, start: &[f64], sd: f64, randomness: &mut Randomness) -> Vec<f64> {
    let mut point: Vec<f64> = start
        .iter()
        .map(|x| {
            let (changes, step) = (randomness.uniform() < LOCAL_CHANCE, sd * randomness.normal());
            if changes { (x + step).clamp(0.0, 1.0) } else { *x }
        })
        .collect();
    cube.canonicalise(&mut point);
    point
}

fn perturbations(cube: &Cube, incumbents: &[Vec<f64>], seed: u64) -> Vec<Vec<f64>> {
    let mut randomness = Randomness::new(seed_for(seed, 0, "perturbation"));
    let mut points = Vec::with_capacity(INCUMBENTS * PERTURBATIONS);
    for incumbent in incumbents.iter().take(INCUMBENTS) {
        for index in 0..PERTURBATIONS {
            let sd = PERTURBATION_SDS[index % PERTURBATION_SDS.len()];
            let mut point: Vec<f64> =
                incumbent.iter().map(|x| (x + sd * randomness.normal()).clamp(0.0, 1.0)).collect();
            cube.canonicalise(&mut point);
            points.push(point);
        }
    }
    points
}

#[cfg(test)]
mod tests {
    use super::*;

    fn observations(count: usize) -> (Vec<Vec<f64>>, Vec<f64>) {
        let cube = Cube { dimension: 3, ascending: 1..3 };
        let index = |i: usize| u32::try_from(i).unwrap();
        let points: Vec<Vec<f64>> = (0..count).map(|i| cube.sobol(index(i), 5)).collect();
        let objectives = points.iter().map(|x| -(x[0] - 0.3).powi(2) - (x[2] - x[1] - 0.4).powi(2)).collect();
        (points, objectives)
    }

    #[test]
    fn the_best_point_is_above_thousands_of_others_and_in_order() {
        let cube = Cube { dimension: 3, ascending: 1..3 };
        let (points, objectives) = observations(20);
        let gp = GaussianProcess::fit(&points, &objectives, 1).unwrap();
        let best = maximise(&gp, &cube, 1.8, &points[..5], 3, &|point| Some(point.to_vec())).unwrap();
        assert!(best.iter().all(|x| (0.0..=1.0).contains(x)) && best[1] <= best[2], "{best:?}");
        let bound = |x: &[f64]| gp.posterior(x).mean + 1.8 * gp.posterior(x).sd;
        assert!((0..4000).all(|index| bound(&cube.sobol(index, 77)) <= bound(&best) + 1e-3));
    }

    #[test]
    fn a_pending_trial_sends_the_next_elsewhere_without_moving_the_mean() {
        let (points, objectives) = observations(12);
        let gp = GaussianProcess::fit(&points, &objectives, 1).unwrap();
        let cube = Cube { dimension: 3, ascending: 1..3 };
        let first = maximise(&gp, &cube, 3.0, &points[..5], 3, &|point| Some(point.to_vec())).unwrap();
        let before = gp.posterior(&first);
        let pending = gp.with_pending(std::slice::from_ref(&first)).unwrap();
        let after = pending.posterior(&first);
        assert!((before.mean - after.mean).abs() < 1e-9);
        assert!(after.sd < 0.5 * before.sd, "{before:?} {after:?}");
        let second = maximise(&pending, &cube, 3.0, &points[..5], 3, &|point| Some(point.to_vec())).unwrap();
        assert!(first.iter().zip(&second).any(|(a, b)| (a - b).abs() > 0.02), "{first:?} {second:?}");
    }

    #[test]
    fn brochus_kappa_grows() {
        assert!(Exploration::Brochu.kappa(40, 10) > Exploration::Brochu.kappa(10, 10));
        assert!((Exploration::DEFAULT.kappa(40, 10) - 1.8).abs() < 1e-12);
    }
}
