//! MentorNet (Jiang et al. 2018): weights between 0 and 1 by which a batch's losses count.

use tch::{Kind, Tensor, no_grad};

use super::mentor::Mentor;
use super::{Batch, BatchLoss, Surroundings, cross_entropies};
use crate::randomness::{Randomness, seed_for};
use crate::target::TargetError;
use crate::torch::networks::Model;

/// The percentile of a batch's losses that the threshold ℓ_p follows.
const PERCENTILE: f64 = 0.75;
/// Share of the threshold that stays from batch to batch.
const DECAY: f64 = 0.9;
/// Share of a run in which all examples count.
const BURN_IN: f64 = 0.18;
/// Share of a run from which on the predefined curriculum weighs smoothly.
const SMOOTH_FROM: f64 = 0.9;
/// Share of the examples that is left out at random, before and after [`DROPOUT_CHANGE`] of a run.
const DROPOUT: (f64, f64) = (0.5, 0.05);
/// Share of a run at which the dropout of examples changes.
const DROPOUT_CHANGE: f64 = 0.17;

/// Loss: the mean of v·C over the batch, a random part of it left out.
pub(super) struct MentorNet<'a> {
    curriculum: Curriculum<'a>,
    /// ℓ_p, the moving average of a percentile of the batches' losses.
    threshold: Option<Tensor>,
    dropout: Randomness,
}

/// Where v comes from after the burn-in.
enum Curriculum<'a> {
    /// v = 1 where C ≤ ℓ_p, else 0; near the end 1 - (C - ℓ_p), between 0 and 1.
    Predefined,
    Learned(Mentor<'a>),
}

impl<'a> MentorNet<'a> {
    pub(super) fn predefined(seed: u64) -> Self {
        Self::new(Curriculum::Predefined, seed)
    }

    pub(super) fn learned(around: Surroundings<'a>) -> Result<Self, TargetError> {
        Ok(Self::new(Curriculum::Learned(Mentor::new(around)?), around.seed))
    }

    fn new(curriculum: Curriculum<'a>, seed: u64) -> Self {
        Self { curriculum, threshold: None, dropout: Randomness::new(seed_for(seed, 0, "example dropout")) }
    }

    /// Moves ℓ_p on and returns it.
    fn follow(&mut self, losses: &Tensor) -> Tensor {
        let percentile = percentile(losses);
        let threshold = match &self.threshold {
            None => percentile,
            Some(before) => DECAY * before + (1.0 - DECAY) * percentile,
        };
        self.threshold = Some(threshold.shallow_clone());
        threshold
    }

    /// 1 for examples that stay, 0 for those that are left out.
    fn kept(&mut self, losses: &Tensor, progress: f64) -> Tensor {
        let rate = if progress < DROPOUT_CHANGE { DROPOUT.0 } else { DROPOUT.1 };
        let kept: Vec<f32> = (0..losses.numel()).map(|_| f32::from(u8::from(self.dropout.uniform() >= rate))).collect();
        Tensor::from_slice(&kept).to_device(losses.device())
    }
}

impl BatchLoss for MentorNet<'_> {
    fn begin_epoch(&mut self, model: &Model, progress: f64) -> Result<(), TargetError> {
        match (&mut self.curriculum, &self.threshold) {
            (Curriculum::Learned(mentor), Some(threshold)) => mentor.learn(model, threshold, progress),
            _ => Ok(()),
        }
    }

    fn of(&mut self, model: &Model, batch: &Batch) -> Result<Tensor, TargetError> {
        let losses = cross_entropies(&model.forward(&batch.images, true)?.logits, &batch.labels);
        let weights = no_grad(|| {
            let detached = losses.detach();
            let threshold = self.follow(&detached);
            let weights = match &self.curriculum {
                _ if batch.progress < BURN_IN => detached.ones_like(),
                Curriculum::Predefined if batch.progress < SMOOTH_FROM => {
                    detached.le_tensor(&threshold).to_kind(Kind::Float)
                }
                Curriculum::Predefined => (&threshold - &detached + 1.0).clamp(0.0, 1.0),
                Curriculum::Learned(mentor) => mentor.weights(&detached, &threshold, batch.progress),
            };
            weights * self.kept(&detached, batch.progress)
        });
        Ok((weights * losses).mean(Kind::Float))
    }
}

/// The smallest loss that at least [`PERCENTILE`] of the batch's do not exceed.
#[allow(clippy::cast_possible_truncation, reason = "a share of a batch's size")]
fn percentile(losses: &Tensor) -> Tensor {
    let rank = (PERCENTILE * losses.numel() as f64).ceil() as i64;
    losses.kthvalue(rank.max(1), 0, false).0
}
