//! MobileNetV2 (Sandler et al., *Inverted Residuals and Linear Bottlenecks*, 2018), with torchvision's names.

use tch::Tensor;
use tch::nn::Path;

use super::{Activations, Dimensions, Network};
use crate::torch::layers::{Activation, ConvolutionNorm, ConvolutionSize, Initialiser, Linear, LinearWeights, Pass};

/// Channels of the stem.
const STEM: usize = 32;
/// Channels of the last convolution.
const LAST: usize = 1280;
/// Share of the classifier's input that is dropped in training.
const DROPOUT: f64 = 0.2;
/// Standard deviation of the classifier's initial weights.
const CLASSIFIER_DEVIATION: f64 = 0.01;

/// Equal blocks, of which the first has the stride.
struct Stage {
    expansion: usize,
    outputs: usize,
    blocks: usize,
    stride: usize,
}

/// Table 2 of the paper.
const STAGES: [Stage; 7] = [
    Stage { expansion: 1, outputs: 16, blocks: 1, stride: 1 },
    Stage { expansion: 6, outputs: 24, blocks: 2, stride: 2 },
    Stage { expansion: 6, outputs: 32, blocks: 3, stride: 2 },
    Stage { expansion: 6, outputs: 64, blocks: 4, stride: 2 },
    Stage { expansion: 6, outputs: 96, blocks: 3, stride: 1 },
    Stage { expansion: 6, outputs: 160, blocks: 3, stride: 2 },
    Stage { expansion: 6, outputs: 320, blocks: 1, stride: 1 },
];
/// The stage whose stride is 1 for small images, beside the stem's.
const STAGE_KEPT_LARGE: usize = 1;

/// Stem, inverted residuals, a 1×1 convolution, global mean, dropout, linear layer.
#[derive(Debug)]
pub(super) struct MobilenetV2 {
    stem: ConvolutionNorm,
    blocks: Vec<InvertedResidual>,
    last: ConvolutionNorm,
    classifier: Linear,
}

impl MobilenetV2 {
    /// For images of up to 64 pixels the first two strides are 1 instead of 2, so that sides are divided by 8 and not by 32.
    pub(super) fn new(root: &Path<'_>, initialiser: &mut Initialiser, dimensions: Dimensions) -> Self {
        let features = root / "features";
        let small = dimensions.small();
        let first_stride = if small { 1 } else { 2 };
        let size = ConvolutionSize::new(dimensions.shape.channels, STEM, 3).stride(first_stride);
        let stem = ConvolutionNorm::new(&(&features / 0), initialiser, size, Activation::Relu6);
        let mut blocks = Vec::new();
        let mut inputs = STEM;
        for (number, stage) in STAGES.iter().enumerate() {
            let stage_stride = if small && number == STAGE_KEPT_LARGE { 1 } else { stage.stride };
            for block in 0..stage.blocks {
                let stride = if block == 0 { stage_stride } else { 1 };
                let path = &features / (blocks.len() + 1) / "conv";
                blocks.push(InvertedResidual::new(&path, initialiser, stage.expansion, inputs, stage.outputs, stride));
                inputs = stage.outputs;
            }
        }
        let size = ConvolutionSize::new(inputs, LAST, 1);
        let last = ConvolutionNorm::new(&(&features / (blocks.len() + 1)), initialiser, size, Activation::Relu6);
        let weights = LinearWeights::Normal(CLASSIFIER_DEVIATION);
        let classifier = Linear::new(&(root / "classifier" / 1), initialiser, LAST, dimensions.classes, weights);
        Self { stem, blocks, last, classifier }
    }
}

impl Network for MobilenetV2 {
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

/// 1×1 to more channels, 3×3 on each channel alone, 1×1 to fewer channels without activation, around a shortcut where input and
/// output have one size.
#[derive(Debug)]
struct InvertedResidual {
    layers: Vec<ConvolutionNorm>,
    shortcut: bool,
}

impl InvertedResidual {
    fn new(
        path: &Path<'_>,
        initialiser: &mut Initialiser,
        expansion: usize,
        inputs: usize,
        outputs: usize,
        stride: usize,
    ) -> Self {
        let inner = inputs * expansion;
        let mut layers = Vec::new();
        if expansion != 1 {
            let size = ConvolutionSize::new(inputs, inner, 1);
            layers.push(ConvolutionNorm::new(&(path / 0), initialiser, size, Activation::Relu6));
        }
        let size = ConvolutionSize::depthwise(inner, 3).stride(stride);
        layers.push(ConvolutionNorm::new(&(path / layers.len()), initialiser, size, Activation::Relu6));
        // The last pair is named without a level of its own.
        let [convolution, norm] = [path / layers.len(), path / (layers.len() + 1)];
        let size = ConvolutionSize::new(inner, outputs, 1);
        layers.push(ConvolutionNorm::at([&convolution, &norm], initialiser, size, Activation::Identity));
        Self { layers, shortcut: stride == 1 && inputs == outputs }
    }

    fn forward(&self, input: &Tensor, pass: Pass) -> Tensor {
        let inner = self.layers.iter().fold(input.shallow_clone(), |maps, layer| layer.forward(&maps, pass));
        if self.shortcut { inner + input } else { inner }
    }
}
