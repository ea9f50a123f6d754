//! Layer norm.

use tch::nn::Path;
use tch::{Device, Kind, Tensor};

use super::add_without_decay;
use crate::torch::images::to_i64;

/// Layer norm over the last dimension, in f32 whatever the input is.
#[derive(Debug)]
pub(in crate::torch) struct LayerNorm {
    weight: Tensor,
    bias: Tensor,
    epsilon: f64,
}

impl LayerNorm {
    pub(in crate::torch) fn new(path: &Path<'_>, width: usize, epsilon: f64) -> Self {
        let (size, options) = ([to_i64(width)], (Kind::Float, Device::Cpu));
        Self {
            weight: add_without_decay(path, "weight", &Tensor::ones(size, options)),
            bias: add_without_decay(path, "bias", &Tensor::zeros(size, options)),
            epsilon,
        }
    }

    pub(in crate::torch) fn forward(&self, input: &Tensor) -> Tensor {
        let width = self.weight.size();
        input.to_kind(Kind::Float).layer_norm(width, Some(&self.weight), Some(&self.bias), self.epsilon, true)
    }
}
