//! The policy: which trial comes next, as a pure function of a study's plan and its trials so far.
//!
//! A study goes through stages. Three replicates of the uniform sampler give the baseline and tell how noisy an
//! objective is; then comes an initial design; then the upper confidence bound of the surrogate proposes. The best
//! few by posterior mean are confirmed under fresh seeds, and the best mean wins. Last, networks are retrained from
//! scratch under the uniform sampler and under the winner.
//!
//! Every random choice is seeded by (study seed, trial number, purpose), so a study that was interrupted goes on with the
//! same proposals.

mod belief;
mod design;
mod gain;
mod protocol;
mod stage;
mod strategy;
mod surrogate;
mod trial;

use serde::{Deserialize, Serialize};
use swift_sampler::SamplerSpec;

use crate::acquisition::Exploration;
use crate::behaviour::Behaviour;
use crate::gp::GpError;
use crate::optimiser::{self, Method};
use crate::randomness::seed_for;
use crate::space::{Space, SpaceError};

pub use belief::Belief;
pub use design::Design;
pub use gain::{Gain, Verdict, verdict};
pub use protocol::{Confirmation, LABEL_IS_RIGHT, Protocol, Stopping, WarmStart, exact_labels};
pub use stage::{Standing, Winner, standing};
pub use strategy::Strategy;
pub use surrogate::Samplers;
pub use trial::{Purpose, TrialParameters, TrialRecord, TrialStanding};

/// What a study searches, and how long.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// The samplers searched.
    pub space: Space,
    /// Short trials in all, baseline included.
    pub trials: usize,
    /// Of these, replicates of the uniform sampler.
    pub baselines: usize,
    /// Of these, points of the initial design, before the surrogate proposes.
    pub initial: usize,
    /// What these are.
    #[serde(default, skip_serializing_if = "trial::is_default")]
    pub design: Design,
    /// κ.
    pub exploration: Exploration,
    /// How points are chosen.
    #[serde(default, skip_serializing_if = "trial::is_default")]
    pub strategy: Strategy,
    /// How the search by the surrogate learns and looks ahead.
    #[serde(default, skip_serializing_if = "trial::is_default")]
    pub method: Method,
    /// Best samplers that are tried again under fresh seeds.
    pub finalists: usize,
    /// Fresh seeds a finalist.
    pub finalist_seeds: usize,
    /// Seeds of retraining from scratch, a sampler.
    pub retrain_seeds: usize,
    /// Seeds everything.
    pub seed: u64,
    /// Epochs of a short trial, which a trial's `stop_below` is planned for; 0 in studies stored before it was known here.
    #[serde(default, skip_serializing_if = "trial::is_default")]
    pub epochs: u32,
    /// How trials are run.
    #[serde(default, skip_serializing_if = "trial::is_default")]
    pub protocol: Protocol,
}

impl Plan {
    /// Returns whether the plan is of a study that began before plans had protocols.
    #[must_use]
    pub fn precedes_protocols(&self) -> bool {
        self.epochs == 0
    }

    /// Returns how many samplers networks are retrained under: the uniform one, the one found, the exact one if asked for.
    #[must_use]
    pub fn retrained_samplers(&self) -> usize {
        2 + usize::from(self.protocol.exact_labels)
    }

    /// Returns how many trials the study has in all, if it finds as many finalists as it looks for.
    #[must_use]
    pub fn trials_in_all(&self) -> usize {
        self.trials
            + stage::confirmations_of(self, self.finalists)
            + self.retrained_samplers() * self.retrain_seeds
            + self.protocol.rank_check
    }
}

/// What to do next.
#[derive(Debug, Clone, PartialEq)]
pub enum Proposal {
    /// Add this trial.
    Add(Box<TrialParameters>),
    /// Nothing can be proposed before trials under way have ended.
    Wait,
    /// Every trial has ended.
    Finished,
}

