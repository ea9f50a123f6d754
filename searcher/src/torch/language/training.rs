//! The training loop of language models.

use std::time::Instant;

use tch::{Kind, Reduction, Tensor, no_grad};

use super::gpt::Gpt;
use super::token_batches::DeviceSequences;
use crate::target::{BatchSource, EpochReport, Precision, Recipe, TargetError};
use crate::torch::layers::Pass;
use crate::torch::optimizer::optimizer_of;
use crate::torch::training::{STEPS_BETWEEN_LOSS_CHECKS, check_batch, finite};

/// What a run trains, apart from its text.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    pub(super) epochs: u32,
    pub(super) batch_size: u32,
    pub(super) recipe: Recipe,
}

impl Plan {
    fn check(&self) -> Result<(), TargetError> {
        let invalid = |field, value: String, expected| Err(TargetError::InvalidRun { field, value, expected });
        if self.epochs == 0 {
            return invalid("epochs", "0".to_owned(), "at least 1 is needed");
        }
        if self.batch_size == 0 {
            return invalid("batch_size", "0".to_owned(), "at least 1 is needed");
        }
        match self.recipe.fault() {
            Some((field, value, expected)) => invalid(field, value, expected),
            None => Ok(()),
        }
    }
}

/// Trains `model` on the mean cross-entropy of all tokens of a batch; `on_epoch` sees it after each epoch and ends the run with an
/// error.
pub(super) fn train(
    model: &Gpt,
    train: &DeviceSequences,
    validation: &DeviceSequences,
    plan: &Plan,
    batches: &mut dyn BatchSource,
    on_epoch: &mut dyn FnMut(&Gpt, &EpochReport) -> Result<(), TargetError>,
) -> Result<Vec<EpochReport>, TargetError> {
    plan.check()?;
    let recipe = &plan.recipe;
    let device = model.var_store().device();
    let bf16 = match recipe.precision {
        Precision::F32 => false,
        Precision::Bf16 => true,
        Precision::Bf16OnGpu => device.is_cuda(),
    };
    let pass = Pass { training: true, bf16 };
    let mut optimizer = optimizer_of(model.var_store(), true, recipe)?;
    let steps = (train.len() as u64).div_ceil(u64::from(plan.batch_size));
    let (mut batch, mut reports) = (Vec::new(), Vec::new());
    for epoch in 1..=plan.epochs {
        let started = Instant::now();
        let mut total = Tensor::zeros([], (Kind::Float, device));
        for step in 0..steps {
            batches.next_batch(&mut batch)?;
            check_batch(&batch, train.len())?;
            let indices: Vec<i64> = batch.iter().map(|&index| i64::from(index)).collect();
            let (inputs, next) = train.gather(&indices);
            let done = u64::from(epoch - 1) * steps + step;
            optimizer.set_lr(recipe.learning_rate_at(done, steps * u64::from(plan.epochs)));
            let logits = model.logits_of(&model.hidden(&inputs, pass), pass).flatten(0, 1);
            let next = next.flatten(0, 1);
            let loss = logits.cross_entropy_loss(&next, None::<&Tensor>, Reduction::Mean, -100, recipe.label_smoothing);
            match recipe.clip_norm {
                None => optimizer.backward_step(&loss),
                Some(norm) => optimizer.backward_step_clip_norm(&loss, norm),
            }
            total += loss.detach();
            if step % STEPS_BETWEEN_LOSS_CHECKS == 0 {
                finite(&total, epoch, step)?;
            }
        }
        let training_loss = finite(&total, epoch, steps)? / steps as f64;
        let validation_accuracy = inverse_perplexity(model, validation);
        let seconds = started.elapsed().as_secs_f64();
        let report = EpochReport { epoch, training_loss, validation_accuracy, seconds };
        reports.push(report);
        on_epoch(model, &report)?;
    }
    Ok(reports)
}

/// Returns 1 / perplexity, which is the geometric mean of the probabilities that the tokens have.
pub(super) fn inverse_perplexity(model: &Gpt, sequences: &DeviceSequences) -> f64 {
    let pass = Pass::full(false);
    let mut total = 0.0;
    for (_, (inputs, next)) in sequences.chunks() {
        total += no_grad(|| {
            let logits = model.logits_of(&model.hidden(&inputs, pass), pass);
            losses(&logits, &next).sum(Kind::Double).double_value(&[])
        });
    }
    (-total / (sequences.len() * sequences.context()) as f64).exp()
}

/// Cross-entropy of each token, k × context, for logits k × context × vocabulary.
pub(super) fn losses(logits: &Tensor, next: &Tensor) -> Tensor {
    let flat = logits.flatten(0, 1);
    let losses = flat.cross_entropy_loss(&next.flatten(0, 1), None::<&Tensor>, Reduction::None, -100, 0.0);
    losses.reshape(next.size())
}
