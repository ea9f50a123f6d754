//! Language models through libtorch: the start network with its features, and the target that trials train.

mod features;
mod gpt;
mod prepare;
mod token_batches;
mod training;

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use tch::Device;

use super::manifest::{self, Prepares};
use super::{device, seed_dropout};
use crate::language::{Corpus, LanguageConfig};
use crate::target::{
    BatchSource, Checkpoint, EpochReport, Loss, Measures, Places, Start, Target, TargetError, TrainingOutcome,
    TrainingRun,
};
use token_batches::DeviceSequences;

pub use gpt::Gpt;
pub use prepare::prepare;

impl Prepares for LanguageConfig {
    fn checkpoint_file(&self, checkpoint: Checkpoint) -> &'static str {
        match checkpoint {
            Checkpoint::Last => "start.safetensors",
            Checkpoint::Best | Checkpoint::Mean => "best.safetensors",
        }
    }

    fn features_from(&self) -> Checkpoint {
        self.features_from
    }

    fn with_features_of(&self, other: &Self) -> Self {
        Self { features_from: other.features_from, ..self.clone() }
    }
}

/// Opens the target that `config` describes, with the text where `places` says: reads it, and takes its checkpoints from
/// `work_dir` as [`prepare`] left them there.
///
/// # Errors
///
/// Errors of the text; [`TargetError::File`] if `work_dir` was prepared for something else, [`TargetError::OtherData`] if the text
/// is another.
pub fn open_target(config: &LanguageConfig, work_dir: &Path, places: &Places) -> Result<Box<dyn Target>, TargetError> {
    let fingerprint = manifest::check_prepared_for(config, work_dir)?;
    let target = LanguageTarget::new(&config.at(places)?, work_dir)?;
    match fingerprint.filter(|expected| *expected != target.fingerprint) {
        Some(expected) => {
            let path = target.config.data.path.clone();
            Err(TargetError::OtherData { path, expected, found: target.fingerprint })
        }
        None => Ok(Box::new(target)),
    }
}

/// A language model with its text on one device.
struct LanguageTarget {
    config: LanguageConfig,
    work_dir: PathBuf,
    device: Device,
    vocabulary: usize,
    fingerprint: String,
    /// Mean logarithm of the tokens' frequencies, a training sequence.
    word_frequencies: Vec<f64>,
    train: DeviceSequences,
    validation: DeviceSequences,
    test: DeviceSequences,
}

impl LanguageTarget {
    fn new(config: &LanguageConfig, work_dir: &Path) -> Result<Self, TargetError> {
        config.network.check()?;
        let device = device();
        let corpus = config.data.load()?;
        let (fingerprint, word_frequencies) = (corpus.fingerprint(), corpus.train.mean_log_frequencies());
        let Corpus { train, validation, test, vocabulary, .. } = corpus;
        let [train, validation, test] = [train, validation, test].map(|set| DeviceSequences::new(&set, device));
        let (config, work_dir) = (config.clone(), work_dir.to_owned());
        Ok(Self { config, work_dir, device, vocabulary, fingerprint, word_frequencies, train, validation, test })
    }

    fn fresh_model(&self, seed: u64) -> Gpt {
        Gpt::new(self.config.network, self.vocabulary, self.train.context(), seed, self.device)
    }

    /// The network as the preparation left it at a checkpoint.
    fn model_at(&self, checkpoint: Checkpoint) -> Result<Gpt, TargetError> {
        let mut model = Gpt::blank(self.config.network, self.vocabulary, self.train.context(), self.device);
        model.load(&self.work_dir.join(self.config.checkpoint_file(checkpoint)))?;
        Ok(model)
    }
}

impl Target for LanguageTarget {
    fn training_examples(&self) -> usize {
        self.train.len()
    }

    fn train(
        &mut self,
        run: &TrainingRun,
        batches: &mut dyn BatchSource,
        evaluate_test: bool,
        on_epoch: &mut dyn FnMut(&EpochReport) -> ControlFlow<()>,
    ) -> Result<TrainingOutcome, TargetError> {
        if run.loss != Loss::CrossEntropy {
            let expected = "language models are trained on cross-entropy";
            return Err(TargetError::InvalidRun { field: "loss", value: run.loss.name().to_owned(), expected });
        }
        let model = match run.start {
            Start::Scratch => self.fresh_model(run.seed),
            Start::Last => self.model_at(Checkpoint::Last)?,
            Start::Best => self.model_at(Checkpoint::Best)?,
        };
        seed_dropout(run.seed);
        let recipe = run.recipe.apply(LanguageConfig::recipe());
        let plan = training::Plan { epochs: run.epochs, batch_size: run.batch_size, recipe };
        let mut each = |_: &Gpt, report: &EpochReport| match on_epoch(report) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(TargetError::Interrupted),
        };
        let epochs = training::train(&model, &self.train, &self.validation, &plan, batches, &mut each)?;
        let test_accuracy = evaluate_test.then(|| training::inverse_perplexity(&model, &self.test));
        Ok(TrainingOutcome { epochs, test_accuracy, measures: Measures::default() })
    }
}
