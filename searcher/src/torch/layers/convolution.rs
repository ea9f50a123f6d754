//! Square convolutions, alone and followed by batch norm and an activation.

use tch::Tensor;
use tch::nn::Path;

use super::initialiser::zeros;
use super::{BatchNorm, Initialiser, Pass, add_weight, add_without_decay};
use crate::torch::images::to_i64;

/// Sizes of a convolution. Its input is padded by half the kernel.
#[derive(Debug, Clone, Copy)]
pub(in crate::torch) struct ConvolutionSize {
    pub(in crate::torch) inputs: usize,
    pub(in crate::torch) outputs: usize,
    pub(in crate::torch) kernel: usize,
    pub(in crate::torch) stride: usize,
    /// Groups of channels that do not see each other.
    pub(in crate::torch) groups: usize,
}

impl ConvolutionSize {
    /// One group, stride 1.
    pub(in crate::torch) const fn new(inputs: usize, outputs: usize, kernel: usize) -> Self {
        Self { inputs, outputs, kernel, stride: 1, groups: 1 }
    }

    /// Each channel on its own.
    pub(in crate::torch) const fn depthwise(channels: usize, kernel: usize) -> Self {
        Self { groups: channels, ..Self::new(channels, channels, kernel) }
    }

    pub(in crate::torch) const fn stride(self, stride: usize) -> Self {
        Self { stride, ..self }
    }

    pub(in crate::torch) const fn groups(self, groups: usize) -> Self {
        Self { groups, ..self }
    }
}

/// A square convolution, initialised as He et al. (2015) by its outputs.
#[derive(Debug)]
pub(in crate::torch) struct Convolution {
    weight: Tensor,
    bias: Option<Tensor>,
    stride: i64,
    padding: i64,
    groups: i64,
}

impl Convolution {
    /// A convolution without bias, as batch norm follows it.
    pub(in crate::torch) fn new(path: &Path<'_>, initialiser: &mut Initialiser, size: ConvolutionSize) -> Self {
        let ConvolutionSize { inputs, outputs, kernel, stride, groups } = size;
        let standard_deviation = (2.0 / (outputs * kernel * kernel) as f64).sqrt();
        let weight = initialiser.normal(&[outputs, inputs / groups, kernel, kernel].map(to_i64), standard_deviation);
        Self {
            weight: add_weight(path, "weight", &weight),
            bias: None,
            stride: to_i64(stride),
            padding: to_i64(kernel / 2),
            groups: to_i64(groups),
        }
    }

    /// A convolution with a bias of 0.
    pub(in crate::torch) fn with_bias(path: &Path<'_>, initialiser: &mut Initialiser, size: ConvolutionSize) -> Self {
        let convolution = Self::new(path, initialiser, size);
        let bias = add_without_decay(path, "bias", &zeros(&[to_i64(size.outputs)]));
        Self { bias: Some(bias), ..convolution }
    }

    pub(in crate::torch) fn forward(&self, input: &Tensor, pass: Pass) -> Tensor {
        let (stride, padding) = ([self.stride; 2], [self.padding; 2]);
        let bias = self.bias.as_ref().map(|bias| pass.cast(bias));
        pass.cast(input).conv2d(&pass.cast(&self.weight), bias.as_ref(), stride, padding, [1, 1], self.groups)
    }
}

/// What follows a norm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::torch) enum Activation {
    /// Nothing.
    Identity,
    /// max(0, x).
    Relu,
    /// min(max(0, x), 6).
    Relu6,
    /// x · sigmoid(x).
    Silu,
}

impl Activation {
    pub(in crate::torch) fn apply(self, input: Tensor) -> Tensor {
        match self {
            Self::Identity => input,
            Self::Relu => input.relu(),
            Self::Relu6 => input.clamp(0.0, 6.0),
            Self::Silu => input.silu(),
        }
    }
}

/// A convolution, batch norm and an activation.
#[derive(Debug)]
pub(in crate::torch) struct ConvolutionNorm {
    convolution: Convolution,
    norm: BatchNorm,
    activation: Activation,
}

impl ConvolutionNorm {
    /// Takes the paths of convolution and norm, which networks name differently.
    pub(in crate::torch) fn at(
        paths: [&Path<'_>; 2],
        initialiser: &mut Initialiser,
        size: ConvolutionSize,
        activation: Activation,
    ) -> Self {
        let [convolution, norm] = paths;
        Self {
            convolution: Convolution::new(convolution, initialiser, size),
            norm: BatchNorm::new(norm, size.outputs),
            activation,
        }
    }

    /// Names the convolution 0 and the norm 1, as torchvision's `Conv2dNormActivation` does.
    pub(in crate::torch) fn new(
        path: &Path<'_>,
        initialiser: &mut Initialiser,
        size: ConvolutionSize,
        activation: Activation,
    ) -> Self {
        Self::at([&(path / 0), &(path / 1)], initialiser, size, activation)
    }

    pub(in crate::torch) fn forward(&self, input: &Tensor, pass: Pass) -> Tensor {
        self.activation.apply(self.norm.forward(&self.convolution.forward(input, pass), pass))
    }
}
