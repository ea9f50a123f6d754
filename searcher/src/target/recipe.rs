//! How a target is trained: optimiser, step size, loss and precision.

use serde::{Deserialize, Serialize};

use super::Mixing;

/// How a target is trained.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Recipe {
    /// Step size of the first step behind the warm-up.
    pub learning_rate: f64,
    /// How the step size goes on.
    pub schedule: Schedule,
    /// Share of the last update that is repeated; 0 is plain gradient descent. AdamW's β₁.
    pub momentum: f64,
    /// Strength of the L2 penalty; AdamW takes this share of the step size off the weights instead.
    pub weight_decay: f64,
    /// Gradients are taken where momentum leads (Nesterov); of no account to AdamW.
    #[serde(default)]
    pub nesterov: bool,
    /// What makes steps of gradients.
    #[serde(default)]
    pub optimizer: Optimizer,
    /// Share of a run's steps over which the step size grows linearly from 0.
    #[serde(default)]
    pub warm_up: f64,
    /// Share of a label that is spread over all classes.
    #[serde(default)]
    pub label_smoothing: f64,
    /// How images of a batch are mixed with each other.
    #[serde(default)]
    pub mixing: Mixing,
    /// Euclidean norm that longer gradients, of all parameters together, are shortened to.
    #[serde(default)]
    pub clip_norm: Option<f64>,
    /// What convolutions and matrix products are computed in.
    #[serde(default)]
    pub precision: Precision,
}

/// What makes steps of gradients.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Optimizer {
    /// Stochastic gradient descent with momentum.
    #[default]
    Sgd,
    /// Adam with decoupled weight decay (Loshchilov and Hutter, 2019), β₂ = .999, ε = 1e-8. Biases, norms and tables of positions
    /// do not decay.
    AdamW,
}

/// What convolutions and matrix products are computed in, while training. Weights, norms, losses and all that is measured of a
/// network are f32 in any case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Precision {
    /// 32 bits.
    #[default]
    F32,
    /// bfloat16. On a CPU without instructions for it this is slow.
    Bf16,
    /// bfloat16 on a GPU, 32 bits on a CPU.
    Bf16OnGpu,
}

/// How the step size changes over a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Schedule {
    /// It stays as it is.
    Constant,
    /// It falls to 0 along half a cosine, so that the last epoch's accuracy is not that of a chance moment.
    Cosine,
    /// It is multiplied by `factor` after each of `epochs`, counted in a run of `of` epochs. In a run of another length they move
    /// along with its end, so that short trials go through all of it.
    Steps {
        /// When it changes.
        epochs: Vec<u32>,
        /// Length of the run in which that is so.
        of: u32,
        /// What it is multiplied by.
        factor: f64,
    },
}

impl Schedule {
    /// Returns the factor of the step size at `step` of `steps`.
    #[must_use]
    pub fn factor(&self, step: u64, steps: u64) -> f64 {
        let done = step as f64 / steps as f64;
        match self {
            Self::Constant => 1.0,
            Self::Cosine => 0.5 * (1.0 + (std::f64::consts::PI * step as f64 / steps as f64).cos()),
            Self::Steps { epochs, of, factor } => {
                let passed = epochs.iter().filter(|&&epoch| done >= f64::from(epoch) / f64::from(*of)).count();
                factor.powi(i32::try_from(passed).unwrap_or(i32::MAX))
            }
        }
    }
}

impl Recipe {
    /// Stochastic gradient descent with momentum .9 along a cosine, in 32 bits.
    #[must_use]
    pub const fn sgd(learning_rate: f64, weight_decay: f64) -> Self {
        Self {
            learning_rate,
            schedule: Schedule::Cosine,
            momentum: 0.9,
            weight_decay,
            nesterov: false,
            optimizer: Optimizer::Sgd,
            warm_up: 0.0,
            label_smoothing: 0.0,
            mixing: Mixing { mixup: 0.0, cutmix: 0.0 },
            clip_norm: None,
            precision: Precision::F32,
        }
    }

    /// Returns the step size at `step` of `steps`.
    #[must_use]
    pub fn learning_rate_at(&self, step: u64, steps: u64) -> f64 {
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of the steps of a run")]
        let warm_up = (self.warm_up * steps as f64).round() as u64;
        if step < warm_up {
            return self.learning_rate * (step + 1) as f64 / warm_up as f64;
        }
        self.learning_rate * self.schedule.factor(step - warm_up, steps - warm_up)
    }

