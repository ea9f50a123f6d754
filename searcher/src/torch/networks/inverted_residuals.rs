//! Networks of inverted residuals: `MobileNetV2` (Sandler et al., *Inverted Residuals and Linear Bottlenecks*, 2018) and
//! EfficientNet-B0 (Tan and Le, *EfficientNet: Rethinking Model Scaling*, 2019), with torchvision's names.

mod block;

use tch::Tensor;
use tch::nn::Path;

use super::{Activations, Dimensions, Network};
use crate::torch::layers::{Activation, ConvolutionNorm, ConvolutionSize, Initialiser, Linear, LinearWeights, Pass};
use block::{Block, Gated, Place};

/// Channels of the stem.
const STEM: usize = 32;
/// Channels of the last convolution.
const LAST: usize = 1280;
/// Share of the classifier's input that is dropped in training.
const DROPOUT: f64 = 0.2;
/// The stage whose stride is 1 for small images, beside the stem's.
const STAGE_KEPT_LARGE: usize = 1;

/// Equal blocks, of which the first has the stride.
#[derive(Debug, Clone, Copy)]
struct Stage {
    expansion: usize,
    kernel: usize,
    outputs: usize,
    blocks: usize,
    stride: usize,
}

/// What tells the networks apart.
#[derive(Debug, Clone, Copy)]
pub(super) struct Variant {
    stages: [Stage; 7],
    activation: Activation,
    gated: Gated,
    /// Probability of dropping the branch of a block behind the last; it grows with depth from 0.
    stochastic_depth: f64,
    classifier: LinearWeights,
}

/// Table 2 of its paper.
pub(super) const MOBILENET_V2: Variant = Variant {
    stages: [
        Stage { expansion: 1, kernel: 3, outputs: 16, blocks: 1, stride: 1 },
        Stage { expansion: 6, kernel: 3, outputs: 24, blocks: 2, stride: 2 },
        Stage { expansion: 6, kernel: 3, outputs: 32, blocks: 3, stride: 2 },
        Stage { expansion: 6, kernel: 3, outputs: 64, blocks: 4, stride: 2 },
        Stage { expansion: 6, kernel: 3, outputs: 96, blocks: 3, stride: 1 },
        Stage { expansion: 6, kernel: 3, outputs: 160, blocks: 3, stride: 2 },
        Stage { expansion: 6, kernel: 3, outputs: 320, blocks: 1, stride: 1 },
    ],
    activation: Activation::Relu6,
    gated: Gated::No,
    stochastic_depth: 0.0,
    classifier: LinearWeights::Normal(0.01),
};

/// Table 1 of its paper.
pub(super) const EFFICIENTNET_B0: Variant = Variant {
    stages: [
        Stage { expansion: 1, kernel: 3, outputs: 16, blocks: 1, stride: 1 },
        Stage { expansion: 6, kernel: 3, outputs: 24, blocks: 2, stride: 2 },
        Stage { expansion: 6, kernel: 5, outputs: 40, blocks: 2, stride: 2 },
        Stage { expansion: 6, kernel: 3, outputs: 80, blocks: 3, stride: 2 },
        Stage { expansion: 6, kernel: 5, outputs: 112, blocks: 3, stride: 1 },
        Stage { expansion: 6, kernel: 5, outputs: 192, blocks: 4, stride: 2 },
        Stage { expansion: 6, kernel: 3, outputs: 320, blocks: 1, stride: 1 },
    ],
    activation: Activation::Silu,
    gated: Gated::Yes,
    stochastic_depth: 0.2,
    classifier: LinearWeights::UniformByOutputs,
};

/// Stem, inverted residuals, a 1×1 convolution, global mean, dropout, linear layer.
#[derive(Debug)]
pub(super) struct InvertedResiduals {
    stem: ConvolutionNorm,
    blocks: Vec<Block>,
    last: ConvolutionNorm,
    classifier: Linear,
}

impl InvertedResiduals {
    /// For images of up to 64 pixels the first two strides are 1 instead of 2, so that sides are divided by 8 and not by 32.
    pub(super) fn new(
        root: &Path<'_>,
        initialiser: &mut Initialiser,
        dimensions: Dimensions,
        variant: &Variant,
    ) -> Self {
        let &Variant { ref stages, activation, gated, stochastic_depth, classifier } = variant;
        let features = root / "features";
        let small = dimensions.small();
        let first_stride = if small { 1 } else { 2 };
        let size = ConvolutionSize::new(dimensions.shape.channels, STEM, 3).stride(first_stride);
        let stem = ConvolutionNorm::new(&(&features / 0), initialiser, size, activation);
        let total: usize = stages.iter().map(|stage| stage.blocks).sum();
        let mut blocks = Vec::with_capacity(total);
        let mut inputs = STEM;
        for (number, stage) in stages.iter().enumerate() {
            let stage_stride = if small && number == STAGE_KEPT_LARGE { 1 } else { stage.stride };
            for block in 0..stage.blocks {
                let stride = if block == 0 { stage_stride } else { 1 };
                let drop = stochastic_depth * blocks.len() as f64 / total as f64;
                // torchvision numbers the blocks of a stage, or else of the network.
                let path = match gated {
                    Gated::Yes => &features / (number + 1) / block / "block",
                    Gated::No => &features / (blocks.len() + 1) / "conv",
                };
                blocks.push(Block::new(&path, initialiser, variant, stage, Place { inputs, stride, drop }));
                inputs = stage.outputs;
            }
        }
        let behind = match gated {
            Gated::Yes => stages.len() + 1,
            Gated::No => total + 1,
        };
        let size = ConvolutionSize::new(inputs, LAST, 1);
        let last = ConvolutionNorm::new(&(&features / behind), initialiser, size, activation);
        let classifier = Linear::new(&(root / "classifier" / 1), initialiser, LAST, dimensions.classes, classifier);
        Self { stem, blocks, last, classifier }
    }
}

impl Network for InvertedResiduals {
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
