//! How a forward pass is made.

use tch::{Kind, Tensor};

/// What layers must know of a forward pass beside its input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::torch) struct Pass {
    /// Batch norm uses and records the batch, dropout and stochastic depth drop.
    pub(in crate::torch) training: bool,
    /// Convolutions and matrix products are computed in bf16, from weights that stay f32; norms, softmax and what follows the
    /// logits in f32.
    pub(in crate::torch) bf16: bool,
}

impl Pass {
    /// A pass in full precision.
    pub(in crate::torch) const fn full(training: bool) -> Self {
        Self { training, bf16: false }
    }

    /// Returns a tensor as convolutions and matrix products take it.
    pub(in crate::torch) fn cast(self, tensor: &Tensor) -> Tensor {
        tensor.to_kind(if self.bf16 { Kind::BFloat16 } else { Kind::Float })
    }
}
