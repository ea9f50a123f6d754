//! The training of networks on images.

use tch::{Device, Tensor};

use super::augmentation::{augment, erase, mix};
use super::descent::{Course, Drawn, Lesson, Moment};
use super::features::FeatureColumns;
use super::images::DeviceImages;
use super::losses::{Batch, BatchLoss};
use super::networks::Model;
use super::optimizer::optimizer;
use crate::target::{Augmentation, BatchSource, EpochReport, Recipe, TargetError};

/// Images that are evaluated at once; bounds the memory of the activations.
pub(super) const EVALUATION_BATCH: usize = 250;

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
    fn course(&self, examples: usize, device: Device) -> Course<'_> {
        let Self { epochs, batch_size, ref recipe, .. } = *self;
        Course { epochs, batch_size, recipe, examples, device }
    }

    /// Refuses changes that these images cannot have.
    fn check_changes(&self, model: &Model, images: &DeviceImages) -> Result<(), TargetError> {
        let (augmentation, vectors) = (self.augmentation, images.shape().is_vector());
        let invalid = |field, value: String, expected| Err(TargetError::InvalidRun { field, value, expected });
        if !augmentation.is_none() && (vectors || !images.are_bytes() && augmentation.changes_colours()) {
            let expected = "vectors cannot be augmented, and the colours of images only where these are bytes";
            return invalid("augmentation", format!("{augmentation:?}"), expected);
        }
        if augmentation.erases() && !images.are_standardised() {
            let expected =
                "erased parts are noise of mean 0 and standard deviation 1: it needs --input-scale standardised";
            return invalid("augmentation", format!("{augmentation:?}"), expected);
        }
        if !self.recipe.mixing.is_none() && (vectors || model.has_margin()) {
            let expected = "only images are mixed (mixup, cutmix), and a margin head needs labels of one class: take another recipe";
            return invalid("mixing", format!("{:?}", self.recipe.mixing), expected);
        }
        Ok(())
    }
}

/// What is asked of a network between its epochs.
#[derive(Clone, Copy)]
pub(super) struct Views<'a> {
    /// Its score on the validation set.
    pub(super) validate: &'a dyn Fn(&Model) -> Result<f64, TargetError>,
    /// Its features of the training set, where batches are drawn by them.
    pub(super) features: &'a dyn Fn(&Model) -> Result<FeatureColumns, TargetError>,
}

/// Trains `model` on `loss` with fresh momentum; it is validated after each epoch, which `on_epoch` then sees, and may end
/// the run with an error.
pub(super) fn train(
    model: &Model,
    train: &DeviceImages,
    views: Views<'_>,
    plan: &Plan,
    batches: &mut dyn BatchSource,
    loss: &mut dyn BatchLoss,
    on_epoch: &mut dyn FnMut(&Model, &EpochReport) -> Result<(), TargetError>,
) -> Result<Vec<EpochReport>, TargetError> {
    let course = plan.course(train.len(), model.var_store().device());
    course.check()?;
    plan.check_changes(model, train)?;
    let mut optimizer = optimizer(model, &plan.recipe)?;
    let mut lesson = ImageLesson { model, train, views, plan, loss };
    course.run(&mut optimizer, batches, &mut lesson, &mut |report| on_epoch(model, report))
}

/// Images whose labels are learned.
struct ImageLesson<'a> {
    model: &'a Model,
    train: &'a DeviceImages,
    views: Views<'a>,
    plan: &'a Plan,
    loss: &'a mut dyn BatchLoss,
}

impl Lesson for ImageLesson<'_> {
    fn begin_epoch(&mut self, progress: f64) -> Result<(), TargetError> {
        self.loss.begin_epoch(self.model, progress)
    }

    fn loss(&mut self, drawn: Drawn<'_>, Moment { step, progress }: Moment) -> Result<Tensor, TargetError> {
        let &Plan { augmentation, seed, ref recipe, .. } = self.plan;
        let change = |images| augment(images, augmentation, &self.train.mean_colour(), seed, step);
        let (mut images, labels) = self.train.gather_changed(drawn.indices, change);
        if augmentation.erases() {
            images = erase(&images, seed, step);
        }
        let (images, partners) = mix(images, &labels, recipe.mixing, seed, step);
        let weights = drawn.weights_on(images.device());
        self.loss.of(self.model, &Batch { images, labels, weights, partners, progress })
    }

    fn features(&self) -> Result<Vec<(String, Vec<f64>)>, TargetError> {
        Ok((self.views.features)(self.model)?.named())
    }

    fn validate(&self) -> Result<f64, TargetError> {
        (self.views.validate)(self.model)
    }
}

/// Splits `0..len` into ranges of [`EVALUATION_BATCH`].
pub(super) fn chunks(len: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..len).step_by(EVALUATION_BATCH).map(move |start| (start, len.min(start + EVALUATION_BATCH)))
}
