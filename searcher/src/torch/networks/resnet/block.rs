//! Residual blocks: convolutions around a shortcut.

use tch::Tensor;
use tch::nn::Path;

use crate::torch::layers::{Activation, ConvolutionNorm, ConvolutionSize, Gate, Initialiser, Pass, SqueezeExcitation};

/// Channels that leave a bottleneck, for one within.
const EXPANSION: usize = 4;
/// Groups of a ResNeXt bottleneck's middle convolution.
const GROUPS: usize = 32;
/// Channels of a ResNeXt bottleneck's middle convolution, for one of a plain bottleneck's: 32 groups of 4 of 64.
const GROUPED_WIDTH: usize = 2;
/// Channels that a gate makes one of.
const REDUCTION: usize = 16;

/// What is around a shortcut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BlockKind {
    /// Two 3×3 convolutions.
    Basic,
    /// 1×1, 3×3 and 1×1 convolutions; the middle one has the stride.
    Bottleneck,
    /// A bottleneck whose middle convolution has 32 groups, with a gate at its end.
    SeResnext,
}

impl BlockKind {
    /// Returns the channels that leave a block of this width.
    pub(super) const fn outputs(self, width: usize) -> usize {
        match self {
            Self::Basic => width,
            Self::Bottleneck | Self::SeResnext => EXPANSION * width,
        }
    }

    /// Returns the convolutions of a block.
    fn convolutions(self, inputs: usize, width: usize, stride: usize) -> Vec<ConvolutionSize> {
        let bottleneck = |inner: usize, groups: usize| {
            vec![
                ConvolutionSize::new(inputs, inner, 1),
                ConvolutionSize::new(inner, inner, 3).stride(stride).groups(groups),
                ConvolutionSize::new(inner, self.outputs(width), 1),
            ]
        };
        match self {
            Self::Basic => {
                vec![ConvolutionSize::new(inputs, width, 3).stride(stride), ConvolutionSize::new(width, width, 3)]
            }
            Self::Bottleneck => bottleneck(width, 1),
            Self::SeResnext => bottleneck(GROUPED_WIDTH * width, GROUPS),
        }
    }
}

/// Convolutions named conv1, bn1 and so on, a gate named se, and a shortcut that is a projection where the sizes differ.
#[derive(Debug)]
pub(super) struct Block {
    layers: Vec<ConvolutionNorm>,
    gate: Option<SqueezeExcitation>,
    downsample: Option<ConvolutionNorm>,
}

impl Block {
    pub(super) fn new(
        path: &Path<'_>,
        initialiser: &mut Initialiser,
        kind: BlockKind,
        inputs: usize,
        width: usize,
        stride: usize,
    ) -> Self {
        let outputs = kind.outputs(width);
        let sizes = kind.convolutions(inputs, width, stride);
        let last = sizes.len();
        let mut layers = Vec::with_capacity(last);
        for (number, size) in (1..).zip(sizes) {
            let paths = [path / format!("conv{number}"), path / format!("bn{number}")];
            // The last activation comes after the shortcut.
            let activation = if number == last { Activation::Identity } else { Activation::Relu };
            layers.push(ConvolutionNorm::at([&paths[0], &paths[1]], initialiser, size, activation));
        }
        let gate = (kind == BlockKind::SeResnext).then(|| {
            let gate = Gate { channels: outputs, squeezed: outputs / REDUCTION, activation: Activation::Relu };
            SqueezeExcitation::new(&(path / "se"), initialiser, gate)
        });
        let downsample = (stride != 1 || inputs != outputs).then(|| {
            let size = ConvolutionSize::new(inputs, outputs, 1).stride(stride);
            ConvolutionNorm::new(&(path / "downsample"), initialiser, size, Activation::Identity)
        });
        Self { layers, gate, downsample }
    }

    pub(super) fn forward(&self, input: &Tensor, pass: Pass) -> Tensor {
        let inner = self.layers.iter().fold(input.shallow_clone(), |maps, layer| layer.forward(&maps, pass));
        let inner = match &self.gate {
            Some(gate) => gate.forward(&inner, pass),
            None => inner,
        };
        match &self.downsample {
            Some(downsample) => (inner + downsample.forward(input, pass)).relu(),
            None => (inner + input).relu(),
        }
    }
}