/// Why the policy cannot propose.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum PolicyError {
    /// The plan's space is not one.
    #[error("search space: {0}")]
    Space(#[from] SpaceError),
    /// The surrogate failed.
    #[error("surrogate: {0}")]
    Surrogate(#[from] GpError),
    /// No trial of the search succeeded.
    #[error("none of the {0} trials succeeded: there is no sampler to recommend")]
    NothingSucceeded(usize),
    /// The trials are not numbered 0, 1, 2, …
    #[error("trial {found} stands where {expected} should")]
    Numbering {
        /// Its number.
        found: u64,
        /// Its position.
        expected: u64,
    },
}

/// Returns the next proposal of a study whose trials so far are `records`, in order of number, over the dataset that
/// `behaviour` describes.
///
/// # Errors
/// [`PolicyError`] when the plan is impossible or nothing succeeded.
pub fn next(plan: &Plan, behaviour: &Behaviour, records: &[TrialRecord]) -> Result<Proposal, PolicyError> {
    plan.space.validate()?;
    for (expected, record) in (0u64..).zip(records) {
        if record.number != expected {
            return Err(PolicyError::Numbering { found: record.number, expected });
        }
    }
    let number = records.len() as u64;
    let searched = records.iter().filter(|record| record.parameters.purpose.is_search()).count();
    if searched < plan.trials {
        let proposed = propose_search(plan, behaviour, records, number)?;
        return Ok(proposed.map_or(Proposal::Wait, |parameters| Proposal::Add(Box::new(parameters))));
    }
    stage::after_search(plan, behaviour, records, number)
}

/// The next trial of the search; `None` while it has to wait for trials under way.
fn propose_search(
    plan: &Plan,
    behaviour: &Behaviour,
    records: &[TrialRecord],
    number: u64,
) -> Result<Option<TrialParameters>, PolicyError> {
    let position = records.len();
    if position < plan.baselines {
        let seed = seed_for(plan.seed, number, "training");
        let uniform = uniform(plan, behaviour, Purpose::Baseline, seed);
        return Ok(Some(TrialParameters { mode: plan.protocol.draws, ..uniform }));
    }
    let samplers = Samplers { space: &plan.space, behaviour };
    let (purpose, point) = match surrogate::learn(plan, records, number)? {
        _ if plan.strategy != Strategy::Surrogate => match strategy::point(plan, &samplers, records) {
            Some(point) => (Purpose::Search, point),
            None => return Ok(None),
        },
        Some(surrogate) if position >= plan.baselines + plan.initial => {
            let seed = seed_for(plan.seed, number, "acquisition");
            let pending = surrogate::pending(records);
            (Purpose::Search, surrogate.propose(&surrogate::options(plan), &samplers, &pending, seed)?)
        }
        _ => (Purpose::Initial, initial_point(plan, &samplers, position - plan.baselines)),
    };
    let (sampler, behaviour) = samplers.placed(&point).expect("only points worth a trial are proposed");
    // The first replicate of the uniform sampler has number 0: with a common seed it is one of those that are compared.
    let seed = seed_for(plan.seed, if plan.protocol.common_seed { 0 } else { number }, "training");
    let stop_below = plan.protocol.stopping.map(|rule| rule.stop_below(records, plan.epochs)).unwrap_or_default();
    let mode = plan.protocol.draws;
    let blank = TrialParameters::new(purpose, sampler, seed);
    Ok(Some(TrialParameters { point, behaviour, mode, stop_below, ..blank }))
}

/// The initial point `index`: a sampler that an earlier study found, then the design's points.
fn initial_point(plan: &Plan, samplers: &Samplers<'_>, index: usize) -> Vec<f64> {
    let found =
        plan.protocol.warm_start.iter().flat_map(|earlier| &earlier.samplers).filter_map(|sampler| match sampler {
            SamplerSpec::Swift(spec) => plan.space.point(spec).ok(),
            SamplerSpec::Uniform {} | SamplerSpec::Column { .. } => None,
        });
    let found: Vec<Vec<f64>> = found.filter(|point| samplers.placed(point).is_some()).collect();
    if let Some(found) = found.get(index) {
        return found.clone();
    }
    let index = index - found.len();
    match plan.design {
        Design::Sobol => None,
        Design::Shapes => design::shape(&plan.space, index).filter(|point| samplers.placed(point).is_some()),
    }
    .unwrap_or_else(|| optimiser::initial(samplers, index as u64, plan.seed))
}

fn uniform(plan: &Plan, behaviour: &Behaviour, purpose: Purpose, seed: u64) -> TrialParameters {
    let sampler = SamplerSpec::Uniform {};
    let coordinates = behaviour.coordinates(&sampler).expect("the uniform sampler draws every example");
    let point = plan.space.uniform_point();
    TrialParameters { point, behaviour: coordinates, ..TrialParameters::new(purpose, sampler, seed) }
}

#[cfg(test)]
mod tests;
