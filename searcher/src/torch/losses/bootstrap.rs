//! Bootstrapping (Reed et al. 2015): the label is believed only in part, the prediction for the rest.

use tch::{Kind, Tensor};

use super::{Batch, BatchLoss, cross_entropies};
use crate::target::TargetError;
use crate::torch::networks::Model;

/// Trust in the label beside the predicted distribution: β of soft bootstrapping.
const SOFT_TRUST: f64 = 0.95;
/// Trust in the label beside the predicted class: β of hard bootstrapping.
const HARD_TRUST: f64 = 0.8;
/// Share of a run in which predictions are not yet worth anything.
const WARM_UP: f64 = 0.1;

/// L = -Σ_k [β t_k + (1-β) r_k] ln q_k for the label's one-hot t and the prediction q.
pub(super) enum Bootstrap {
    /// r = q.
    Soft,
    /// r = the one-hot of q's largest entry.
    Hard,
}

impl BatchLoss for Bootstrap {
    fn of(&mut self, model: &Model, batch: &Batch) -> Result<Tensor, TargetError> {
        let logits = model.forward(&batch.images, true)?.logits;
        let by_label = cross_entropies(&logits, &batch.labels);
        if batch.progress < WARM_UP {
            return Ok(by_label.mean(Kind::Float));
        }
        let (trust, by_prediction) = match self {
            Self::Soft => {
                let log_q = logits.log_softmax(1, Kind::Float);
                (SOFT_TRUST, -(log_q.exp() * log_q).sum_dim_intlist(1, false, Kind::Float))
            }
            Self::Hard => (HARD_TRUST, cross_entropies(&logits, &logits.argmax(1, false))),
        };
        Ok((trust * by_label + (1.0 - trust) * by_prediction).mean(Kind::Float))
    }
}