    /// Returns what is wrong with the recipe: a field, its value, and what is expected of it.
    #[must_use]
    pub fn fault(&self) -> Option<(&'static str, String, &'static str)> {
        let share = 0.0..1.0;
        let amount = |value: f64| value.is_finite() && value >= 0.0;
        let positive = |value: f64| value.is_finite() && value > 0.0;
        let steps_fit = match &self.schedule {
            Schedule::Steps { of, factor, .. } => *of > 0 && positive(*factor),
            Schedule::Constant | Schedule::Cosine => true,
        };
        let of_share = "a number from 0 to below 1 is needed";
        let checks = [
            ("learning_rate", positive(self.learning_rate), self.learning_rate, "a finite number above 0 is needed"),
            ("momentum", share.contains(&self.momentum), self.momentum, of_share),
            ("weight_decay", amount(self.weight_decay), self.weight_decay, "a finite number of at least 0 is needed"),
            ("warm_up", share.contains(&self.warm_up), self.warm_up, of_share),
            ("label_smoothing", share.contains(&self.label_smoothing), self.label_smoothing, of_share),
            ("mixup", amount(self.mixing.mixup), self.mixing.mixup, "a finite number of at least 0 is needed"),
            ("cutmix", amount(self.mixing.cutmix), self.mixing.cutmix, "a finite number of at least 0 is needed"),
            (
                "clip_norm",
                self.clip_norm.is_none_or(positive),
                self.clip_norm.unwrap_or_default(),
                "a finite number above 0 is needed",
            ),
        ];
        let fault = checks
            .into_iter()
            .find(|(_, right, ..)| !right)
            .map(|(field, _, value, expected)| (field, value.to_string(), expected));
        let schedule = || ("schedule", format!("{:?}", self.schedule), "a length and a factor above 0 are needed");
        fault.or_else(|| (!steps_fit).then(schedule)).or_else(|| {
            (self.nesterov && self.momentum <= 0.0 && self.optimizer == Optimizer::Sgd)
                .then(|| ("momentum", self.momentum.to_string(), "Nesterov's needs a number above 0"))
        })
    }
}

/// What a run sets differently from its target's [`Recipe`].
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct RecipeOverrides {
    /// Step size.
    pub learning_rate: Option<f64>,
    /// How the step size goes on.
    pub schedule: Option<Schedule>,
    /// Momentum.
    pub momentum: Option<f64>,
    /// Weight decay.
    pub weight_decay: Option<f64>,
    /// Whether momentum is Nesterov's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nesterov: Option<bool>,
    /// What makes steps of gradients.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub optimizer: Option<Optimizer>,
    /// Share of the steps over which the step size grows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub warm_up: Option<f64>,
    /// Share of a label that is spread.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label_smoothing: Option<f64>,
    /// How images of a batch are mixed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mixing: Option<Mixing>,
    /// Norm that gradients are shortened to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clip_norm: Option<f64>,
    /// What convolutions and matrix products are computed in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub precision: Option<Precision>,
}

impl RecipeOverrides {
    /// Returns overrides that leave nothing of the target's recipe but its norm of gradients and its mixing, where `recipe` has
    /// none.
    #[must_use]
    pub fn all(recipe: Recipe) -> Self {
        let Recipe { learning_rate, schedule, momentum, weight_decay, .. } = recipe;
        Self {
            learning_rate: Some(learning_rate),
            schedule: Some(schedule),
            momentum: Some(momentum),
            weight_decay: Some(weight_decay),
            nesterov: Some(recipe.nesterov),
            optimizer: Some(recipe.optimizer),
            warm_up: Some(recipe.warm_up),
            label_smoothing: Some(recipe.label_smoothing),
            // Records of before images were mixed are those of recipes that mix none.
            mixing: (!recipe.mixing.is_none()).then_some(recipe.mixing),
            clip_norm: recipe.clip_norm,
            precision: Some(recipe.precision),
        }
    }

