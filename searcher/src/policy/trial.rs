//! What a trial is and how it stands, as the policy sees it and the registry keeps it.

use serde::{Deserialize, Serialize};
use swift_sampler::{Replacement, SamplerSpec};

use crate::target::Start;

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
    /// How the draws of an epoch relate to each other.
    #[serde(default, skip_serializing_if = "is_default")]
    pub mode: Replacement,
    /// Epochs it trains for; absent: as many as the study's training says for its purpose.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epochs: Option<u32>,
    /// Weights it starts from; absent: those the study's training says for its purpose.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start: Option<Start>,
    /// Least validation accuracies after epoch 1, 2, …: a trial below the one of its epoch ends there, and the accuracy it
    /// has is its objective. Whether it is stopped so depends on its parameters only. Empty: it is never stopped.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stop_below: Vec<f64>,
    /// Why the daemon refused the sampler; the trial is then infeasible without being trained.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
}

impl TrialParameters {
    /// Returns a trial of independent draws that trains as the study says, is never stopped and has no place in the search.
    #[must_use]
    pub fn new(purpose: Purpose, sampler: SamplerSpec, seed: u64) -> Self {
        Self {
            purpose,
            sampler,
            point: Vec::new(),
            behaviour: Vec::new(),
            seed,
            repeats: None,
            mode: Replacement::default(),
            epochs: None,
            start: None,
            stop_below: Vec::new(),
            refused: None,
        }
    }

    /// Returns whether a trial of this accuracy after `epoch`, from 1, ends there.
    #[must_use]
    pub fn stops_at(&self, epoch: u32, accuracy: f64) -> bool {
        let least = (epoch as usize).checked_sub(1).and_then(|index| self.stop_below.get(index));
        least.is_some_and(|least| accuracy < *least)
    }
}

pub(super) fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
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
    /// Its validation accuracy after each epoch so far.
    pub accuracies: Vec<f64>,
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
