//! Learning to Reweight (Ren et al. 2018): an example's weight is how far a step on it alone would lower the loss of clean
//! examples, and 0 where it would raise it.

use tch::{Kind, Tensor, no_grad};

use super::gradient_agreement::{by_all_layers, by_the_last_layer};
use super::{Batch, BatchLoss, Surroundings, cross_entropies};
use crate::randomness::seed_for;
use crate::target::{BatchSource, ShuffledEpochs, TargetError};
use crate::torch::images::DeviceImages;
use crate::torch::networks::Model;

/// Loss: Σ w_i C_i with w_i ∝ max(0, ⟨∇C_i, ∇L⟩), which sum to 1; L is the mean cross-entropy of a batch of the validation
/// set. Where no example agrees with it, nothing is learned.
pub(super) struct Reweight<'a> {
    clean: &'a DeviceImages,
    batches: ShuffledEpochs,
    agreement: Agreement,
    indices: Vec<u32>,
}

/// Computes ⟨∇C_i, ∇L⟩ for each example of a batch, up to a common factor, of the network as it is outside training.
type Agreement = fn(model: &Model, batch: (&Tensor, &Tensor), clean: (&Tensor, &Tensor)) -> Result<Tensor, TargetError>;

impl<'a> Reweight<'a> {
    pub(super) fn by_all_layers(around: Surroundings<'a>) -> Result<Self, TargetError> {
        Self::new(around, by_all_layers)
    }

    pub(super) fn by_the_last_layer(around: Surroundings<'a>) -> Result<Self, TargetError> {
        Self::new(around, by_the_last_layer)
    }

    fn new(around: Surroundings<'a>, agreement: Agreement) -> Result<Self, TargetError> {
        let clean = around.validation;
        let examples = u32::try_from(clean.len()).map_err(|_too_many| TargetError::InvalidRun {
            field: "validation_examples",
            value: clean.len().to_string(),
            expected: "fewer than 2^32 are needed",
        })?;
        let batches = ShuffledEpochs::new(examples, around.batch_size, seed_for(around.seed, 0, "clean batches"));
        Ok(Self { clean, batches, agreement, indices: Vec::new() })
    }

    /// Weights of the batch's examples.
    fn weights(&mut self, model: &Model, batch: &Batch) -> Result<Tensor, TargetError> {
        self.batches.next_batch(&mut self.indices)?;
        let positions: Vec<i64> = self.indices.iter().map(|&index| i64::from(index)).collect();
        let (images, labels) = self.clean.gather(&positions);
        let agreement = (self.agreement)(model, (&batch.images, &batch.labels), (&images, &labels))?;
        Ok(no_grad(|| {
            let positive = agreement.clamp_min(0.0);
            let sum = positive.sum(Kind::Float);
            positive / (&sum + sum.le(0.0).to_kind(Kind::Float))
        }))
    }
}

impl BatchLoss for Reweight<'_> {
    fn of(&mut self, model: &Model, batch: &Batch) -> Result<Tensor, TargetError> {
        let weights = self.weights(model, batch)?;
        let losses = cross_entropies(&model.forward(&batch.images, true)?.logits, &batch.labels);
        Ok((weights * losses).sum(Kind::Float))
    }
}
