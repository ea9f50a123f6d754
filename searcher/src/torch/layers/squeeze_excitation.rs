//! Squeeze and excitation (Hu et al., *Squeeze-and-Excitation Networks*, 2018).

use tch::Tensor;
use tch::nn::Path;

use super::{Activation, Convolution, ConvolutionSize, Initialiser, Pass};

/// Sizes of a gate.
#[derive(Debug, Clone, Copy)]
pub(in crate::torch) struct Gate {
    pub(in crate::torch) channels: usize,
    /// Width between its two layers.
    pub(in crate::torch) squeezed: usize,
    /// Between its two layers.
    pub(in crate::torch) activation: Activation,
}

/// Scales each channel by a gate that sees the means of all channels. Its layers are 1×1 convolutions named fc1 and fc2, as in
/// torchvision and timm.
#[derive(Debug)]
pub(in crate::torch) struct SqueezeExcitation {
    squeeze: Convolution,
    excite: Convolution,
    activation: Activation,
}

impl SqueezeExcitation {
    pub(in crate::torch) fn new(path: &Path<'_>, initialiser: &mut Initialiser, gate: Gate) -> Self {
        let Gate { channels, squeezed, activation } = gate;
        let mut layer = |name: &str, inputs, outputs| {
            Convolution::with_bias(&(path / name), initialiser, ConvolutionSize::new(inputs, outputs, 1))
        };
        Self { squeeze: layer("fc1", channels, squeezed), excite: layer("fc2", squeezed, channels), activation }
    }

    pub(in crate::torch) fn forward(&self, input: &Tensor, pass: Pass) -> Tensor {
        let squeezed = self.activation.apply(self.squeeze.forward(&input.adaptive_avg_pool2d([1, 1]), pass));
        input * self.excite.forward(&squeezed, pass).sigmoid()
    }
}
