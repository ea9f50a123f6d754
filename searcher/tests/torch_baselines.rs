//! `searcher train` on networks: features that are computed anew, and losses that are weighed.
#![cfg(feature = "torch")]
#![allow(clippy::unwrap_used, reason = "a test ends where a value is missing")]

use std::ops::ControlFlow;

use swift_sampler::{Replacement, SamplerSpec};
use swift_sampler_searcher::baseline::{self, BaselineConfig, FixedSampler};
use swift_sampler_searcher::data::{DataConfig, idx, synthetic};
use swift_sampler_searcher::features_file;
use swift_sampler_searcher::preparation::TargetConfig;
use swift_sampler_searcher::progress::Progress;
use swift_sampler_searcher::stop::Stop;
use swift_sampler_searcher::target::{
    Architecture, BatchSource, EpochReport, Loss, PrepareConfig, RecipeOverrides, ShuffledEpochs, Start, Target,
    TargetError, TrainingRun,
};
use swift_sampler_searcher::torch::{open_target, prepare};

const TRAIN: u32 = 200;

/// A folder of synthetic images in IDX files, and a configuration that prepares within a second.
fn setup() -> (tempfile::TempDir, PrepareConfig) {
    let folder = tempfile::tempdir().unwrap();
    idx::write_labelled(folder.path(), "train", &synthetic::blobs(300, 5, 1)).unwrap();
    idx::write_labelled(folder.path(), "t10k", &synthetic::blobs(100, 5, 2)).unwrap();
    let data = DataConfig {
        train_examples: Some(TRAIN as usize),
        validation_examples: Some(100),
        label_noise: 0.2,
        ..DataConfig::new(folder.path())
    };
    let config = PrepareConfig { epochs: 3, batch_size: 20, ..PrepareConfig::new(Architecture::Mlp, data) };
    (folder, config)
}

/// What must not depend on the clock.
fn numbers(epochs: &[EpochReport]) -> Vec<(u32, f64, f64)> {
    epochs.iter().map(|epoch| (epoch.epoch, epoch.training_loss, epoch.validation_accuracy)).collect()
}

/// Batches of a shuffle, of a source that looks at features and weighs its examples.
struct Watching {
    batches: ShuffledEpochs,
    refreshes: Vec<Vec<(String, Vec<f64>)>>,
    weight: Option<f32>,
    weights: Vec<f32>,
}

impl Watching {
    fn new(weight: Option<f32>) -> Self {
        Self { batches: ShuffledEpochs::new(TRAIN, 20, 9), refreshes: Vec::new(), weight, weights: Vec::new() }
    }
}

impl BatchSource for Watching {
    fn next_batch(&mut self, indices: &mut Vec<u32>) -> Result<(), TargetError> {
        self.batches.next_batch(indices)?;
        self.weights = vec![self.weight.unwrap_or(1.0); indices.len()];
        Ok(())
    }

    fn weights(&self) -> Option<&[f32]> {
        self.weight.map(|_| self.weights.as_slice())
    }

    fn wants_features(&self, epoch: u32) -> bool {
        epoch > 1
    }

    fn take_features(&mut self, columns: Vec<(String, Vec<f64>)>) -> Result<(), TargetError> {
        self.refreshes.push(columns);
        Ok(())
    }
}

