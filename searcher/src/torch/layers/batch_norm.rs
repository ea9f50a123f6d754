//! Batch norm.

use tch::nn::Path;
use tch::{Device, Kind, Tensor};

use super::{Pass, add_buffer, add_without_decay};
use crate::torch::images::to_i64;

/// Weight of the newest batch in the running statistics.
const MOMENTUM: f64 = 0.1;
/// Added to the variance.
const EPSILON: f64 = 1e-5;

/// Batch norm over the channels of images. Its running statistics are saved and restored with the weights.
#[derive(Debug)]
pub(in crate::torch) struct BatchNorm {
    weight: Tensor,
    bias: Tensor,
    running_mean: Tensor,
    running_variance: Tensor,
}

impl BatchNorm {
    pub(in crate::torch) fn new(path: &Path<'_>, channels: usize) -> Self {
        let size = [to_i64(channels)];
        let options = (Kind::Float, Device::Cpu);
        Self {
            weight: add_without_decay(path, "weight", &Tensor::ones(size, options)),
            bias: add_without_decay(path, "bias", &Tensor::zeros(size, options)),
            running_mean: add_buffer(path, "running_mean", &Tensor::zeros(size, options)),
            running_variance: add_buffer(path, "running_var", &Tensor::ones(size, options)),
        }
    }

    /// Statistics are f32 whatever the input is.
    pub(in crate::torch) fn forward(&self, input: &Tensor, pass: Pass) -> Tensor {
        input.batch_norm(
            Some(&self.weight),
            Some(&self.bias),
            Some(&self.running_mean),
            Some(&self.running_variance),
            pass.training,
            MOMENTUM,
            EPSILON,
            true,
        )
    }
}
