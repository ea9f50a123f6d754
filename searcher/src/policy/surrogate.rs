//! A study's search trials as the optimiser sees them.

use swift_sampler::SamplerSpec;

use super::{Plan, PolicyError, Strategy, TrialRecord, TrialStanding};
use crate::behaviour::Behaviour;
use crate::optimiser::{Domain, Observation, Options, Surrogate};
use crate::randomness::seed_for;
use crate::space::{Cube, Space};

/// Samplers, seen by what they do to a dataset.
#[derive(Debug, Clone, Copy)]
pub struct Samplers<'a> {
    /// Their parameters.
    pub space: &'a Space,
    /// What they do.
    pub behaviour: &'a Behaviour,
}

impl Samplers<'_> {
    /// Returns the sampler at a point and what it does; `None` where it is not worth a trial.
    #[must_use]
    pub fn placed(&self, point: &[f64]) -> Option<(SamplerSpec, Vec<f64>)> {
        let sampler = self.space.sampler_worth_a_trial(point)?;
        let coordinates = self.behaviour.coordinates(&sampler)?;
        Some((sampler, coordinates))
    }
}

impl Domain for Samplers<'_> {
    fn cube(&self) -> Cube {
        self.space.cube()
    }

    fn place(&self, point: &[f64]) -> Option<Vec<f64>> {
        self.placed(point).map(|(_, coordinates)| coordinates)
    }
}

pub(super) fn options(plan: &Plan) -> Options {
    Options {
        method: plan.method,
        exploration: plan.exploration,
        initial: plan.baselines + plan.initial,
        budget: plan.trials,
    }
}

/// Fits the surrogate to the search trials that ended; `None` while they are too few, and in a study that searches without
/// one. A failed trial says nothing.
pub(super) fn learn(plan: &Plan, records: &[TrialRecord], number: u64) -> Result<Option<Surrogate>, PolicyError> {
    if plan.strategy != Strategy::Surrogate {
        return Ok(None);
    }
    let observed = |record: &TrialRecord| {
        let value = match record.standing {
            TrialStanding::Succeeded(objective) => Some(objective),
            TrialStanding::Infeasible => None,
            TrialStanding::Pending | TrialStanding::Failed => return None,
        };
        let parameters = &record.parameters;
        Some(Observation { point: parameters.point.clone(), coordinates: parameters.behaviour.clone(), value })
    };
    let search = records.iter().filter(|record| record.parameters.purpose.is_search());
    let observations: Vec<Observation> = search.filter_map(observed).collect();
    Ok(Surrogate::learn(&options(plan), &observations, seed_for(plan.seed, number, "fit"))?)
}

/// What the search trials under way do.
pub(super) fn pending(records: &[TrialRecord]) -> Vec<Vec<f64>> {
    let under_way = |r: &&TrialRecord| r.parameters.purpose.is_search() && r.standing == TrialStanding::Pending;
    records.iter().filter(under_way).map(|record| record.parameters.behaviour.clone()).collect()
}
