//! The policy: which trial comes next, as a pure function of a study's plan and its trials so far.
//!
//! A study goes through stages. Three replicates of the uniform sampler give the baseline and tell how noisy an
//! objective is; then come scrambled Sobol points; then the upper confidence bound of the surrogate proposes. The best
//! few by posterior mean are confirmed under fresh seeds, and the best mean wins. Last, networks are retrained from
//! scratch under the uniform sampler and under the winner.
//!
//! Every random choice is seeded by (study seed, trial number, purpose), so a study that was interrupted goes on with the
//! same proposals.

mod stage;
mod surrogate;

use serde::{Deserialize, Serialize};
use swift_sampler::SamplerSpec;

use crate::acquisition::Exploration;
use crate::behaviour::Behaviour;
use crate::gp::GpError;
use crate::optimiser;
use crate::randomness::seed_for;
use crate::space::{Space, SpaceError};
pub use stage::{Standing, Winner, standing};
pub use surrogate::Samplers;

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
    /// Of these, Sobol points before the surrogate proposes.
    pub initial: usize,
    /// κ.
    pub exploration: Exploration,
    /// Best samplers that are tried again under fresh seeds.
    pub finalists: usize,
    /// Fresh seeds a finalist.
    pub finalist_seeds: usize,
    /// Seeds of retraining from scratch, a sampler.
    pub retrain_seeds: usize,
    /// Seeds everything.
    pub seed: u64,
}

/// Why a trial is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Purpose {
    /// Uniform sampler, short.
    Baseline,
    /// Sobol point, short.
    Initial,
    /// Proposed by the surrogate, short.
    Search,
    /// A finalist under a fresh seed, short.
    Confirm,
    /// From scratch, full length, with a look at the test set.
    Retrain,
}

impl Purpose {
    /// Returns whether the trial is one of the search's, which the surrogate learns from.
    #[must_use]
    pub fn is_search(self) -> bool {
        matches!(self, Self::Baseline | Self::Initial | Self::Search)
    }
}

/// What a trial is, as the registry keeps it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrialParameters {
    /// Why it is run.
    pub purpose: Purpose,
    /// The sampler, canonical.
    pub sampler: SamplerSpec,
    /// Its point in the unit cube.
    pub point: Vec<f64>,
    /// What it does to the data, as the surrogate sees it.
    pub behaviour: Vec<f64>,
    /// Seeds the training and the draws.
    pub seed: u64,
    /// The search trial whose sampler this one repeats.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repeats: Option<u64>,
    /// Why the daemon refused the sampler; the trial is then infeasible without being trained.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
}

/// How a trial stands.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum TrialStanding {
    /// Waiting or running.
    Pending,
    /// Has its objective.
    Succeeded(f64),
    /// Cannot have an objective; counts as worse than the worst.
    Infeasible,
    /// Crashed or lost; says nothing about its sampler.
    Failed,
}

/// A trial as the policy sees it.
#[derive(Debug, Clone, PartialEq)]
pub struct TrialRecord {
    /// Position in the study.
    pub number: u64,
    /// What it is.
    pub parameters: TrialParameters,
    /// How it stands.
    pub standing: TrialStanding,
}

impl TrialRecord {
    /// Returns the objective if the trial succeeded.
    #[must_use]
    pub fn objective(&self) -> Option<f64> {
        match self.standing {
            TrialStanding::Succeeded(objective) => Some(objective),
            _ => None,
        }
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
        return propose_search(plan, behaviour, records, number).map(|parameters| Proposal::Add(Box::new(parameters)));
    }
    stage::after_search(plan, behaviour, records, number)
}

fn propose_search(
    plan: &Plan,
    behaviour: &Behaviour,
    records: &[TrialRecord],
    number: u64,
) -> Result<TrialParameters, PolicyError> {
    let position = records.len();
    if position < plan.baselines {
        return Ok(uniform(plan, behaviour, Purpose::Baseline, seed_for(plan.seed, number, "training")));
    }
    let samplers = Samplers { space: &plan.space, behaviour };
    let surrogate = surrogate::learn(plan, records, number)?;
    let (purpose, point) = match surrogate {
        Some(surrogate) if position >= plan.baselines + plan.initial => {
            let seed = seed_for(plan.seed, number, "acquisition");
            let pending = surrogate::pending(records);
            (Purpose::Search, surrogate.propose(&surrogate::options(plan), &samplers, &pending, seed)?)
        }
        _ => (Purpose::Initial, optimiser::initial(&samplers, (position - plan.baselines) as u64, plan.seed)),
    };
    let (sampler, behaviour) = samplers.placed(&point).expect("only points worth a trial are proposed");
    let seed = seed_for(plan.seed, number, "training");
    Ok(TrialParameters { purpose, sampler, point, behaviour, seed, repeats: None, refused: None })
}

fn uniform(plan: &Plan, behaviour: &Behaviour, purpose: Purpose, seed: u64) -> TrialParameters {
    let sampler = SamplerSpec::Uniform {};
    let coordinates = behaviour.coordinates(&sampler).expect("the uniform sampler draws every example");
    let point = plan.space.uniform_point();
    TrialParameters { purpose, sampler, point, behaviour: coordinates, seed, repeats: None, refused: None }
}

#[cfg(test)]
mod tests;
