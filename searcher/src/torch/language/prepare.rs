//! The preparation of a language study: trains the start network uniformly, keeps two checkpoints, extracts the features.

use std::fs;
use std::ops::ControlFlow;
use std::path::Path;

use super::features::{SequenceFeatures, features_of};
use super::training::{self, Plan};
use super::{LanguageTarget, seed_dropout};
use crate::language::LanguageConfig;
use crate::stop::Stop;
use crate::target::{Checkpoint, EpochReport, PrepareProgress, Prepared, ShuffledEpochs, TargetError};
use crate::torch::FEATURES_FILE;
use crate::torch::manifest::{self, Manifest, Prepares};
use crate::torch::prepare::{Interruptible, Progress, tell};

/// Trains the start network on shuffled epochs and writes its checkpoints and features into `work_dir`, as
/// [`crate::torch::prepare`] does for images.
///
/// # Errors
///
/// Errors of the text, of the training, or of the files of `work_dir`.
pub fn prepare(
    config: &LanguageConfig,
    work_dir: &Path,
    stop: &Stop,
    progress: &mut dyn FnMut(&PrepareProgress) -> ControlFlow<()>,
) -> Result<Prepared, TargetError> {
    fs::create_dir_all(work_dir)
        .map_err(|source| TargetError::File { path: work_dir.to_owned(), reason: source.to_string() })?;
    let manifest = Manifest::matching(config, work_dir)?;
    if let Some(manifest) = manifest {
        if manifest.has_features_of(config, work_dir) {
            return Ok(prepared(manifest, config, work_dir, true));
        }
        // A mean over epochs is not in the checkpoints: for it the network is trained again.
        if config.features_from != Checkpoint::Mean {
            let target = LanguageTarget::new(config, work_dir)?;
            let features = extract(&target, progress)?;
            return keep(&target, manifest, &features);
        }
    }
    let target = LanguageTarget::new(config, work_dir)?;
    manifest::remove(work_dir)?;
    let (manifest, mean) = train_start_network(&target, stop, progress)?;
    let features = match mean {
        Some(mean) => mean,
        None => extract(&target, progress)?,
    };
    keep(&target, manifest, &features)
}

fn prepared(manifest: Manifest<LanguageConfig>, config: &LanguageConfig, work_dir: &Path, reused: bool) -> Prepared {
    Prepared {
        start: work_dir.join(config.checkpoint_file(Checkpoint::Last)),
        best: work_dir.join(config.checkpoint_file(Checkpoint::Best)),
        features: work_dir.join(FEATURES_FILE),
        best_epoch: manifest.best_epoch,
        epochs: manifest.epochs,
        reused,
    }
}

fn train_start_network(
    target: &LanguageTarget,
    stop: &Stop,
    progress: &mut Progress<'_>,
) -> Result<(Manifest<LanguageConfig>, Option<SequenceFeatures>), TargetError> {
    let LanguageTarget { config, work_dir, train, validation, .. } = target;
    let examples = u32::try_from(train.len()).map_err(|_too_many| TargetError::InvalidRun {
        field: "train_examples",
        value: train.len().to_string(),
        expected: "fewer than 2^32 are needed",
    })?;
    let model = target.fresh_model(config.seed);
    let recipe = config.recipe.apply(LanguageConfig::recipe());
    let plan = Plan { epochs: config.epochs, batch_size: config.batch_size, recipe };
    seed_dropout(config.seed);
    let batches = ShuffledEpochs::new(examples, config.batch_size, config.seed);
    let mut batches = Interruptible { batches, stop };
    let mut best: Option<EpochReport> = None;
    let (mut sum, mut mean) = (SequenceFeatures::default(), None);
    let epochs = training::train(&model, train, validation, &plan, &mut batches, &mut |model, report| {
        if config.features_from == Checkpoint::Mean {
            sum.add(&features_of(model, train, &mut |_done| Ok(()))?);
        }
        if best.is_none_or(|best| report.validation_accuracy > best.validation_accuracy) {
            model.save(&work_dir.join(config.checkpoint_file(Checkpoint::Best)))?;
            best = Some(*report);
            if config.features_from == Checkpoint::Mean {
                mean = Some(sum.scaled(1.0 / f64::from(report.epoch)));
            }
        }
        tell(progress, PrepareProgress::Epoch { report: *report, epochs: config.epochs })
    })?;
    model.save(&work_dir.join(config.checkpoint_file(Checkpoint::Last)))?;
    let best_epoch = best.map_or(config.epochs, |best| best.epoch);
    let manifest = Manifest::trained(config, &target.fingerprint, epochs, best_epoch);
    manifest.write(work_dir)?;
    Ok((manifest, mean))
}

/// Computes the features at a checkpoint.
fn extract(target: &LanguageTarget, progress: &mut Progress<'_>) -> Result<SequenceFeatures, TargetError> {
    let model = target.model_at(target.config.features_from)?;
    let total = target.train.len();
    features_of(&model, &target.train, &mut |done| tell(progress, PrepareProgress::Features { done, total }))
}

/// Writes the features and records that they are there.
fn keep(
    target: &LanguageTarget,
    manifest: Manifest<LanguageConfig>,
    features: &SequenceFeatures,
) -> Result<Prepared, TargetError> {
    let LanguageTarget { config, work_dir, .. } = target;
    // While the file is replaced, no manifest may speak of it.
    let manifest = manifest.without_features();
    manifest.write(work_dir)?;
    features.write(&work_dir.join(FEATURES_FILE), &target.word_frequencies)?;
    let manifest = manifest.with_features_of(config);
    manifest.write(work_dir)?;
    Ok(prepared(manifest, config, work_dir, false))
}
