//! The training of language models.

use tch::{Kind, Reduction, Tensor, no_grad};

use super::features::features_of;
use super::gpt::Gpt;
use super::token_batches::DeviceSequences;
use crate::target::{BatchSource, EpochReport, Precision, Recipe, TargetError};
use crate::torch::descent::{Course, Drawn, Lesson, Moment};
use crate::torch::layers::Pass;
use crate::torch::optimizer::optimizer_of;

/// What a run trains, apart from its text.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    pub(super) epochs: u32,
    pub(super) batch_size: u32,
    pub(super) recipe: Recipe,
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
    let Plan { epochs, batch_size, ref recipe } = *plan;
    let device = model.var_store().device();
    let course = Course { epochs, batch_size, recipe, examples: train.len(), device };
    course.check()?;
    if !recipe.mixing.is_none() {
        let (value, expected) = (format!("{:?}", recipe.mixing), "only images are mixed (mixup, cutmix), not text");
        return Err(TargetError::InvalidRun { field: "mixing", value, expected });
    }
    let bf16 = match recipe.precision {
        Precision::F32 => false,
        Precision::Bf16 => true,
        Precision::Bf16OnGpu => device.is_cuda(),
    };
    let mut optimizer = optimizer_of(model.var_store(), true, recipe)?;
    let pass = Pass { training: true, bf16 };
    let mut lesson = TextLesson { model, train, validation, pass, label_smoothing: recipe.label_smoothing };
    course.run(&mut optimizer, batches, &mut lesson, &mut |report| on_epoch(model, report))
}

/// Sequences whose next tokens are learned.
struct TextLesson<'a> {
    model: &'a Gpt,
    train: &'a DeviceSequences,
    validation: &'a DeviceSequences,
    pass: Pass,
    label_smoothing: f64,
}

impl Lesson for TextLesson<'_> {
    fn loss(&mut self, drawn: Drawn<'_>, _: Moment) -> Result<Tensor, TargetError> {
        let Self { model, pass, .. } = *self;
        let (inputs, next) = self.train.gather(drawn.indices);
        let size = next.size();
        let logits = model.logits_of(&model.hidden(&inputs, pass), pass).flatten(0, 1);
        let next = next.flatten(0, 1);
        let losses =
            |reduction| logits.cross_entropy_loss(&next, None::<&Tensor>, reduction, -100, self.label_smoothing);
        Ok(match drawn.weights_on(logits.device()) {
            None => losses(Reduction::Mean),
            // All tokens of a sequence weigh what it weighs.
            Some(weights) => (losses(Reduction::None).reshape(size) * weights.unsqueeze(1)).mean(Kind::Float),
        })
    }

    fn features(&self) -> Result<Vec<(String, Vec<f64>)>, TargetError> {
        Ok(features_of(self.model, self.train, &mut |_done| Ok(()))?.named())
    }

    fn validate(&self) -> Result<f64, TargetError> {
        Ok(inverse_perplexity(self.model, self.validation))
    }
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
