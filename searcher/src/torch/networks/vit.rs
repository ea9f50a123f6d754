//! A small vision transformer: DeiT-tiny (Touvron et al., *Training data-efficient image transformers*, 2021), with the names of
//! timm's `deit_tiny_patch16_224`.

use tch::Tensor;
use tch::nn::Path;

use super::{Activations, Dimensions, Network};
use crate::torch::images::to_i64;
use crate::torch::layers::{
    BlockSize, Initialiser, LayerNorm, Linear, LinearWeights, Pass, PatchEmbedding, PatchSize, TransformerBlock,
    add_without_decay,
};

/// Width of a token.
const WIDTH: usize = 192;
/// Heads of an attention.
const HEADS: usize = 3;
/// Blocks.
const DEPTH: usize = 12;
/// Pixels of a patch's side.
const PATCH: usize = 16;
/// Pixels of a patch's side in small images.
const PATCH_SMALL: usize = 4;
/// Probability of dropping the branches of the last block; it grows with depth from 0.
const STOCHASTIC_DEPTH: f64 = 0.1;
/// Added to the variance in layer norm.
const EPSILON: f64 = 1e-6;
/// Initial weights of all linear layers and tokens.
const DEVIATION: f64 = 0.02;

/// Patches with a class token and learned positions, blocks of attention and perceptron, linear layer on the class token.
#[derive(Debug)]
pub(super) struct VitTiny {
    patches: PatchEmbedding,
    class_token: Tensor,
    positions: Tensor,
    blocks: Vec<TransformerBlock>,
    norm: LayerNorm,
    classifier: Linear,
}

impl VitTiny {
    /// Patches of 16 pixels a side, and of 4 for images of up to 64 pixels.
    pub(super) fn new(root: &Path<'_>, initialiser: &mut Initialiser, dimensions: Dimensions) -> Self {
        let side = if dimensions.small() { PATCH_SMALL } else { PATCH };
        let places = 1 + dimensions.shape.height.div_ceil(side) * dimensions.shape.width.div_ceil(side);
        let size = PatchSize { channels: dimensions.shape.channels, width: WIDTH, side };
        let weights = LinearWeights::TruncatedNormal(DEVIATION);
        let mut tokens = |name: &str, tokens: usize| {
            let values = initialiser.truncated_normal(&[1, to_i64(tokens), to_i64(WIDTH)], DEVIATION);
            add_without_decay(root, name, &values)
        };
        let class_token = tokens("cls_token", 1);
        let positions = tokens("pos_embed", places);
        let patches = PatchEmbedding::new(&(root / "patch_embed" / "proj"), initialiser, size);
        let blocks = (0..DEPTH)
            .map(|block| {
                let drop = STOCHASTIC_DEPTH * block as f64 / (DEPTH - 1) as f64;
                let size = BlockSize { width: WIDTH, heads: HEADS, epsilon: EPSILON, deviation: DEVIATION, drop };
                TransformerBlock::new(&(root / "blocks" / block), initialiser, size)
            })
            .collect();
        let norm = LayerNorm::new(&(root / "norm"), WIDTH, EPSILON);
        let classifier = Linear::new(&(root / "head"), initialiser, WIDTH, dimensions.classes, weights);
        Self { patches, class_token, positions, blocks, norm, classifier }
    }
}

impl Network for VitTiny {
    fn forward(&self, images: &Tensor, pass: Pass) -> Activations {
        let patches = self.patches.forward(images, pass).flatten(2, -1).transpose(1, 2);
        let class_token = self.class_token.expand([images.size()[0], -1, -1], false);
        let tokens = Tensor::cat(&[class_token, patches.to_kind(self.class_token.kind())], 1) + &self.positions;
        let tokens = self.blocks.iter().fold(tokens, |tokens, block| block.forward(tokens, None, pass));
        let hidden = self.norm.forward(&tokens.select(1, 0));
        Activations { logits: self.classifier.forward(&hidden, pass), hidden: Some(hidden) }
    }

    fn classifier(&self) -> &'static str {
        "head"
    }
}
