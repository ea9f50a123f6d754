//! Recipes train as their names promise: optimisers, precision, memory format and augmentation.
#![cfg(feature = "torch")]
#![allow(clippy::unwrap_used, reason = "a test ends where a value is missing")]

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use swift_sampler_searcher::data::{DataConfig, ImageShape, idx, synthetic};
use swift_sampler_searcher::stop::Stop;
use swift_sampler_searcher::target::{
    Architecture, Augmentation, Head, InputScale, Loss, Mixing, PaperRecipe, Precision, PrepareConfig, RecipeOverrides,
    Schedule, ShuffledEpochs, Start, TargetError, TrainingOutcome, TrainingRun,
};
use swift_sampler_searcher::torch::{
    DeviceImages, FeatureRequest, Model, features_of, open_target, prepare, write_features,
};
use tch::{Device, Kind, Tensor};

const TRAIN: u32 = 200;

/// libtorch's random numbers are a process's, which trains one network at a time; a test holds this while it trains.
static TRAINING: Mutex<()> = Mutex::new(());

/// Synthetic images of 12 × 12 pixels in `folder`, and what is trained on them.
fn config_in(folder: &Path) -> PrepareConfig {
    idx::write_labelled(folder, "train", &synthetic::blobs(300, 5, 1)).unwrap();
    idx::write_labelled(folder, "t10k", &synthetic::blobs(100, 5, 2)).unwrap();
    let data =
        DataConfig { train_examples: Some(TRAIN as usize), validation_examples: Some(100), ..DataConfig::new(folder) };
    PrepareConfig::new(Architecture::Cnn, data)
}

/// Trains from scratch.
fn train(
    config: impl FnOnce(PrepareConfig) -> PrepareConfig,
    run: &TrainingRun,
) -> Result<TrainingOutcome, TargetError> {
    let _alone = TRAINING.lock().unwrap_or_else(PoisonError::into_inner);
    let folder = tempfile::tempdir().unwrap();
    let config = config(config_in(folder.path()));
    let mut target = open_target(&config, folder.path())?;
    let mut batches = ShuffledEpochs::new(TRAIN, run.batch_size, 9);
    target.train(run, &mut batches, true, &mut |_| ControlFlow::Continue(()))
}

fn run(recipe: RecipeOverrides) -> TrainingRun {
    TrainingRun { epochs: 3, batch_size: 20, seed: 5, start: Start::Scratch, recipe, loss: Loss::CrossEntropy }
}

fn losses(outcome: &TrainingOutcome) -> Vec<f64> {
    outcome.epochs.iter().map(|epoch| epoch.training_loss).collect()
}

#[test]
fn every_recipe_of_the_paper_learns() {
    for paper in
        [PaperRecipe::Cifar, PaperRecipe::Imagenet, PaperRecipe::Swin, PaperRecipe::Faces, PaperRecipe::FewShot]
    {
        let mut overrides = RecipeOverrides::all(paper.recipe());
        // 30 steps of what is made for thousands.
        overrides.learning_rate = Some(if paper == PaperRecipe::Swin { 0.01 } else { 0.05 });
        // Not augmented: what is told apart here are places in images of 12 pixels.
        let outcome = train(|config| config, &run(overrides)).unwrap();
        // Of five classes; losses of mixed batches stay large whatever is learned.
        assert!(outcome.epochs[2].validation_accuracy > 0.6, "{paper:?}: {outcome:?}");
    }
}

#[test]
fn transformers_learn_by_their_own_recipe() {
    let outcome = train(
        |config| PrepareConfig { target: Architecture::VitTiny.into(), ..config },
        &TrainingRun { epochs: 2, ..run(RecipeOverrides::default()) },
    )
    .unwrap();
    let losses = losses(&outcome);
    assert!(losses[1] < 0.9 * losses[0], "{losses:?}");
}

#[test]
fn bf16_trains_nearly_as_32_bits_do() {
    let train = |precision| {
        let overrides = RecipeOverrides { precision: Some(precision), ..RecipeOverrides::default() };
        train(|config| config, &run(overrides)).unwrap()
    };
    let (exact, rounded, on_cpu) =
        (losses(&train(Precision::F32)), losses(&train(Precision::Bf16)), losses(&train(Precision::Bf16OnGpu)));
    assert_ne!(exact, rounded, "nothing was computed in bf16");
    for (exact, rounded) in exact.iter().zip(&rounded) {
        assert!((exact - rounded).abs() < 0.05 * (1.0 + exact), "{exact} {rounded}");
    }
    // This machine's tests train where the device is; without a GPU that is 32 bits.
    if !tch::Cuda::is_available() {
        assert_eq!(exact, on_cpu);
    }
}

#[test]
fn images_that_lie_pixel_by_pixel_train_alike() {
    let train = |channels_last| {
        let config = |config| PrepareConfig { channels_last, ..config };
        losses(&train(config, &run(RecipeOverrides::default())).unwrap())
    };
    for (last, first) in train(Some(true)).iter().zip(train(Some(false))) {
        assert!((last - first).abs() < 0.02 * (1.0 + first), "{last} {first}");
    }
}

