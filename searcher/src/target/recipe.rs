//! How a target is trained: optimiser and step size.

use serde::{Deserialize, Serialize};

/// How a target's optimiser (stochastic gradient descent) is set.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Recipe {
    /// Step size of the first step.
    pub learning_rate: f64,
    /// How the step size goes on.
    pub schedule: Schedule,
    /// Share of the last update that is repeated; 0 is plain gradient descent.
    pub momentum: f64,
    /// Strength of the L2 penalty.
    pub weight_decay: f64,
}

/// How the step size changes over a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Schedule {
    /// It stays as it is.
    Constant,
    /// It falls to 0 along half a cosine, so that the last epoch's accuracy is not that of a chance moment.
    Cosine,
}

impl Schedule {
    /// Returns the factor of the step size at `step` of `steps`.
    #[must_use]
    pub fn factor(self, step: u64, steps: u64) -> f64 {
        match self {
            Self::Constant => 1.0,
            Self::Cosine => 0.5 * (1.0 + (std::f64::consts::PI * step as f64 / steps as f64).cos()),
        }
    }
}

/// What a run sets differently from its target's [`Recipe`].
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct RecipeOverrides {
    /// Step size of the first step.
    pub learning_rate: Option<f64>,
    /// How the step size goes on.
    pub schedule: Option<Schedule>,
    /// Momentum.
    pub momentum: Option<f64>,
    /// Weight decay.
    pub weight_decay: Option<f64>,
}

impl RecipeOverrides {
    /// Returns `recipe` with these overrides in place.
    #[must_use]
    pub fn apply(&self, recipe: Recipe) -> Recipe {
        Recipe {
            learning_rate: self.learning_rate.unwrap_or(recipe.learning_rate),
            schedule: self.schedule.unwrap_or(recipe.schedule),
            momentum: self.momentum.unwrap_or(recipe.momentum),
            weight_decay: self.weight_decay.unwrap_or(recipe.weight_decay),
        }
    }
}
