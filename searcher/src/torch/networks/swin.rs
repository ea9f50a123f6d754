//! Swin transformers (Liu et al., *Hierarchical Vision Transformer using Shifted Windows*, 2021), with torchvision's names.

mod windows;

use tch::nn::Path;
use tch::{Kind, Tensor};

use super::{Activations, Dimensions, Network};
use crate::torch::layers::{
    Attention, Initialiser, LayerNorm, Linear, LinearWeights, Pass, PatchEmbedding, PatchSize, stochastic_depth,
};
use windows::{Grid, Windows};

/// Pixels of a patch's side.
const PATCH: usize = 4;
/// Pixels of a patch's side in small images.
const PATCH_SMALL: usize = 2;
/// Patches of a window's side.
const WINDOW: usize = 7;
/// Patches of a window's side in small images.
const WINDOW_SMALL: usize = 4;
/// Width within a block's perceptron, for one of a patch's.
const EXPANSION: usize = 4;
/// Added to the variance in layer norm.
const EPSILON: f64 = 1e-5;
/// Standard deviation of all initial weights but those of the patches.
const DEVIATION: f64 = 0.02;
const WEIGHTS: LinearWeights = LinearWeights::TruncatedNormal(DEVIATION);

/// What tells the variants apart.
#[derive(Debug, Clone, Copy)]
pub(super) struct Variant {
    /// Width of a patch in the first stage; each stage doubles it.
    width: usize,
    blocks: [usize; 4],
    heads: [usize; 4],
    /// Probability of dropping the branches of the last block; it grows with depth from 0.
    stochastic_depth: f64,
}

/// Swin-T.
pub(super) const SWIN_T: Variant =
    Variant { width: 96, blocks: [2, 2, 6, 2], heads: [3, 6, 12, 24], stochastic_depth: 0.2 };
/// Swin-B.
pub(super) const SWIN_B: Variant =
    Variant { width: 128, blocks: [2, 2, 18, 2], heads: [4, 8, 16, 32], stochastic_depth: 0.5 };

/// Patches, four stages of windowed attention between which 2×2 patches become one, mean over patches, linear layer.
#[derive(Debug)]
pub(super) struct Swin {
    patches: PatchEmbedding,
    patch_norm: LayerNorm,
    stages: Vec<Stage>,
    norm: LayerNorm,
    classifier: Linear,
}

/// Blocks, behind the merging of the stage before.
#[derive(Debug)]
struct Stage {
    merging: Option<PatchMerging>,
    blocks: Vec<Block>,
}

impl Swin {
    /// Patches of 4 pixels a side in windows of 7 × 7; of 2 pixels in windows of 4 × 4 for images of up to 64 pixels.
    pub(super) fn new(
        root: &Path<'_>,
        initialiser: &mut Initialiser,
        dimensions: Dimensions,
        variant: Variant,
    ) -> Self {
        let features = root / "features";
        let (side, window) = if dimensions.small() { (PATCH_SMALL, WINDOW_SMALL) } else { (PATCH, WINDOW) };
        let size = PatchSize { channels: dimensions.shape.channels, width: variant.width, side };
        let patches = PatchEmbedding::new(&(&features / 0 / 0), initialiser, size);
        let patch_norm = LayerNorm::new(&(&features / 0 / 2), variant.width, EPSILON);
        let mut grid =
            Grid { height: dimensions.shape.height.div_ceil(side), width: dimensions.shape.width.div_ceil(side) };
        let last = variant.blocks.iter().sum::<usize>() - 1;
        let (mut width, mut depth) = (variant.width, 0);
        let mut stages = Vec::new();
        for (number, (&blocks, &heads)) in variant.blocks.iter().zip(&variant.heads).enumerate() {
            let merging = (number > 0).then(|| PatchMerging::new(&(&features / (2 * number)), initialiser, width));
            if merging.is_some() {
                grid = Grid { height: grid.height.div_ceil(2), width: grid.width.div_ceil(2) };
                width *= 2;
            }
            let path = &features / (2 * number + 1);
            let mut stage = Stage { merging, blocks: Vec::with_capacity(blocks) };
            for block in 0..blocks {
                let path = &path / block;
                // Every other block cuts its windows elsewhere.
                let shift = if block % 2 == 0 { 0 } else { window / 2 };
                let windows = Windows::new(&(&path / "attn"), initialiser, heads, grid, window, shift);
                let drop = variant.stochastic_depth * f64::from(depth) / last as f64;
                stage.blocks.push(Block::new(&path, initialiser, width, heads, windows, drop));
                depth += 1;
            }
            stages.push(stage);
        }
        let norm = LayerNorm::new(&(root / "norm"), width, EPSILON);
        let classifier = Linear::new(&(root / "head"), initialiser, width, dimensions.classes, WEIGHTS);
        Self { patches, patch_norm, stages, norm, classifier }
    }
}