    /// Returns `recipe` with these overrides in place.
    #[must_use]
    pub fn apply(&self, recipe: Recipe) -> Recipe {
        Recipe {
            learning_rate: self.learning_rate.unwrap_or(recipe.learning_rate),
            schedule: self.schedule.clone().unwrap_or(recipe.schedule),
            momentum: self.momentum.unwrap_or(recipe.momentum),
            weight_decay: self.weight_decay.unwrap_or(recipe.weight_decay),
            nesterov: self.nesterov.unwrap_or(recipe.nesterov),
            optimizer: self.optimizer.unwrap_or(recipe.optimizer),
            warm_up: self.warm_up.unwrap_or(recipe.warm_up),
            label_smoothing: self.label_smoothing.unwrap_or(recipe.label_smoothing),
            mixing: self.mixing.unwrap_or(recipe.mixing),
            clip_norm: self.clip_norm.or(recipe.clip_norm),
            precision: self.precision.unwrap_or(recipe.precision),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STEPS_AN_EPOCH: u64 = 10;

    fn of_cifar() -> Schedule {
        Schedule::Steps { epochs: vec![40, 80], of: 80, factor: 0.1 }
    }

    #[test]
    #[allow(clippy::float_cmp, reason = "powers of one number")]
    fn steps_are_at_their_epochs_and_move_along_in_shorter_runs() {
        let factor = |epoch: u64, epochs: u64| of_cifar().factor(epoch * STEPS_AN_EPOCH, epochs * STEPS_AN_EPOCH);
        assert_eq!([0, 39, 40, 79].map(|epoch| factor(epoch, 80)), [1.0, 1.0, 0.1, 0.1]);
        assert_eq!([0, 1, 2, 3].map(|epoch| factor(epoch, 4)), [1.0, 1.0, 0.1, 0.1]);
        let thrice = Schedule::Steps { epochs: vec![30, 60, 90], of: 100, factor: 0.1 };
        for (epoch, power) in [(29, 0), (30, 1), (59, 1), (60, 2), (89, 2), (90, 3), (99, 3)] {
            assert_eq!(thrice.factor(epoch, 100), 0.1_f64.powi(power), "{epoch}");
        }
    }

    #[test]
    fn a_warm_up_reaches_the_step_size_and_the_cosine_begins_there() {
        let recipe = Recipe { warm_up: 0.1, ..Recipe::sgd(2.0, 0.0) };
        let rates: Vec<f64> = (0..100).map(|step| recipe.learning_rate_at(step, 100)).collect();
        assert!((rates[0] - 0.2).abs() < 1e-12 && (rates[9] - 2.0).abs() < 1e-12 && (rates[10] - 2.0).abs() < 1e-12);
        assert!(rates[10..].windows(2).all(|pair| pair[1] < pair[0]) && rates[99] < 0.001);
        // Without one it is the cosine that studies of before there was a warm-up were trained with.
        let before = Recipe::sgd(2.0, 0.0).learning_rate_at(7, 100);
        assert!((before - (1.0 + (std::f64::consts::PI * 0.07).cos())).abs() < 1e-12);
    }

    #[test]
    fn overrides_of_before_there_were_more_are_read_and_written_as_ever() {
        let old = r#"{"learning_rate":0.1,"schedule":"cosine","momentum":null,"weight_decay":null}"#;
        let overrides: RecipeOverrides = serde_json::from_str(old).unwrap();
        assert_eq!(serde_json::to_string(&overrides).unwrap(), old);
        let recipe: Recipe =
            serde_json::from_str(r#"{"learning_rate":0.05,"schedule":"cosine","momentum":0.9,"weight_decay":0.0}"#)
                .unwrap();
        assert_eq!(recipe, Recipe::sgd(0.05, 0.0));
        let json =
            serde_json::to_string(&RecipeOverrides::all(Recipe { schedule: of_cifar(), ..recipe.clone() })).unwrap();
        let read: RecipeOverrides = serde_json::from_str(&json).unwrap();
        assert_eq!(read.apply(Recipe::sgd(9.0, 9.0)), Recipe { schedule: of_cifar(), ..recipe });
    }

    #[test]
    fn faults_name_the_field() {
        let right = Recipe::sgd(0.1, 0.0);
        assert_eq!(right.fault(), None);
        let field = |recipe: Recipe| recipe.fault().unwrap().0;
        assert_eq!(field(Recipe { learning_rate: f64::NAN, ..right.clone() }), "learning_rate");
        assert_eq!(field(Recipe { label_smoothing: 1.0, ..right.clone() }), "label_smoothing");
        let negative = Mixing { mixup: -1.0, cutmix: 0.0 };
        assert_eq!(field(Recipe { mixing: negative, ..right.clone() }), "mixup");
        assert_eq!(field(Recipe { warm_up: -0.1, ..right.clone() }), "warm_up");
        assert_eq!(field(Recipe { clip_norm: Some(0.0), ..right.clone() }), "clip_norm");
        assert_eq!(field(Recipe { nesterov: true, momentum: 0.0, ..right.clone() }), "momentum");
        let endless = Schedule::Steps { epochs: vec![1], of: 0, factor: 0.1 };
        assert_eq!(field(Recipe { schedule: endless, ..right }), "schedule");
    }
}
