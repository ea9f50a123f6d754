//! The block of networks of inverted residuals.

use tch::Tensor;
use tch::nn::Path;

use super::{Stage, Variant};
use crate::torch::layers::{
    Activation, ConvolutionNorm, ConvolutionSize, Gate, Initialiser, Pass, SqueezeExcitation, stochastic_depth,
};

/// Channels of a block's input that its gate makes one of.
const REDUCTION: usize = 4;

/// Whether a gate follows the convolution of single channels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Gated {
    Yes,
    No,
}

/// Where a block stands.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    pub(super) inputs: usize,
    pub(super) stride: usize,
    /// Probability that the branch is dropped.
    pub(super) drop: f64,
}

/// 1×1 to more channels, a convolution of each channel alone, perhaps a gate, 1×1 to fewer channels without activation, around a
/// shortcut where input and output have one size.
#[derive(Debug)]
pub(super) struct Block {
    layers: Vec<ConvolutionNorm>,
    gate: Option<SqueezeExcitation>,
    project: ConvolutionNorm,
    shortcut: bool,
    drop: f64,
}

impl Block {
    pub(super) fn new(
        path: &Path<'_>,
        initialiser: &mut Initialiser,
        variant: &Variant,
        stage: &Stage,
        place: Place,
    ) -> Self {
        let (activation, Place { inputs, stride, drop }) = (variant.activation, place);
        let inner = inputs * stage.expansion;
        let mut layers = Vec::new();
        if stage.expansion != 1 {
            let size = ConvolutionSize::new(inputs, inner, 1);
            layers.push(ConvolutionNorm::new(&(path / 0), initialiser, size, activation));
        }
        let size = ConvolutionSize::depthwise(inner, stage.kernel).stride(stride);
        layers.push(ConvolutionNorm::new(&(path / layers.len()), initialiser, size, activation));
        let behind = layers.len();
        let size = ConvolutionSize::new(inner, stage.outputs, 1);
        let (gate, project) = match variant.gated {
            Gated::Yes => {
                let gate = Gate { channels: inner, squeezed: inputs / REDUCTION, activation };
                let gate = SqueezeExcitation::new(&(path / behind), initialiser, gate);
                let path = path / (behind + 1);
                (Some(gate), ConvolutionNorm::new(&path, initialiser, size, Activation::Identity))
            }
            // The last pair is named without a level of its own.
            Gated::No => {
                let [convolution, norm] = [path / behind, path / (behind + 1)];
                (None, ConvolutionNorm::at([&convolution, &norm], initialiser, size, Activation::Identity))
            }
        };
        Self { layers, gate, project, shortcut: stride == 1 && inputs == stage.outputs, drop }
    }

    pub(super) fn forward(&self, input: &Tensor, pass: Pass) -> Tensor {
        let inner = self.layers.iter().fold(input.shallow_clone(), |maps, layer| layer.forward(&maps, pass));
        let inner = self.gate.as_ref().map_or_else(|| inner.shallow_clone(), |gate| gate.forward(&inner, pass));
        let inner = self.project.forward(&inner, pass);
        if self.shortcut { stochastic_depth(inner, self.drop, pass) + input } else { inner }
    }
}
