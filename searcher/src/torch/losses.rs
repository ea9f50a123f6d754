//! The losses of [`Loss`], which turn a batch into the number that a step descends on.

mod bootstrap;
mod focal;
mod gradient_agreement;
mod mentor;
mod mentor_net;
mod reweight;

use tch::{Kind, Reduction, Tensor};

use super::augmentation::Partners;
use super::images::DeviceImages;
use super::networks::Model;
use crate::target::{Loss, Mixing, TargetError};

/// Examples of this label are left out by libtorch; there are none.
const NO_LABEL: i64 = -100;

/// A batch as a loss sees it.
pub(super) struct Batch {
    /// f32, k × channels × height × width.
    pub(super) images: Tensor,
    /// i64, k.
    pub(super) labels: Tensor,
    /// f32, k: what each example's loss is multiplied by, if not by 1. Only cross-entropy sees such batches.
    pub(super) weights: Option<Tensor>,
    /// What the images are mixed with, if they are. Only cross-entropy sees such batches.
    pub(super) partners: Option<Partners>,
    /// Share of the run's steps that are done, from 0 to below 1.
    pub(super) progress: f64,
}

/// Computes what steps descend on. May keep what it learned of earlier batches: it serves one run.
pub(super) trait BatchLoss {
    /// Looks at the network before an epoch, `progress` of the run being done.
    fn begin_epoch(&mut self, _model: &Model, _progress: f64) -> Result<(), TargetError> {
        Ok(())
    }

    /// Returns the loss of a batch, one number that can be differentiated.
    fn of(&mut self, model: &Model, batch: &Batch) -> Result<Tensor, TargetError>;
}

/// What a run's loss may look at, apart from its batches.
#[derive(Clone, Copy)]
pub(super) struct Surroundings<'a> {
    pub(super) train: &'a DeviceImages,
    /// Which labels of `train` are wrong. Only `mentornet-dd` looks, and only at a few of them.
    pub(super) wrong_labels: &'a [bool],
    pub(super) validation: &'a DeviceImages,
    pub(super) batch_size: u32,
    /// The run's.
    pub(super) seed: u64,
    /// The recipe's, which cross-entropy heeds; the others have their own ways with labels.
    pub(super) label_smoothing: f64,
    /// The recipe's; again only cross-entropy can learn of mixed labels.
    pub(super) mixing: Mixing,
}

/// Returns a loss at the beginning of a run.
pub(super) fn begin<'a>(loss: Loss, around: Surroundings<'a>) -> Result<Box<dyn BatchLoss + 'a>, TargetError> {
    let Surroundings { label_smoothing, mixing, .. } = around;
    if loss != Loss::CrossEntropy {
        let refused = |field, value: String, expected| Err(TargetError::InvalidRun { field, value, expected });
        if !mixing.is_none() {
            let expected = "only cross-entropy learns of labels of mixed images (mixup, cutmix): take another recipe for this loss";
            return refused("mixing", format!("{mixing:?}"), expected);
        }
        if label_smoothing > 0.0 {
            let expected = "only cross-entropy has smoothed labels: take another recipe for this loss";
            return refused("label_smoothing", label_smoothing.to_string(), expected);
        }
    }
    Ok(match loss {
        Loss::CrossEntropy => Box::new(MeanCrossEntropy { label_smoothing }),
        Loss::ReedSoft => Box::new(bootstrap::Bootstrap::Soft),
        Loss::ReedHard => Box::new(bootstrap::Bootstrap::Hard),
        Loss::Focal => Box::new(focal::Focal),
        Loss::MentornetPd => Box::new(mentor_net::MentorNet::predefined(around.seed)),
        Loss::MentornetDd => Box::new(mentor_net::MentorNet::learned(around)?),
        Loss::LearningToReweight => Box::new(reweight::Reweight::by_all_layers(around)?),
        Loss::LearningToReweightLastLayer => Box::new(reweight::Reweight::by_the_last_layer(around)?),
    })
}

/// The loss of start networks and trials.
pub(super) struct MeanCrossEntropy {
    /// Share of a label that is spread over all classes.
    pub(super) label_smoothing: f64,
}

impl BatchLoss for MeanCrossEntropy {
    fn of(&mut self, model: &Model, batch: &Batch) -> Result<Tensor, TargetError> {
        let logits = model.forward(&batch.images, true)?.logits;
        let logits = model.with_margin(logits, &batch.labels);
        let of = |labels: &Tensor| {
            let losses = |reduction| {
                logits.cross_entropy_loss(labels, None::<&Tensor>, reduction, NO_LABEL, self.label_smoothing)
            };
            match &batch.weights {
                None => losses(Reduction::Mean),
                Some(weights) => (losses(Reduction::None) * weights).mean(Kind::Float),
            }
        };
        // Cross-entropy is linear in what the labels are: that of mixed labels is the mix of each one's.
        Ok(match &batch.partners {
            None => of(&batch.labels),
            Some(Partners { labels, own_share }) => of(&batch.labels) * *own_share + of(labels) * (1.0 - own_share),
        })
    }
}

/// Cross-entropy of each example, k.
fn cross_entropies(logits: &Tensor, labels: &Tensor) -> Tensor {
    logits.cross_entropy_loss(labels, None::<&Tensor>, Reduction::None, NO_LABEL, 0.0)
}

#[cfg(test)]
mod tests;
