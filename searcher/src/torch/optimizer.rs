//! The optimiser of a run.

use tch::nn::{AdamW, Optimizer, OptimizerConfig, Sgd, VarStore};

use super::layers::GROUP_WITHOUT_DECAY;
use super::networks::Model;
use crate::target::{self, Recipe, TargetError};

/// Returns a fresh optimiser over what is trained of `model`.
///
/// AdamW leaves biases, norms and tables of positions without weight decay, as the papers of transformers do; stochastic
/// gradient descent has it on all parameters, as the papers of residual networks do.
pub(super) fn optimizer(model: &Model, recipe: &Recipe) -> Result<Optimizer, TargetError> {
    optimizer_of(model.var_store(), model.has_group_without_decay(), recipe)
}

/// Returns a fresh optimiser over `weights`, of which some are in [`GROUP_WITHOUT_DECAY`] where that is `grouped`.
pub(super) fn optimizer_of(weights: &VarStore, grouped: bool, recipe: &Recipe) -> Result<Optimizer, TargetError> {
    let &Recipe { learning_rate, momentum, weight_decay, nesterov, .. } = recipe;
    match recipe.optimizer {
        target::Optimizer::Sgd => {
            let sgd = Sgd { momentum, dampening: 0.0, wd: weight_decay, nesterov };
            Ok(sgd.build(weights, learning_rate)?)
        }
        target::Optimizer::AdamW => {
            let adam = AdamW { beta1: momentum, wd: weight_decay, ..AdamW::default() };
            let mut optimizer = adam.build(weights, learning_rate)?;
            if grouped {
                optimizer.set_weight_decay_group(GROUP_WITHOUT_DECAY, 0.0);
            }
            Ok(optimizer)
        }
    }
}

#[cfg(test)]
mod tests {
    use tch::{Device, Kind, Tensor};

    use super::*;
    use crate::data::ImageShape;
    use crate::target::Architecture;

    /// What a step of no gradient makes of a weight, for one before.
    fn decay(recipe: &Recipe) -> [f64; 3] {
        let shape = ImageShape { channels: 1, height: 8, width: 8 };
        let model = Model::new(Architecture::Cnn, shape, 5, 1, Device::Cpu);
        let names = ["layer1.0.conv1.weight", "bn1.weight", "fc.bias"];
        let value = |name| model.tensor(name).unwrap().abs().sum(Kind::Double).double_value(&[]);
        let before = names.map(value);
        let images = Tensor::ones([2, 1, 8, 8], (Kind::Float, Device::Cpu));
        let loss = model.forward(&images, true).unwrap().logits.sum(Kind::Float) * 0.0;
        optimizer(&model, recipe).unwrap().backward_step(&loss);
        let after = names.map(value);
        [0, 1, 2].map(|number| after[number] / before[number])
    }

    #[test]
    fn adam_w_leaves_norms_and_biases_without_weight_decay_and_gradient_descent_does_not() {
        let close = |found: [f64; 3], expected: [f64; 3]| {
            assert!(found.iter().zip(expected).all(|(found, expected)| (found - expected).abs() < 1e-5), "{found:?}");
        };
        let recipe = Recipe::sgd(0.1, 0.5);
        close(decay(&recipe), [0.95, 0.95, 0.95]);
        close(decay(&Recipe { optimizer: target::Optimizer::AdamW, ..recipe }), [0.95, 1.0, 1.0]);
    }
}
