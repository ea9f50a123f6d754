//! The point of greatest promise: candidates from all over, then local search from the best of them.

use super::Domain;
use crate::acquisition::Promise;
use crate::gp::GaussianProcess;
use crate::lbfgs::{Limits, minimise};
use crate::randomness::{Randomness, seed_for};
use crate::space::Cube;

/// Points of the scrambled Sobol sequence that are tried first.
const SOBOL_CANDIDATES: u32 = 256;
/// Evaluated points whose surroundings are tried besides.
const INCUMBENTS: usize = 5;
/// How each is perturbed, [`PERTURBATIONS`] times each: the standard deviation, in units of the cube's side, and whether
/// only some coordinates move. Steps in few coordinates find what steps in all of them jump over.
const MOVES: [(f64, bool); 4] = [(0.03, false), (0.15, false), (0.1, true), (0.3, true)];
const PERTURBATIONS: usize = 8;
/// Local searches by gradient, and iterations of each.
const CLIMBS: usize = 4;
const CLIMB_ITERATIONS_MAX: usize = 20;
/// Candidates whose surroundings are searched at random in rounds, ever more closely, where there are no gradients.
const WALKS: usize = 6;
const WALK_ROUNDS: u64 = 6;
/// Moves of each in a round.
const WALK_MOVES: usize = 12;
/// Standard deviation of a move in the first round, in units of the cube's side; halved with every round.
const WALK_SD: f64 = 0.15;
/// Chance that a move changes a coordinate.
const WALK_CHANCE: f64 = 0.4;

/// Part of the unit cube.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Box {
    pub(super) lower: Vec<f64>,
    pub(super) upper: Vec<f64>,
}

impl Box {
    pub(super) fn whole(dimension: usize) -> Self {
        Self { lower: vec![0.0; dimension], upper: vec![1.0; dimension] }
    }

    /// Brings a point into the box and into canonical order.
    fn settle(&self, cube: &Cube, point: &mut [f64]) {
        for (x, (lower, upper)) in point.iter_mut().zip(self.lower.iter().zip(&self.upper)) {
            *x = x.clamp(*lower, *upper);
        }
        cube.canonicalise(point);
    }

    fn sobol(&self, cube: &Cube, index: u32, seed: u64) -> Vec<f64> {
        let mut point = cube.sobol(index, seed);
        for (x, (lower, upper)) in point.iter_mut().zip(self.lower.iter().zip(&self.upper)) {
            *x = lower + *x * (upper - lower);
        }
        cube.canonicalise(&mut point);
        point
    }
}

type Candidate = (f64, Vec<f64>);

/// Returns the point of greatest promise in `region` that the domain accepts. `incumbents` are ordered best first.
///
/// Costs about 400 posteriors and 100 with their gradients, or 850 without; O(n²) each.
pub(super) fn maximise(
    gp: &GaussianProcess,
    domain: &dyn Domain,
    promise: Promise,
    incumbents: &[Vec<f64>],
    region: &Box,
    seed: u64,
) -> Vec<f64> {
    let cube = domain.cube();
    let ranked = |points: Vec<Vec<f64>>| -> Vec<Candidate> {
        let (points, coordinates): (Vec<Vec<f64>>, Vec<Vec<f64>>) =
            points.into_iter().filter_map(|point| domain.place(&point).map(|place| (point, place))).unzip();
        let promises = gp.posteriors(&coordinates).into_iter().map(|posterior| promise.of(posterior).0);
        promises.zip(points).collect()
    };
    let everywhere = (0..SOBOL_CANDIDATES).map(|index| region.sobol(&cube, index, seed));
    let mut candidates = ranked(everywhere.chain(perturbations(&cube, region, incumbents, seed)).collect());
    if domain.is_plain() {
        keep_best(&mut candidates, CLIMBS);
        candidates = candidates.into_iter().map(|(_, start)| climb(gp, promise, region, &start)).collect();
    } else {
        for round in 0..WALK_ROUNDS {
            keep_best(&mut candidates, WALKS);
            let moved = walks(&cube, region, &candidates, round, seed);
            candidates.extend(ranked(moved));
        }
    }
    keep_best(&mut candidates, 1);
    candidates.pop().expect("a domain accepts nearly every point").1
}

fn keep_best(candidates: &mut Vec<Candidate>, count: usize) {
    candidates.sort_by(|a, b| b.0.total_cmp(&a.0));
    candidates.truncate(count);
}

fn climb(gp: &GaussianProcess, promise: Promise, region: &Box, start: &[f64]) -> Candidate {
    let limits = Limits {
        lower: region.lower.clone(),
        upper: region.upper.clone(),
        iterations_max: CLIMB_ITERATIONS_MAX,
        gradient_tolerance: 1e-6,
    };
    let negative = |x: &[f64], gradient: &mut [f64]| -> f64 {
        let (posterior, of_mean, of_sd) = gp.posterior_with_gradient(x);
        let (value, by_mean, by_sd) = promise.of(posterior);
        for (j, slot) in gradient.iter_mut().enumerate() {
            *slot = -(by_mean * of_mean[j] + by_sd * of_sd[j]);
        }
        -value
    };
    let minimum = minimise(negative, start, &limits);
    (-minimum.value, minimum.point)
}

fn walks(cube: &Cube, region: &Box, from: &[Candidate], round: u64, seed: u64) -> Vec<Vec<f64>> {
    let mut randomness = Randomness::new(seed_for(seed, round, "local search"));
    let sd = WALK_SD * 0.5f64.powf(round as f64);
    let mut moved = Vec::with_capacity(from.len() * WALK_MOVES);
    for (_, start) in from {
        for _ in 0..WALK_MOVES {
            moved.push(perturbed(cube, region, start, sd, WALK_CHANCE, &mut randomness));
        }
    }
    moved
}

fn perturbations(cube: &Cube, region: &Box, incumbents: &[Vec<f64>], seed: u64) -> Vec<Vec<f64>> {
    let mut randomness = Randomness::new(seed_for(seed, 0, "perturbation"));
    let mut points = Vec::with_capacity(INCUMBENTS * PERTURBATIONS * MOVES.len());
    for incumbent in incumbents.iter().take(INCUMBENTS) {
        for _ in 0..PERTURBATIONS {
            for (sd, is_sparse) in MOVES {
                let chance = if is_sparse { 0.2 + 0.2 * randomness.uniform() } else { 1.0 };
                points.push(perturbed(cube, region, incumbent, sd, chance, &mut randomness));
            }
        }
    }
    points
}

/// `start` with each coordinate moved by a chance.
fn perturbed(cube: &Cube, region: &Box, start: &[f64], sd: f64, chance: f64, randomness: &mut Randomness) -> Vec<f64> {
    let mut point: Vec<f64> = start
        .iter()
        .map(|x| {
            let moves = randomness.uniform() < chance;
            if moves { x + sd * randomness.normal() } else { *x }
        })
        .collect();
    region.settle(cube, &mut point);
    point
}
