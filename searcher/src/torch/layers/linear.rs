//! Fully connected layers.

use tch::Tensor;
use tch::nn::Path;

use super::initialiser::zeros;
use super::{Initialiser, Pass, add_weight, add_without_decay};
use crate::torch::images::to_i64;

/// Initial weights of a fully connected layer.
#[derive(Debug, Clone, Copy)]
pub(in crate::torch) enum LinearWeights {
    /// Weights and bias uniform within 1/sqrt(inputs), as PyTorch does.
    UniformByInputs,
    /// Weights uniform within 1/sqrt(outputs), bias 0.
    UniformByOutputs,
    /// Weights normal with this standard deviation, bias 0.
    Normal(f64),
    /// Weights normal with this standard deviation and truncated, bias 0.
    TruncatedNormal(f64),
}

/// A fully connected layer.
#[derive(Debug)]
pub(in crate::torch) struct Linear {
    weight: Tensor,
    bias: Option<Tensor>,
}

impl Linear {
    /// A layer with bias.
    pub(in crate::torch) fn new(
        path: &Path<'_>,
        initialiser: &mut Initialiser,
        inputs: usize,
        outputs: usize,
        weights: LinearWeights,
    ) -> Self {
        let weight = Self::weight(path, initialiser, inputs, outputs, weights);
        let bias = match weights {
            LinearWeights::UniformByInputs => initialiser.uniform(&[to_i64(outputs)], 1.0 / (inputs as f64).sqrt()),
            _ => zeros(&[to_i64(outputs)]),
        };
        Self { weight, bias: Some(add_without_decay(path, "bias", &bias)) }
    }

    /// A layer without bias.
    pub(in crate::torch) fn without_bias(
        path: &Path<'_>,
        initialiser: &mut Initialiser,
        inputs: usize,
        outputs: usize,
        weights: LinearWeights,
    ) -> Self {
        Self { weight: Self::weight(path, initialiser, inputs, outputs, weights), bias: None }
    }

    fn weight(
        path: &Path<'_>,
        initialiser: &mut Initialiser,
        inputs: usize,
        outputs: usize,
        weights: LinearWeights,
    ) -> Tensor {
        let size = [to_i64(outputs), to_i64(inputs)];
        let values = match weights {
            LinearWeights::UniformByInputs => initialiser.uniform(&size, 1.0 / (inputs as f64).sqrt()),
            LinearWeights::UniformByOutputs => initialiser.uniform(&size, 1.0 / (outputs as f64).sqrt()),
            LinearWeights::Normal(deviation) => initialiser.normal(&size, deviation),
            LinearWeights::TruncatedNormal(deviation) => initialiser.truncated_normal(&size, deviation),
        };
        add_weight(path, "weight", &values)
    }

    pub(in crate::torch) fn forward(&self, input: &Tensor, pass: Pass) -> Tensor {
        let bias = self.bias.as_ref().map(|bias| pass.cast(bias));
        pass.cast(input).linear(&pass.cast(&self.weight), bias.as_ref())
    }
}
