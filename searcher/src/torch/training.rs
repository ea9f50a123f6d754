//! The training loop: steps of an optimiser on whatever examples the batches name.

use std::time::Instant;

use tch::{Kind, Tensor, no_grad};

use super::augmentation::augment;
use super::images::DeviceImages;
use super::losses::{Batch, BatchLoss};
use super::networks::Model;
use super::optimizer::optimizer;
use crate::target::{Augmentation, BatchSource, EpochReport, Recipe, TargetError};

/// Images that are evaluated at once; bounds the memory of the activations.
pub(super) const EVALUATION_BATCH: usize = 250;
/// Steps between looks at the loss: each look waits for the device.
pub(super) const STEPS_BETWEEN_LOSS_CHECKS: u64 = 32;

/// What a run trains, apart from its data.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    pub(super) epochs: u32,
    pub(super) batch_size: u32,
    /// Seeds the augmentation, with the number of the step.
    pub(super) seed: u64,
    pub(super) recipe: Recipe,
    pub(super) augmentation: Augmentation,
}

impl Plan {
    fn check(&self, images: &DeviceImages) -> Result<(), TargetError> {
        let invalid = |field, value: String, expected| Err(TargetError::InvalidRun { field, value, expected });
        if self.epochs == 0 {
            return invalid("epochs", "0".to_owned(), "at least 1 is needed");
        }
        if self.batch_size == 0 {
            return invalid("batch_size", "0".to_owned(), "at least 1 is needed");
        }
        if let Some((field, value, expected)) = self.recipe.fault() {
            return invalid(field, value, expected);
        }
        let (augmentation, vectors) = (self.augmentation, images.shape().is_vector());
        if !augmentation.is_none() && (vectors || !images.are_bytes() && augmentation == Augmentation::Imagenet) {
            let expected = "vectors cannot be augmented, and the colours of images only where these are bytes";
            return invalid("augmentation", format!("{augmentation:?}"), expected);
        }
        Ok(())
    }
}

/// Trains `model` on `loss` with fresh momentum; `validate` scores it after each epoch, `on_epoch` sees it after each epoch and ends the run with an error.
pub(super) fn train(
    model: &Model,
    train: &DeviceImages,
    validate: &dyn Fn(&Model) -> Result<f64, TargetError>,
    plan: &Plan,
    batches: &mut dyn BatchSource,
    loss: &mut dyn BatchLoss,
    on_epoch: &mut dyn FnMut(&Model, &EpochReport) -> Result<(), TargetError>,
) -> Result<Vec<EpochReport>, TargetError> {
    plan.check(train)?;
    let Plan { recipe, augmentation, .. } = plan;
    let mut optimizer = optimizer(model, recipe)?;
    let steps = (train.len() as u64).div_ceil(u64::from(plan.batch_size));
    let mut batch = Vec::new();
    let mut indices = Vec::new();
    let mut reports = Vec::new();
    for epoch in 1..=plan.epochs {
        let started = Instant::now();
        loss.begin_epoch(model, f64::from(epoch - 1) / f64::from(plan.epochs))?;
        let mut total = Tensor::zeros([], (Kind::Float, model.var_store().device()));
        for step in 0..steps {
            batches.next_batch(&mut batch)?;
            check_batch(&batch, train.len())?;
            indices.clear();
            indices.extend(batch.iter().map(|&index| i64::from(index)));
            let done = u64::from(epoch - 1) * steps + step;
            let (images, labels) =
                train.gather_changed(&indices, |images| augment(images, *augmentation, plan.seed, done));
            optimizer.set_lr(recipe.learning_rate_at(done, steps * u64::from(plan.epochs)));
            let progress = done as f64 / (steps * u64::from(plan.epochs)) as f64;
            let loss = loss.of(model, &Batch { images, labels, progress })?;
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
        let validation_accuracy = validate(model)?;
        let seconds = started.elapsed().as_secs_f64();
        let report = EpochReport { epoch, training_loss, validation_accuracy, seconds };
        reports.push(report);
        on_epoch(model, &report)?;
    }
    Ok(reports)
}

/// Returns the share of `images` that the model classifies correctly.
pub(super) fn accuracy(model: &Model, images: &DeviceImages) -> Result<f64, TargetError> {
    let mut correct = 0;
    for (start, end) in chunks(images.len()) {
        correct += no_grad(|| -> Result<i64, TargetError> {
            let (pixels, labels) = images.range(start, end);
            let predicted = model.forward(&pixels, false)?.logits.argmax(1, false);
            Ok(predicted.eq_tensor(&labels).sum(Kind::Int64).int64_value(&[]))
        })?;
    }
    Ok(correct as f64 / images.len() as f64)
}

/// Splits `0..len` into ranges of [`EVALUATION_BATCH`].
pub(super) fn chunks(len: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..len).step_by(EVALUATION_BATCH).map(move |start| (start, len.min(start + EVALUATION_BATCH)))
}

pub(super) fn check_batch(batch: &[u32], examples: usize) -> Result<(), TargetError> {
    if batch.is_empty() {
        return Err(TargetError::Batches { reason: "the batch source gave an empty batch".to_owned() });
    }
    match batch.iter().find(|&&index| index as usize >= examples) {
        Some(&index) => Err(TargetError::IndexOutOfRange { index, examples }),
        None => Ok(()),
    }
}

/// Returns the sum of losses, which is infinite or NaN from the first such loss on.
pub(super) fn finite(total: &Tensor, epoch: u32, step: u64) -> Result<f64, TargetError> {
    let loss = total.double_value(&[]);
    if loss.is_finite() { Ok(loss) } else { Err(TargetError::Infeasible { loss, step, epoch }) }
}
