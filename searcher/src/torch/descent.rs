//! The loop of a training, whatever is trained: steps of an optimiser on the examples that batches name.

use std::time::Instant;

use tch::nn::Optimizer;
use tch::{Device, Kind, Tensor};

use crate::target::{BatchSource, EpochReport, Recipe, TargetError};

/// Steps between looks at the loss: each look waits for the device.
const STEPS_BETWEEN_LOSS_CHECKS: u64 = 32;

/// How long a run is and how its steps are made.
#[derive(Debug, Clone, Copy)]
pub(super) struct Course<'a> {
    pub(super) epochs: u32,
    pub(super) batch_size: u32,
    pub(super) recipe: &'a Recipe,
    /// Examples of the training set.
    pub(super) examples: usize,
    /// Where the losses are.
    pub(super) device: Device,
}

/// Where a run is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moment {
    /// Steps that are done.
    pub(super) step: u64,
    /// Their share of the run's, from 0 to below 1.
    pub(super) progress: f64,
}

/// The examples of a batch.
#[derive(Debug, Clone, Copy)]
pub(super) struct Drawn<'a> {
    pub(super) indices: &'a [i64],
    /// What their losses are multiplied by, if not by 1.
    pub(super) weights: Option<&'a [f32]>,
}

impl Drawn<'_> {
    /// Returns the weights as a tensor, f32, k.
    pub(super) fn weights_on(&self, device: Device) -> Option<Tensor> {
        self.weights.map(|weights| Tensor::from_slice(weights).to_device(device))
    }
}

/// A network with what it is trained and validated on.
pub(super) trait Lesson {
    /// Looks at the network before an epoch, `progress` of the run being done.
    fn begin_epoch(&mut self, _progress: f64) -> Result<(), TargetError> {
        Ok(())
    }

    /// Returns the loss of the examples that are drawn, one number that can be differentiated.
    fn loss(&mut self, drawn: Drawn<'_>, moment: Moment) -> Result<Tensor, TargetError>;

    /// Returns the features of all examples under the network as it is, columns by name.
    fn features(&self) -> Result<Vec<(String, Vec<f64>)>, TargetError>;

    /// Returns the network's score after an epoch.
    fn validate(&self) -> Result<f64, TargetError>;
}

impl Course<'_> {
    /// Refuses what cannot be trained with.
    pub(super) fn check(&self) -> Result<(), TargetError> {
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

    /// Makes all steps; `on_epoch` sees each epoch and ends the run with an error.
    ///
    /// # Errors
    ///
    /// Errors of the batches and of the lesson; [`TargetError::Infeasible`] when the loss stops being finite.
    pub(super) fn run(
        &self,
        optimizer: &mut Optimizer,
        batches: &mut dyn BatchSource,
        lesson: &mut dyn Lesson,
        on_epoch: &mut dyn FnMut(&EpochReport) -> Result<(), TargetError>,
    ) -> Result<Vec<EpochReport>, TargetError> {
        let steps = (self.examples as u64).div_ceil(u64::from(self.batch_size));
        let in_all = steps * u64::from(self.epochs);
        let (mut batch, mut indices, mut reports) = (Vec::new(), Vec::new(), Vec::new());
        for epoch in 1..=self.epochs {
            let started = Instant::now();
            if batches.wants_features(epoch) {
                batches.take_features(lesson.features()?)?;
            }
            lesson.begin_epoch(f64::from(epoch - 1) / f64::from(self.epochs))?;
            let mut total = Tensor::zeros([], (Kind::Float, self.device));
            for step in 0..steps {
                batches.next_batch(&mut batch)?;
                check_batch(&batch, self.examples)?;
                indices.clear();
                indices.extend(batch.iter().map(|&index| i64::from(index)));
                let done = u64::from(epoch - 1) * steps + step;
                optimizer.set_lr(self.recipe.learning_rate_at(done, in_all));
                let weights = batches.weights();
                if weights.is_some_and(|weights| weights.len() != indices.len()) {
                    let reason = format!("a batch of {} examples has another number of weights", indices.len());
                    return Err(TargetError::Batches { reason });
                }
                let moment = Moment { step: done, progress: done as f64 / in_all as f64 };
                let loss = lesson.loss(Drawn { indices: &indices, weights }, moment)?;
                match self.recipe.clip_norm {
                    None => optimizer.backward_step(&loss),
                    Some(norm) => optimizer.backward_step_clip_norm(&loss, norm),
                }
                total += loss.detach();
                if step % STEPS_BETWEEN_LOSS_CHECKS == 0 {
                    finite(&total, epoch, step)?;
                }
            }
            let training_loss = finite(&total, epoch, steps)? / steps as f64;
            let validation_accuracy = lesson.validate()?;
            let seconds = started.elapsed().as_secs_f64();
            let report = EpochReport { epoch, training_loss, validation_accuracy, seconds };
            reports.push(report);
            on_epoch(&report)?;
        }
        Ok(reports)
    }
}

fn check_batch(batch: &[u32], examples: usize) -> Result<(), TargetError> {
    if batch.is_empty() {
        return Err(TargetError::Batches { reason: "the batch source gave an empty batch".to_owned() });
    }
    match batch.iter().find(|&&index| index as usize >= examples) {
        Some(&index) => Err(TargetError::IndexOutOfRange { index, examples }),
        None => Ok(()),
    }
}

/// Returns the sum of losses, which is infinite or NaN from the first such loss on.
fn finite(total: &Tensor, epoch: u32, step: u64) -> Result<f64, TargetError> {
    let loss = total.double_value(&[]);
    if loss.is_finite() { Ok(loss) } else { Err(TargetError::Infeasible { loss, step, epoch }) }
}
