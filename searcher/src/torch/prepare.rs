//! The preparation of a study: trains the start network uniformly, keeps two checkpoints, extracts the features.

use std::fs;
use std::ops::ControlFlow;
use std::path::Path;

use super::features::{FeatureColumns, FeatureRequest, Forgetting, features_of, write_features};
use super::images::DeviceImages;
use super::losses::MeanCrossEntropy;
use super::manifest::{self, Manifest};
use super::networks::Model;
use super::training;
use super::{FEATURES_FILE, TorchTarget, checkpoint_file, seed_dropout};
use crate::data::crops;
use crate::stop::Stop;
use crate::target::{
    BatchSource, Checkpoint, EpochReport, Feature, PrepareConfig, PrepareProgress, Prepared, ShuffledEpochs,
    TargetError,
};

/// What a caller does with progress; `Break` ends the preparation as [`TargetError::Interrupted`].
pub(super) type Progress<'a> = dyn FnMut(&PrepareProgress) -> ControlFlow<()> + 'a;

/// Trains the start network on shuffled epochs and writes its checkpoints and features into `work_dir`.
///
/// Resumable: files of an equal configuration are reused, others are replaced. A training that was interrupted starts
/// again; `stop` interrupts it at the next batch. Returns at once if nothing is left to do.
///
/// # Errors
///
/// Errors of the data, of the training, or of the files of `work_dir`.
pub fn prepare(
    config: &PrepareConfig,
    work_dir: &Path,
    stop: &Stop,
    progress: &mut Progress<'_>,
) -> Result<Prepared, TargetError> {
    fs::create_dir_all(work_dir)
        .map_err(|source| TargetError::File { path: work_dir.to_owned(), reason: source.to_string() })?;
    if let Some(manifest) = Manifest::matching(config, work_dir)? {
        if manifest.has_features_of(config, work_dir) {
            return Ok(prepared(manifest, config, work_dir, true));
        }
        // What follows from all epochs is not in the checkpoints: for it the network is trained again.
        if !Watched::is_needed(config) {
            let target = TorchTarget::new(config, work_dir)?;
            let features = extract(&target, progress)?;
            return keep(&target, manifest, &features, progress);
        }
    }
    let target = TorchTarget::new(config, work_dir)?;
    manifest::remove(work_dir)?;
    let (manifest, watched) = train_start_network(&target, stop, progress)?;
    let mut features = match watched.mean {
        Some(mean) => mean.kept,
        None => extract(&target, progress)?,
    };
    if let Some(forgetting) = watched.forgetting {
        features.insert(Feature::Forgetting, forgetting.counts());
    }
    keep(&target, manifest, &features, progress)
}

fn prepared(manifest: Manifest, config: &PrepareConfig, work_dir: &Path, reused: bool) -> Prepared {
    Prepared {
        start: work_dir.join(checkpoint_file(&config.target, Checkpoint::Last)),
        best: work_dir.join(checkpoint_file(&config.target, Checkpoint::Best)),
        features: work_dir.join(FEATURES_FILE),
        best_epoch: manifest.best_epoch,
        epochs: manifest.epochs,
        reused,
    }
}

fn train_start_network(
    target: &TorchTarget,
    stop: &Stop,
    progress: &mut Progress<'_>,
) -> Result<(Manifest, Watched), TargetError> {
    let TorchTarget { config, work_dir, train, .. } = target;
    let examples = u32::try_from(train.len()).map_err(|_too_many| TargetError::InvalidRun {
        field: "train_examples",
        value: train.len().to_string(),
        expected: "fewer than 2^32 are needed",
    })?;
    let (mut model, other_classes) = target.fresh_model(config.seed)?;
    if let Some(other_classes) = other_classes {
        tell(progress, PrepareProgress::NewClassifier(other_classes))?;
    }
    let recipe = config.recipe.apply(config.target.recipe());
    model.train_in(recipe.precision)?;
    seed_dropout(config.seed);
    let batches = ShuffledEpochs::new(examples, config.batch_size, config.seed);
    let mut batches = Interruptible { batches, stop };
    let mut best: Option<EpochReport> = None;
    let mut watched = Watched::new(config);
    let loss = &mut MeanCrossEntropy { label_smoothing: recipe.label_smoothing };
    let plan = target.plan(config.epochs, config.batch_size, config.seed, recipe);
    let views =
        training::Views { validate: &|model| target.validate(model), features: &|model| target.features(model) };
    let epochs = training::train(&model, train, views, &plan, &mut batches, loss, &mut |model, report| {
        watched.look(model, target)?;
        if best.is_none_or(|best| report.validation_accuracy > best.validation_accuracy) {
            model.save(&work_dir.join(checkpoint_file(&config.target, Checkpoint::Best)))?;
            best = Some(*report);
            if let Some(mean) = &mut watched.mean {
                mean.keep();
            }
        }
        tell(progress, PrepareProgress::Epoch { report: *report, epochs: config.epochs })
    })?;
    model.save(&work_dir.join(checkpoint_file(&config.target, Checkpoint::Last)))?;
    let best_epoch = best.map_or(config.epochs, |best| best.epoch);
    let manifest = Manifest::trained(config, &target.fingerprint, epochs, best_epoch);
    manifest.write(work_dir)?;
    Ok((manifest, watched))
}