#[test]
fn a_source_is_given_the_present_features_without_a_change_to_the_training_and_weights_are_heeded() {
    let (folder, config) = setup();
    let work_dir = folder.path().join("work");
    let prepared = prepare(&config, &work_dir, &Stop::default(), &mut |_| ControlFlow::Continue(())).unwrap();
    let mut target = open_target(&config, &work_dir).unwrap();
    let train_on = |target: &mut dyn Target, run: &TrainingRun, batches: &mut Watching| {
        target.train(run, batches, true, &mut |_| ControlFlow::Continue(()))
    };
    let (start, recipe) = (Start::Best, RecipeOverrides::default());
    let run = TrainingRun { epochs: 3, batch_size: 20, seed: 5, start, recipe, loss: Loss::CrossEntropy };
    let mut shuffled = ShuffledEpochs::new(TRAIN, 20, 9);
    let plain = target.train(&run, &mut shuffled, true, &mut |_| ControlFlow::Continue(())).unwrap();
    let mut watching = Watching::new(None);
    let watched = train_on(&mut *target, &run, &mut watching).unwrap();
    assert_eq!(numbers(&watched.epochs), numbers(&plain.epochs));
    assert_eq!(watching.refreshes.len(), 2);
    let before = features_file::read(&prepared.features).unwrap();
    let loss = |columns: &[(String, Vec<f64>)]| columns.iter().find(|(name, _)| name == "loss").unwrap().1.clone();
    for columns in &watching.refreshes {
        let names: Vec<&str> = columns.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, before.names().iter().map(String::as_str).collect::<Vec<_>>());
        assert!(columns.iter().all(|(_, values)| values.len() == TRAIN as usize));
        assert_ne!(loss(columns), before.column("loss").unwrap());
    }
    assert_ne!(loss(&watching.refreshes[0]), loss(&watching.refreshes[1]));
    // Weights of 1 are none; others scale the loss.
    let ones = train_on(&mut *target, &run, &mut Watching::new(Some(1.0))).unwrap();
    for (weighted, plain) in ones.epochs.iter().zip(&plain.epochs) {
        assert!((weighted.training_loss - plain.training_loss).abs() < 1e-4, "{weighted:?} {plain:?}");
    }
    let halves = train_on(&mut *target, &run, &mut Watching::new(Some(0.5))).unwrap();
    assert!(halves.epochs[0].training_loss < 0.7 * plain.epochs[0].training_loss, "{halves:?} {plain:?}");
    let focal = TrainingRun { loss: Loss::Focal, ..run };
    let refused = train_on(&mut *target, &focal, &mut Watching::new(Some(1.0))).unwrap_err();
    assert!(refused.to_string().contains("weighted examples need cross-entropy"), "{refused}");
}

#[test]
fn a_baseline_goes_on_over_refreshed_features_and_corrects_for_its_sampler() {
    let (folder, config) = setup();
    let train = |sampler: FixedSampler, correction: bool, refresh_epochs: Option<u32>| {
        let config = BaselineConfig {
            target: TargetConfig::Network(Box::new(config.clone())),
            sampler,
            draws: Replacement::Independent,
            loss: Loss::CrossEntropy,
            epochs: 3,
            batch_size: 20,
            recipe: RecipeOverrides::default(),
            seed: 1,
            correction,
            refresh_epochs,
            runs: 1,
            work_dir: folder.path().join("work"),
        };
        baseline::run(&config, &Stop::default(), &mut Progress::new()).unwrap()
    };
    let by_loss = FixedSampler::Spec(SamplerSpec::Column { column: "loss".to_owned() });
    for sampler in [FixedSampler::GradientNorm, by_loss] {
        let fixed = train(sampler.clone(), false, None);
        let refreshed = train(sampler.clone(), false, Some(2));
        assert_eq!(numbers(&refreshed.runs[0])[..2], numbers(&fixed.runs[0])[..2], "not before its epoch");
        assert_ne!(numbers(&refreshed.runs[0])[2], numbers(&fixed.runs[0])[2], "{sampler:?}");
        assert_eq!(
            numbers(&train(sampler, false, Some(3)).runs[0]),
            numbers(&fixed.runs[0]),
            "no epoch is left for it"
        );
    }
    // The largest losses of these easy images remain those of the wrong labels.
    let trimmed = |refresh_epochs| numbers(&train(FixedSampler::Trimmed, false, refresh_epochs).runs[0]);
    assert_eq!(trimmed(Some(1)), trimmed(None));
    let corrected = train(FixedSampler::GradientNorm, true, Some(1));
    let shown = serde_json::to_value(&corrected).unwrap();
    assert_eq!((&shown["correction"], &shown["refresh_epochs"]), (&true.into(), &1.into()));
    assert!(corrected.test_accuracy.unwrap().mean > 0.6, "{shown}");
}
