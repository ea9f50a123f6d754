//! A block of a transformer that normalises first.

use tch::Tensor;
use tch::nn::Path;

use super::{Attention, Initialiser, LayerNorm, Linear, LinearWeights, Pass, stochastic_depth};

/// Width within a block's perceptron, for one of a token's.
const EXPANSION: usize = 4;

/// Sizes of a block.
#[derive(Debug, Clone, Copy)]
pub(in crate::torch) struct BlockSize {
    /// Width of a token.
    pub(in crate::torch) width: usize,
    /// Heads of the attention.
    pub(in crate::torch) heads: usize,
    /// Added to the variance in layer norm.
    pub(in crate::torch) epsilon: f64,
    /// Standard deviation of the initial weights.
    pub(in crate::torch) deviation: f64,
    /// Probability that a branch is dropped.
    pub(in crate::torch) drop: f64,
}

/// Attention and a perceptron, each behind a norm and beside a shortcut, with the names of timm's ViT.
#[derive(Debug)]
pub(in crate::torch) struct TransformerBlock {
    norms: [LayerNorm; 2],
    attention: Attention,
    perceptron: [Linear; 2],
    drop: f64,
}

impl TransformerBlock {
    pub(in crate::torch) fn new(path: &Path<'_>, initialiser: &mut Initialiser, size: BlockSize) -> Self {
        let BlockSize { width, heads, epsilon, deviation, drop } = size;
        let weights = LinearWeights::TruncatedNormal(deviation);
        let perceptron = path / "mlp";
        Self {
            norms: ["norm1", "norm2"].map(|name| LayerNorm::new(&(path / name), width, epsilon)),
            attention: Attention::new(&(path / "attn"), initialiser, width, heads, weights),
            perceptron: [
                Linear::new(&(&perceptron / "fc1"), initialiser, width, EXPANSION * width, weights),
                Linear::new(&(&perceptron / "fc2"), initialiser, EXPANSION * width, width, weights),
            ],
            drop,
        }
    }

    /// Takes k × tokens × width and returns the same size; `bias` as in [`Attention::forward`].
    pub(in crate::torch) fn forward(&self, tokens: Tensor, bias: Option<&Tensor>, pass: Pass) -> Tensor {
        let branch = self.attention.forward(&self.norms[0].forward(&tokens), bias, pass);
        let tokens = tokens + stochastic_depth(branch, self.drop, pass);
        let [first, second] = &self.perceptron;
        let inner = first.forward(&self.norms[1].forward(&tokens), pass).gelu("none");
        let branch = second.forward(&inner, pass);
        tokens + stochastic_depth(branch, self.drop, pass)
    }
}
