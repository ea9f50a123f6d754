//! Multi-head self-attention (Vaswani et al., *Attention Is All You Need*, 2017).

use tch::nn::Path;
use tch::{Kind, Tensor};

use super::{Initialiser, Linear, LinearWeights, Pass};
use crate::torch::images::to_i64;

/// Self-attention of all tokens of a sequence, with layers named qkv and proj, as torchvision's Swin and timm's ViT have.
#[derive(Debug)]
pub(in crate::torch) struct Attention {
    queries_keys_values: Linear,
    projection: Linear,
    heads: i64,
}

impl Attention {
    /// `width` must be a multiple of `heads`.
    pub(in crate::torch) fn new(
        path: &Path<'_>,
        initialiser: &mut Initialiser,
        width: usize,
        heads: usize,
        weights: LinearWeights,
    ) -> Self {
        Self {
            queries_keys_values: Linear::new(&(path / "qkv"), initialiser, width, 3 * width, weights),
            projection: Linear::new(&(path / "proj"), initialiser, width, width, weights),
            heads: to_i64(heads),
        }
    }

    /// Takes k × tokens × width and returns the same size. `bias` is added to the attention's logits, k × heads × tokens × tokens
    /// or what is broadcast to it.
    pub(in crate::torch) fn forward(&self, input: &Tensor, bias: Option<&Tensor>, pass: Pass) -> Tensor {
        let (count, tokens, width) = input.size3().expect("attention is over k × tokens × width");
        let head = width / self.heads;
        let parts = self.queries_keys_values.forward(input, pass).reshape([count, tokens, 3, self.heads, head]);
        let parts = parts.permute([2, 0, 3, 1, 4]);
        let (queries, keys, values) = (parts.get(0), parts.get(1), parts.get(2));
        let queries = queries * (head as f64).powf(-0.5);
        let mut logits = queries.matmul(&keys.transpose(-2, -1)).to_kind(Kind::Float);
        if let Some(bias) = bias {
            logits += bias;
        }
        let attention = pass.cast(&logits.softmax(-1, Kind::Float));
        let mixed = attention.matmul(&values).transpose(1, 2).reshape([count, tokens, width]);
        self.projection.forward(&mixed, pass)
    }
}
