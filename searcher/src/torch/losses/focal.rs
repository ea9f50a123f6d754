//! Focal loss (Lin et al. 2017).

use tch::{Kind, Tensor};

use super::{Batch, BatchLoss, cross_entropies};
use crate::target::TargetError;
use crate::torch::networks::Model;

/// γ: how fast examples that are predicted well lose weight.
const FOCUS: f64 = 2.0;

/// Mean of (1 - q_y)^γ C for the label's predicted probability q_y and the cross-entropy C.
pub(super) struct Focal;

impl BatchLoss for Focal {
    fn of(&mut self, model: &Model, batch: &Batch) -> Result<Tensor, TargetError> {
        let losses = cross_entropies(&model.forward(&batch.images, true)?.logits, &batch.labels);
        let missing = (-&losses).exp().neg() + 1.0;
        Ok((missing.pow_tensor_scalar(FOCUS) * losses).mean(Kind::Float))
    }
}
