//! EfficientNet-B0 (Tan and Le, *EfficientNet: Rethinking Model Scaling*, 2019), with torchvision's names.

use tch::Tensor;
use tch::nn::Path;

use super::{Activations, Dimensions, Network};
use crate::torch::layers::{
    Activation, ConvolutionNorm, ConvolutionSize, Gate, Initialiser, Linear, LinearWeights, Pass, SqueezeExcitation,
    stochastic_depth,
};

/// Channels of the stem.
const STEM: usize = 32;
/// Channels of the last convolution.
const LAST: usize = 1280;
/// Share of the classifier's input that is dropped in training.
const DROPOUT: f64 = 0.2;
/// Probability of dropping the branch of a block behind the last; it grows with depth from 0.
const STOCHASTIC_DEPTH: f64 = 0.2;
/// Channels of a block's input that its gate makes one of.
const REDUCTION: usize = 4;

/// Equal blocks, of which the first has the stride.
struct Stage {
    expansion: usize,
    kernel: usize,
    outputs: usize,
    blocks: usize,
    stride: usize,
}

/// Table 1 of the paper.
const STAGES: [Stage; 7] = [
    Stage { expansion: 1, kernel: 3, outputs: 16, blocks: 1, stride: 1 },
    Stage { expansion: 6, kernel: 3, outputs: 24, blocks: 2, stride: 2 },
    Stage { expansion: 6, kernel: 5, outputs: 40, blocks: 2, stride: 2 },
    Stage { expansion: 6, kernel: 3, outputs: 80, blocks: 3, stride: 2 },
    Stage { expansion: 6, kernel: 5, outputs: 112, blocks: 3, stride: 1 },
    Stage { expansion: 6, kernel: 5, outputs: 192, blocks: 4, stride: 2 },
    Stage { expansion: 6, kernel: 3, outputs: 320, blocks: 1, stride: 1 },
];
/// The stage whose stride is 1 for small images, beside the stem's.
const STAGE_KEPT_LARGE: usize = 1;

/// Stem, inverted residuals with gates, a 1×1 convolution, global mean, dropout, linear layer.
#[derive(Debug)]
pub(super) struct EfficientnetB0 {
    stem: ConvolutionNorm,
    blocks: Vec<MbConv>,
    last: ConvolutionNorm,
    classifier: Linear,
}

impl EfficientnetB0 {
    /// For images of up to 64 pixels the first two strides are 1 instead of 2, so that sides are divided by 8 and not by 32.
    pub(super) fn new(root: &Path<'_>, initialiser: &mut Initialiser, dimensions: Dimensions) -> Self {
        let features = root / "features";
        let small = dimensions.small();
        let first_stride = if small { 1 } else { 2 };
        let size = ConvolutionSize::new(dimensions.shape.channels, STEM, 3).stride(first_stride);
        let stem = ConvolutionNorm::new(&(&features / 0), initialiser, size, Activation::Silu);
        let total: usize = STAGES.iter().map(|stage| stage.blocks).sum();
        let mut blocks = Vec::with_capacity(total);
        let mut inputs = STEM;
        for (number, stage) in STAGES.iter().enumerate() {
            let stage_stride = if small && number == STAGE_KEPT_LARGE { 1 } else { stage.stride };
            for block in 0..stage.blocks {
                let stride = if block == 0 { stage_stride } else { 1 };
                let drop = STOCHASTIC_DEPTH * blocks.len() as f64 / total as f64;
                let path = &features / (number + 1) / block / "block";
                blocks.push(MbConv::new(&path, initialiser, stage, inputs, stride, drop));
                inputs = stage.outputs;
            }
        }
        let size = ConvolutionSize::new(inputs, LAST, 1);
        let last = ConvolutionNorm::new(&(&features / (STAGES.len() + 1)), initialiser, size, Activation::Silu);
        let path = root / "classifier" / 1;
        let classifier = Linear::new(&path, initialiser, LAST, dimensions.classes, LinearWeights::UniformByOutputs);
        Self { stem, blocks, last, classifier }
    }
}

impl Network for EfficientnetB0 {
    fn forward(&self, images: &Tensor, pass: Pass) -> Activations {
        let maps = self.stem.forward(images, pass);
        let maps = self.blocks.iter().fold(maps, |maps, block| block.forward(&maps, pass));
        let maps = self.last.forward(&maps, pass);
        let hidden = maps.adaptive_avg_pool2d([1, 1]).flatten(1, -1).dropout(DROPOUT, pass.training);
        Activations { logits: self.classifier.forward(&hidden, pass), hidden: Some(hidden) }
    }

    fn classifier(&self) -> &'static str {
        "classifier.1"
    }
}

/// A mobile inverted bottleneck: 1×1 to more channels, a convolution of each channel alone, a gate, 1×1 to fewer channels.
#[derive(Debug)]
struct MbConv {
    layers: Vec<ConvolutionNorm>,
    gate: SqueezeExcitation,
    project: ConvolutionNorm,
    shortcut: bool,
    /// Probability that the branch is dropped.
    drop: f64,
}

impl MbConv {
    fn new(
        path: &Path<'_>,
        initialiser: &mut Initialiser,
        stage: &Stage,
        inputs: usize,
        stride: usize,
        drop: f64,
    ) -> Self {
        let inner = inputs * stage.expansion;
        let mut layers = Vec::new();
        if stage.expansion != 1 {
            let size = ConvolutionSize::new(inputs, inner, 1);
            layers.push(ConvolutionNorm::new(&(path / 0), initialiser, size, Activation::Silu));
        }
        let size = ConvolutionSize::depthwise(inner, stage.kernel).stride(stride);
        layers.push(ConvolutionNorm::new(&(path / layers.len()), initialiser, size, Activation::Silu));
        let gate = Gate { channels: inner, squeezed: inputs / REDUCTION, activation: Activation::Silu };
        let gate = SqueezeExcitation::new(&(path / layers.len()), initialiser, gate);
        let size = ConvolutionSize::new(inner, stage.outputs, 1);
        let path = path / (layers.len() + 1);
        let project = ConvolutionNorm::new(&path, initialiser, size, Activation::Identity);
        Self { layers, gate, project, shortcut: stride == 1 && inputs == stage.outputs, drop }
    }

    fn forward(&self, input: &Tensor, pass: Pass) -> Tensor {
        let inner = self.layers.iter().fold(input.shallow_clone(), |maps, layer| layer.forward(&maps, pass));
        let inner = self.project.forward(&self.gate.forward(&inner, pass), pass);
        if self.shortcut { stochastic_depth(inner, self.drop, pass) + input } else { inner }
    }
}