#[test]
fn channels_last_changes_no_logit_beyond_rounding() {
    let shape = ImageShape { channels: 3, height: 32, width: 32 };
    let images = Tensor::linspace(-1.0, 1.0, 2 * 3 * 32 * 32, (Kind::Float, Device::Cpu)).reshape([2, 3, 32, 32]);
    let mut model = Model::new(Architecture::Cnn, shape, 10, 0, Device::Cpu);
    let first = model.forward(&images, false).unwrap().logits;
    model.set_channels_last(true);
    let last = model.forward(&images, false).unwrap().logits;
    assert!((first - last).abs().max().double_value(&[]) < 1e-5);
}

#[test]
fn augmented_trainings_repeat_themselves_and_follow_the_seed() {
    let train = |augmentation, seed| {
        let config = |config| PrepareConfig { augmentation, ..config };
        losses(&train(config, &TrainingRun { epochs: 2, seed, ..run(RecipeOverrides::default()) }).unwrap())
    };
    let plain = train(Augmentation::None, 5);
    for augmentation in [Augmentation::Flip, Augmentation::Cifar, Augmentation::Imagenet, Augmentation::Swin] {
        let first = train(augmentation, 5);
        assert_eq!(first, train(augmentation, 5), "{augmentation:?}");
        assert_ne!(first, plain, "{augmentation:?} changes nothing");
        assert_ne!(first, train(augmentation, 6), "{augmentation:?} does not follow the seed");
    }
}

#[test]
fn mixed_trainings_repeat_themselves_and_follow_the_seed() {
    let train = |mixing, seed| {
        let overrides = RecipeOverrides { mixing: Some(mixing), ..RecipeOverrides::default() };
        losses(&train(|config| config, &TrainingRun { epochs: 2, seed, ..run(overrides) }).unwrap())
    };
    let plain = train(Mixing::default(), 5);
    for mixing in [Mixing { mixup: 0.8, cutmix: 0.0 }, Mixing { mixup: 0.0, cutmix: 1.0 }] {
        let first = train(mixing, 5);
        assert_eq!(first, train(mixing, 5), "{mixing:?}");
        assert!(first != plain && first != train(mixing, 6), "{mixing:?}");
    }
}

#[test]
fn features_are_of_images_as_they_are_and_in_32_bits_whatever_the_training_was() {
    let _alone = TRAINING.lock().unwrap_or_else(PoisonError::into_inner);
    let folder = tempfile::tempdir().unwrap();
    let recipe = RecipeOverrides { precision: Some(Precision::Bf16), ..RecipeOverrides::default() };
    let augmentation = Augmentation::Imagenet;
    let config = PrepareConfig { epochs: 1, recipe, augmentation, ..config_in(folder.path()) };
    let work_dir = folder.path().join("work");
    let prepared = prepare(&config, &work_dir, &Stop::default(), &mut |_| ControlFlow::Continue(())).unwrap();

    let images = config.data.load().unwrap().train;
    let mut model = Model::blank(Architecture::Cnn, images.shape, 5, Device::Cpu);
    model.load(&prepared.best).unwrap();
    let images = DeviceImages::new(&images, InputScale::Standardised, Device::Cpu);
    let features = features_of(&model, &images, 5, &FeatureRequest::from(&config), &mut |_| Ok(())).unwrap();
    let again = folder.path().join("again.parquet");
    write_features(&again, &features, &[]).unwrap();
    assert!(std::fs::read(again).unwrap() == std::fs::read(prepared.features).unwrap());
}

#[test]
fn settings_that_cannot_be_trained_with_are_refused_by_name() {
    let refused = |overrides: RecipeOverrides, field: &str| {
        let error = train(|config| config, &run(overrides)).unwrap_err();
        assert!(matches!(&error, TargetError::InvalidRun { field: given, .. } if *given == field), "{error}");
    };
    refused(RecipeOverrides { label_smoothing: Some(1.5), ..RecipeOverrides::default() }, "label_smoothing");
    refused(RecipeOverrides { clip_norm: Some(-1.0), ..RecipeOverrides::default() }, "clip_norm");
    let smoothed = RecipeOverrides { label_smoothing: Some(0.1), ..RecipeOverrides::default() };
    let reed = TrainingRun { loss: Loss::ReedSoft, ..run(smoothed) };
    let error = train(|config| config, &reed).unwrap_err();
    assert!(matches!(&error, TargetError::InvalidRun { field: "label_smoothing", .. }), "{error}");
    let mixed = RecipeOverrides { mixing: Some(Mixing { mixup: 0.8, cutmix: 1.0 }), ..RecipeOverrides::default() };
    let error = train(|config| PrepareConfig { head: Head::MARGIN, ..config }, &run(mixed)).unwrap_err();
    assert!(error.to_string().contains("margin head needs labels of one class"), "{error}");
    let stored = |config| PrepareConfig { augmentation: Augmentation::Swin, input: InputScale::Stored, ..config };
    let error = train(stored, &run(RecipeOverrides::default())).unwrap_err();
    assert!(error.to_string().contains("--input-scale standardised"), "{error}");
    let never = Schedule::Steps { epochs: vec![1], of: 0, factor: 0.1 };
    refused(RecipeOverrides { schedule: Some(never), ..RecipeOverrides::default() }, "schedule");
}