/// What is made of the features after every epoch.
struct Watched {
    mean: Option<MeanFeatures>,
    forgetting: Option<Forgetting>,
}

impl Watched {
    fn is_needed(config: &PrepareConfig) -> bool {
        config.features_from == Checkpoint::Mean || config.extra_features.contains(&Feature::Forgetting)
    }

    fn new(config: &PrepareConfig) -> Self {
        Self {
            mean: (config.features_from == Checkpoint::Mean).then(MeanFeatures::default),
            forgetting: config.extra_features.contains(&Feature::Forgetting).then(Forgetting::default),
        }
    }

    fn look(&mut self, model: &Model, target: &TorchTarget) -> Result<(), TargetError> {
        if self.mean.is_none() && self.forgetting.is_none() {
            return Ok(());
        }
        let mut request = match &self.mean {
            Some(_) => FeatureRequest::from(&target.config),
            None => FeatureRequest::default(),
        };
        let shown = request.extra.contains(&Feature::Margin);
        if self.forgetting.is_some() && !shown {
            request.extra.push(Feature::Margin);
        }
        let mut features = features_of(model, &target.train, target.classes, &request, &mut |_done| Ok(()))?;
        if let Some(forgetting) = &mut self.forgetting {
            forgetting.add(features.column(Feature::Margin));
        }
        if !shown {
            features.remove(Feature::Margin);
        }
        if let Some(mean) = &mut self.mean {
            mean.add(&features);
        }
        Ok(())
    }
}

/// Features averaged over epochs.
#[derive(Debug, Default)]
struct MeanFeatures {
    sum: FeatureColumns,
    epochs: u32,
    /// The mean when it was last kept.
    kept: FeatureColumns,
}

impl MeanFeatures {
    fn add(&mut self, features: &FeatureColumns) {
        self.epochs += 1;
        self.sum.add(features);
    }

    fn keep(&mut self) {
        self.kept = self.sum.scaled(1.0 / f64::from(self.epochs));
    }
}

/// Batches until asked to stop.
pub(super) struct Interruptible<'a> {
    pub(super) batches: ShuffledEpochs,
    pub(super) stop: &'a Stop,
}

impl BatchSource for Interruptible<'_> {
    fn next_batch(&mut self, indices: &mut Vec<u32>) -> Result<(), TargetError> {
        if self.stop.is_set() { Err(TargetError::Interrupted) } else { self.batches.next_batch(indices) }
    }
}

/// Computes the features at a checkpoint.
fn extract(target: &TorchTarget, progress: &mut Progress<'_>) -> Result<FeatureColumns, TargetError> {
    let TorchTarget { config, train, .. } = target;
    let model = target.model_at(config.features_from)?;
    let total = DeviceImages::len(train);
    let mut told = |done| tell(progress, PrepareProgress::Features { done, total });
    features_of(&model, train, target.classes, &config.into(), &mut told)
}

/// Writes the features and records that they are there.
fn keep(
    target: &TorchTarget,
    manifest: Manifest,
    features: &FeatureColumns,
    progress: &mut Progress<'_>,
) -> Result<Prepared, TargetError> {
    let TorchTarget { config, work_dir, .. } = target;
    if !features.gradient_norm_with_hidden {
        tell(progress, PrepareProgress::GradientNormOfLogits)?;
    }
    // While the file is replaced, no manifest may speak of it.
    let manifest = manifest.without_features();
    manifest.write(work_dir)?;
    let beside = target.train.crops().map(crops::columns).unwrap_or_default();
    write_features(&work_dir.join(FEATURES_FILE), features, &beside)?;
    let manifest = manifest.with_features_of(config);
    manifest.write(work_dir)?;
    Ok(prepared(manifest, config, work_dir, false))
}

pub(super) fn tell(progress: &mut Progress<'_>, event: PrepareProgress) -> Result<(), TargetError> {
    match progress(&event) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(()) => Err(TargetError::Interrupted),
    }
}
