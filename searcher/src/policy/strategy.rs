//! How the points of a search are chosen: by the surrogate, or by one of the ways that it is compared with.

use serde::{Deserialize, Serialize};

use super::surrogate::Samplers;
use super::{Plan, TrialRecord, TrialStanding};
use crate::optimiser::Domain;
use crate::randomness::{Randomness, seed_for};

/// Trials that REINFORCE draws from one distribution before it moves it.
const BATCH: usize = 8;
/// σ of the distribution, in each coordinate before it is squashed into 0 to 1.
const DEVIATION: f64 = 0.2;
/// Step size of Adam on the distribution's mean.
const LEARNING_RATE: f64 = 0.05;
/// Adam's memory of gradients and of their squares.
const MOMENTS: (f64, f64) = (0.9, 0.999);
/// Adam's guard against division by 0.
const EPSILON: f64 = 1e-8;

/// How the points of a search are chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Strategy {
    /// Sobol points, then by a Gaussian process that learns from the trials.
    #[default]
    Surrogate,
    /// Uniformly at random.
    Random,
    /// Policy gradients (Williams 1992): points z = 1/(1+e^-a) with a ~ N(m, σ²I), eight at a time, after which m moves by
    /// Adam along Σ r (a - m)/σ² for standardised objectives r.
    Reinforce,
}

/// Where a strategy without a surrogate looks next; `None` while trials that it has to learn from are under way.
pub(super) fn point(plan: &Plan, samplers: &Samplers<'_>, records: &[TrialRecord]) -> Option<Vec<f64>> {
    let position = records.len();
    let mut randomness = Randomness::new(seed_for(plan.seed, position as u64, "strategy"));
    let dimension = samplers.cube().dimension;
    match plan.strategy {
        Strategy::Reinforce => {
            let mean = mean(plan, samplers, records)?;
            Some(placed(samplers, &deviate(samplers, &mean, &mut randomness)))
        }
        Strategy::Surrogate | Strategy::Random => loop {
            let point = canonical(samplers, (0..dimension).map(|_| randomness.uniform()).collect());
            if samplers.place(&point).is_some() {
                return Some(point);
            }
        },
    }
}

/// The mean of the distribution that the next trial comes from; `None` while trials of an earlier batch are under way.
fn mean(plan: &Plan, samplers: &Samplers<'_>, records: &[TrialRecord]) -> Option<Vec<f64>> {
    let mut adam = Adam::new(samplers.cube().dimension);
    let searched = &records[plan.baselines..];
    let complete = searched.len() / BATCH * BATCH;
    for (number, batch) in (0..).zip(searched[..complete].chunks(BATCH)) {
        if batch.iter().any(|record| record.standing == TrialStanding::Pending) {
            return None;
        }
        let first = plan.baselines + number * BATCH;
        let drawn: Vec<Vec<f64>> = (first..first + BATCH)
            .map(|position| {
                let mut randomness = Randomness::new(seed_for(plan.seed, position as u64, "strategy"));
                deviate(samplers, &adam.value, &mut randomness)
            })
            .collect();
        adam.ascend(&gradient(&adam.value, &drawn, &rewards(batch)));
    }
    Some(adam.value)
}

/// A draw of a ~ N(`mean`, σ²I) whose sampler is worth a trial.
fn deviate(samplers: &Samplers<'_>, mean: &[f64], randomness: &mut Randomness) -> Vec<f64> {
    loop {
        let drawn: Vec<f64> = mean.iter().map(|mean| mean + DEVIATION * randomness.normal()).collect();
        if samplers.place(&placed(samplers, &drawn)).is_some() {
            return drawn;
        }
    }
}

/// The point of the cube that a draw stands for.
fn placed(samplers: &Samplers<'_>, drawn: &[f64]) -> Vec<f64> {
    canonical(samplers, drawn.iter().map(|a| 1.0 / (1.0 + (-a).exp())).collect())
}

fn canonical(samplers: &Samplers<'_>, mut point: Vec<f64>) -> Vec<f64> {
    samplers.cube().canonicalise(&mut point);
    point
}

/// Objectives less their mean, by their standard deviation. Infeasible trials are as bad as the worst of the batch, failed
/// ones say nothing: `None`.
fn rewards(batch: &[TrialRecord]) -> Vec<Option<f64>> {
    let worst = batch.iter().filter_map(TrialRecord::objective).fold(f64::INFINITY, f64::min);
    let objective = |record: &TrialRecord| match record.standing {
        TrialStanding::Succeeded(objective) => Some(objective),
        TrialStanding::Infeasible if worst.is_finite() => Some(worst),
        _ => None,
    };
    let objectives: Vec<Option<f64>> = batch.iter().map(objective).collect();
    let known: Vec<f64> = objectives.iter().copied().flatten().collect();
    let count = known.len().max(1) as f64;
    let mean = known.iter().sum::<f64>() / count;
    let deviation = (known.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / count).sqrt().max(EPSILON);
    objectives.into_iter().map(|objective| objective.map(|objective| (objective - mean) / deviation)).collect()
}

/// The mean over the batch of r (a - m)/σ².
fn gradient(mean: &[f64], drawn: &[Vec<f64>], rewards: &[Option<f64>]) -> Vec<f64> {
    let count = rewards.iter().flatten().count().max(1) as f64;
    let along = |axis: usize| {
        let terms = drawn.iter().zip(rewards).filter_map(|(a, reward)| Some((*reward)? * (a[axis] - mean[axis])));
        terms.sum::<f64>() / DEVIATION.powi(2) / count
    };
    (0..mean.len()).map(along).collect()
}

/// Adam (Kingma and Ba 2015), uphill from the middle of the cube.
struct Adam {
    value: Vec<f64>,
    first: Vec<f64>,
    second: Vec<f64>,
    steps: i32,
}

impl Adam {
    fn new(dimension: usize) -> Self {
        let zeros = vec![0.0; dimension];
        Self { value: zeros.clone(), first: zeros.clone(), second: zeros, steps: 0 }
    }

    fn ascend(&mut self, gradient: &[f64]) {
        self.steps += 1;
        let bias = (1.0 - MOMENTS.0.powi(self.steps), 1.0 - MOMENTS.1.powi(self.steps));
        for (axis, slope) in gradient.iter().enumerate() {
            self.first[axis] += (1.0 - MOMENTS.0) * (slope - self.first[axis]);
            self.second[axis] += (1.0 - MOMENTS.1) * (slope.powi(2) - self.second[axis]);
            let (first, second) = (self.first[axis] / bias.0, self.second[axis] / bias.1);
            self.value[axis] += LEARNING_RATE * first / (second.sqrt() + EPSILON);
        }
    }
}
