//! Residual networks: He et al., *Deep Residual Learning for Image Recognition*, 2016, and SE-ResNeXt (Xie et al., *Aggregated
//! Residual Transformations*, 2017, with the gates of Hu et al., *Squeeze-and-Excitation Networks*, 2018).
//!
//! Weights have torchvision's names, the gates those of timm's `seresnext50_32x4d`: `layer1.0.se.fc1` and `.fc2`.

mod block;

use tch::Tensor;
use tch::nn::Path;

use super::{Activations, Dimensions, Network};
use crate::torch::layers::{Activation, ConvolutionNorm, ConvolutionSize, Initialiser, Linear, LinearWeights, Pass};
use block::{Block, BlockKind};

/// Channels of the four stages, before a bottleneck's expansion.
const WIDTHS: [usize; 4] = [64, 128, 256, 512];
/// Channels of the three stages of the small network.
const WIDTHS_SMALL: [usize; 3] = [16, 32, 64];

/// Convolutional stem, stages of blocks of which all but the first halve the sides, global mean, linear layer.
#[derive(Debug)]
pub(super) struct Resnet {
    stem: ConvolutionNorm,
    pool_after_stem: bool,
    blocks: Vec<Block>,
    classifier: Linear,
}

/// A stage: how many blocks, of how many channels.
#[derive(Debug, Clone, Copy)]
struct Stage {
    blocks: usize,
    width: usize,
}

impl Resnet {
    /// ResNet-18, 34 with basic blocks. Images of up to 64 pixels get a 3×3 stem of stride 1 without pooling, larger ones the
    /// 7×7 stem with pooling, which divides each side by four. The stem takes as many channels as the images have.
    pub(super) fn basic(
        root: &Path<'_>,
        initialiser: &mut Initialiser,
        dimensions: Dimensions,
        blocks: [usize; 4],
    ) -> Self {
        Self::new(root, initialiser, dimensions, &stages(blocks), BlockKind::Basic)
    }

    /// ResNet-50, 101 with bottlenecks; stems as in [`Self::basic`].
    pub(super) fn bottleneck(
        root: &Path<'_>,
        initialiser: &mut Initialiser,
        dimensions: Dimensions,
        blocks: [usize; 4],
    ) -> Self {
        Self::new(root, initialiser, dimensions, &stages(blocks), BlockKind::Bottleneck)
    }

    /// SE-ResNeXt-50, 101 (32×4d): bottlenecks of 32 groups with a gate each; stems as in [`Self::basic`].
    pub(super) fn se_resnext(
        root: &Path<'_>,
        initialiser: &mut Initialiser,
        dimensions: Dimensions,
        blocks: [usize; 4],
    ) -> Self {
        Self::new(root, initialiser, dimensions, &stages(blocks), BlockKind::SeResnext)
    }

    /// Three stages of one basic block, 16, 32 and 64 channels: the ResNet-8 of small images.
    pub(super) fn small(root: &Path<'_>, initialiser: &mut Initialiser, dimensions: Dimensions) -> Self {
        let stages = WIDTHS_SMALL.map(|width| Stage { blocks: 1, width });
        Self::new(root, initialiser, dimensions, &stages, BlockKind::Basic)
    }

    fn new(
        root: &Path<'_>,
        initialiser: &mut Initialiser,
        dimensions: Dimensions,
        stages: &[Stage],
        kind: BlockKind,
    ) -> Self {
        let large = !dimensions.small();
        let (kernel, stride) = if large { (7, 2) } else { (3, 1) };
        let size = ConvolutionSize::new(dimensions.shape.channels, stages[0].width, kernel).stride(stride);
        let stem = ConvolutionNorm::at([&(root / "conv1"), &(root / "bn1")], initialiser, size, Activation::Relu);
        let mut blocks = Vec::new();
        let mut inputs = stages[0].width;
        for (number, stage) in stages.iter().enumerate() {
            for block in 0..stage.blocks {
                let path = root / format!("layer{}", number + 1) / block;
                let stride = if number > 0 && block == 0 { 2 } else { 1 };
                blocks.push(Block::new(&path, initialiser, kind, inputs, stage.width, stride));
                inputs = kind.outputs(stage.width);
            }
        }
        let weights = LinearWeights::UniformByInputs;
        let classifier = Linear::new(&(root / "fc"), initialiser, inputs, dimensions.classes, weights);
        Self { stem, pool_after_stem: large, blocks, classifier }
    }
}

fn stages(blocks: [usize; 4]) -> [Stage; 4] {
    let mut widths = WIDTHS.into_iter();
    blocks.map(|blocks| Stage { blocks, width: widths.next().expect("as many widths as stages") })
}

impl Network for Resnet {
    fn forward(&self, images: &Tensor, pass: Pass) -> Activations {
        let mut maps = self.stem.forward(images, pass);
        if self.pool_after_stem {
            maps = maps.max_pool2d([3, 3], [2, 2], [1, 1], [1, 1], false);
        }
        let maps = self.blocks.iter().fold(maps, |maps, block| block.forward(&maps, pass));
        let hidden = maps.adaptive_avg_pool2d([1, 1]).flatten(1, -1);
        Activations { logits: self.classifier.forward(&hidden, pass), hidden: Some(hidden) }
    }

    fn classifier(&self) -> &'static str {
        "fc"
    }
}