impl Network for Swin {
    fn forward(&self, images: &Tensor, pass: Pass) -> Activations {
        let patches = self.patches.forward(images, pass).permute([0, 2, 3, 1]);
        let mut patches = self.patch_norm.forward(&patches);
        for stage in &self.stages {
            if let Some(merging) = &stage.merging {
                patches = merging.forward(&patches, pass).to_kind(Kind::Float);
            }
            patches = stage.blocks.iter().fold(patches, |patches, block| block.forward(patches, pass));
        }
        let hidden = self.norm.forward(&patches).mean_dim([1i64, 2].as_slice(), false, Kind::Float);
        Activations { logits: self.classifier.forward(&hidden, pass), hidden: Some(hidden) }
    }

    fn classifier(&self) -> &'static str {
        "head"
    }
}

/// Attention within windows and a perceptron, each behind a norm and beside a shortcut.
#[derive(Debug)]
struct Block {
    norms: [LayerNorm; 2],
    attention: Attention,
    windows: Windows,
    perceptron: [Linear; 2],
    /// Probability that a branch is dropped.
    drop: f64,
}

impl Block {
    fn new(
        path: &Path<'_>,
        initialiser: &mut Initialiser,
        width: usize,
        heads: usize,
        windows: Windows,
        drop: f64,
    ) -> Self {
        let perceptron = path / "mlp";
        Self {
            norms: ["norm1", "norm2"].map(|name| LayerNorm::new(&(path / name), width, EPSILON)),
            attention: Attention::new(&(path / "attn"), initialiser, width, heads, WEIGHTS),
            windows,
            perceptron: [
                Linear::new(&(&perceptron / 0), initialiser, width, EXPANSION * width, WEIGHTS),
                Linear::new(&(&perceptron / 3), initialiser, EXPANSION * width, width, WEIGHTS),
            ],
            drop,
        }
    }

    fn forward(&self, patches: Tensor, pass: Pass) -> Tensor {
        let cut = self.windows.cut(&self.norms[0].forward(&patches));
        let bias = self.windows.bias(cut.size()[0]);
        let branch = self.windows.join(&self.attention.forward(&cut, Some(&bias), pass));
        let patches = patches + stochastic_depth(branch, self.drop, pass);
        let [first, second] = &self.perceptron;
        let inner = first.forward(&self.norms[1].forward(&patches), pass).gelu("none");
        let branch = second.forward(&inner, pass);
        patches + stochastic_depth(branch, self.drop, pass)
    }
}

/// Makes one patch of twice the width of 2 × 2.
#[derive(Debug)]
struct PatchMerging {
    norm: LayerNorm,
    reduction: Linear,
}

impl PatchMerging {
    fn new(path: &Path<'_>, initialiser: &mut Initialiser, width: usize) -> Self {
        Self {
            norm: LayerNorm::new(&(path / "norm"), 4 * width, EPSILON),
            reduction: Linear::without_bias(&(path / "reduction"), initialiser, 4 * width, 2 * width, WEIGHTS),
        }
    }

    /// Takes k × rows × columns × width; an odd row or column gets zeros beside it.
    fn forward(&self, patches: &Tensor, pass: Pass) -> Tensor {
        let (_, rows, columns, _) = patches.size4().expect("patches are k × rows × columns × width");
        let padded = patches.constant_pad_nd([0, 0, 0, columns % 2, 0, rows % 2]);
        let every_other = |row: i64, column: i64| padded.slice(1, row, None, 2).slice(2, column, None, 2);
        let corners = [every_other(0, 0), every_other(1, 0), every_other(0, 1), every_other(1, 1)];
        self.reduction.forward(&self.norm.forward(&Tensor::cat(&corners, -1)), pass)
    }
}
