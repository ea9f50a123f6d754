//! Residual networks (He et al., *Deep Residual Learning for Image Recognition*, 2016).

use tch::Tensor;
use tch::nn::Path;

use super::{Activations, Network};
use crate::data::ImageShape;
use crate::torch::layers::{BasicBlock, BatchNorm, Convolution, ConvolutionSize, Initialiser, Linear};

/// Images with no side longer than this many pixels get the stem for small images.
///
/// The stem for large ones divides each side by four before the first block, which leaves nothing to see of 28 pixels.
const SMALL_SIDE_MAX: usize = 64;

/// Convolutional stem, stages of basic blocks of which all but the first halve the sides, global mean, linear layer.
#[derive(Debug)]
pub(super) struct Resnet {
    stem: (Convolution, BatchNorm),
    pool_after_stem: bool,
    blocks: Vec<BasicBlock>,
    classifier: Linear,
}

impl Resnet {
    /// ResNet-18 with torchvision's parameter names; its 7×7 stem with pooling for images larger than 64 pixels, and
    /// a 3×3 stem of stride 1 without pooling for others. The stem takes as many channels as the images have.
    pub(super) fn resnet18(root: &Path<'_>, initialiser: &mut Initialiser, shape: ImageShape, classes: usize) -> Self {
        Self::new(root, initialiser, shape, classes, &[64, 128, 256, 512], 2)
    }

    /// Three stages of one block, 16, 32 and 64 channels: the ResNet-8 of small images.
    pub(super) fn small(root: &Path<'_>, initialiser: &mut Initialiser, shape: ImageShape, classes: usize) -> Self {
        Self::new(root, initialiser, shape, classes, &[16, 32, 64], 1)
    }

    fn new(
        root: &Path<'_>,
        initialiser: &mut Initialiser,
        shape: ImageShape,
        classes: usize,
        widths: &[usize],
        blocks_per_stage: usize,
    ) -> Self {
        let large = shape.height.max(shape.width) > SMALL_SIDE_MAX;
        let (kernel, stride) = if large { (7, 2) } else { (3, 1) };
        let stem = ConvolutionSize { inputs: shape.channels, outputs: widths[0], kernel, stride };
        let stem = (Convolution::new(&(root / "conv1"), initialiser, stem), BatchNorm::new(&(root / "bn1"), widths[0]));
        let mut blocks = Vec::new();
        let mut inputs = widths[0];
        for (stage, &outputs) in widths.iter().enumerate() {
            for number in 0..blocks_per_stage {
                let path = root / format!("layer{}", stage + 1) / number;
                let stride = if stage > 0 && number == 0 { 2 } else { 1 };
                blocks.push(BasicBlock::new(&path, initialiser, inputs, outputs, stride));
                inputs = outputs;
            }
        }
        let classifier = Linear::new(&(root / "fc"), initialiser, inputs, classes);
        Self { stem, pool_after_stem: large, blocks, classifier }
    }
}

impl Network for Resnet {
    fn forward(&self, images: &Tensor, training: bool) -> Activations {
        let (convolution, norm) = &self.stem;
        let mut maps = norm.forward(&convolution.forward(images), training).relu();
        if self.pool_after_stem {
            maps = maps.max_pool2d([3, 3], [2, 2], [1, 1], [1, 1], false);
        }
        let maps = self.blocks.iter().fold(maps, |maps, block| block.forward(&maps, training));
        let hidden = maps.adaptive_avg_pool2d([1, 1]).flatten(1, -1);
        Activations { logits: self.classifier.forward(&hidden), hidden: Some(hidden) }
    }
}
