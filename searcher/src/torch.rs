//! Networks through libtorch: the start network with its features, and the target that trials train.
//!
//! Only this module and its children know libtorch. A process trains on one intra-op thread: trials run side by side,
//! and threads of several libtorch processes spin against each other.

mod augmentation;
mod classification;
mod cuda;
mod descent;
mod evaluation;
mod features;
mod images;
pub mod language;
mod layers;
mod logits;
mod losses;
mod manifest;
mod module;
mod networks;
mod optimizer;
mod prepare;
mod training;
mod weights;

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use tch::Device;

use crate::data::{Split, pairs};
use crate::randomness::seed_for;
use crate::target::{
    BatchSource, Checkpoint, EpochReport, Evaluation, Loss, Measures, Network, OtherClasses, Places, PrepareConfig,
    Recipe, Start, Target, TargetError, TrainingOutcome, TrainingRun,
};

use evaluation::Scoring;
pub use features::{FeatureColumns, FeatureRequest, features_of, write_features};
pub use images::DeviceImages;
pub use logits::write_logits;
use losses::Surroundings;
pub use networks::{Activations, Model};
pub use prepare::prepare;

/// Threads that libtorch uses within one operation on the CPU.
const INTRA_OP_THREADS: i32 = 1;

/// Returns the file in the work folder that holds the start network as it was at a checkpoint; a mean ends
/// with the best one.
const fn checkpoint_file(network: &Network, checkpoint: Checkpoint) -> &'static str {
    match (network, checkpoint) {
        (Network::BuiltIn(_), Checkpoint::Last) => "start.safetensors",
        (Network::BuiltIn(_), Checkpoint::Best | Checkpoint::Mean) => "best.safetensors",
        (Network::Module(_), Checkpoint::Last) => "start.pt",
        (Network::Module(_), Checkpoint::Best | Checkpoint::Mean) => "best.pt",
    }
}

/// One row of features a training example.
const FEATURES_FILE: &str = "features.parquet";

impl From<tch::TchError> for TargetError {
    fn from(error: tch::TchError) -> Self {
        Self::Torch { reason: error.to_string() }
    }
}

/// Sets libtorch up for this process and returns the device to compute on: the first GPU, or else the CPU.
///
/// May be called any number of times.
pub fn device() -> Device {
    tch::set_num_threads(INTRA_OP_THREADS);
    cuda::device()
}

/// Opens the target that `config` describes: reads its data, and takes its checkpoints from `work_dir` as
/// [`prepare`] left them there.
///
/// # Errors
///
/// Errors of the data; [`TargetError::File`] if `work_dir` was prepared for something else. A missing checkpoint is
/// only an error of a run that starts from it.
pub fn open_target(config: &PrepareConfig, work_dir: &Path) -> Result<Box<dyn Target>, TargetError> {
    open_target_at(config, work_dir, &Places::default())
}

/// As [`open_target`], with data and module where `places` says.
///
/// # Errors
///
/// As [`open_target`]; [`TargetError::OtherData`] or [`TargetError::OtherFile`] if the content is not the same.
pub fn open_target_at(
    config: &PrepareConfig,
    work_dir: &Path,
    places: &Places,
) -> Result<Box<dyn Target>, TargetError> {
    let fingerprint = manifest::check_prepared_for(config, work_dir)?;
    let target = TorchTarget::new(&places.apply(config)?, work_dir)?;
    match fingerprint.filter(|expected| *expected != target.fingerprint) {
        Some(expected) => {
            let path = target.config.data.path.clone();
            Err(TargetError::OtherData { path, expected, found: target.fingerprint })
        }
        None => Ok(Box::new(target)),
    }
}

/// Seeds what layers draw while they train, such as the units that dropout leaves out.
fn seed_dropout(seed: u64) {
    tch::manual_seed(seed_for(seed, 0, "dropout").cast_signed());
}

/// A network with its data on one device.
struct TorchTarget {
    config: PrepareConfig,
    work_dir: PathBuf,
    device: Device,
    classes: usize,
    fingerprint: String,
    train: DeviceImages,
    /// Which labels of `train` are wrong, for the losses that may know.
    wrong_labels: Vec<bool>,
    validation: DeviceImages,
    test: DeviceImages,
    /// What is scored on the validation and on the test set.
    scoring: (Scoring, Scoring),
}

impl TorchTarget {
    fn new(config: &PrepareConfig, work_dir: &Path) -> Result<Self, TargetError> {
        let device = device();
        let split = config.data.load()?;
        let (classes, fingerprint) = (split.classes(), split.fingerprint());
        // Each set leaves this process's own memory before the next one is copied to the device.
        let wrong_labels = split.wrong_labels();
        let Split { train, validation, test, crops, .. } = split;
        let on_device = match crops {
            None => DeviceImages::new(&train, config.input, device),
            Some(crops) => DeviceImages::of_crops(&train, crops, config.input, device),
        };
        drop(train);
        let train = on_device;
        let on_device = DeviceImages::like(&validation, &train);
        drop(validation);
        let validation = on_device;
        let evaluation = &config.evaluation;
        let pairs = match evaluation {
            Evaluation::Verification { test_pairs: Some(file), .. } => {
                Some(pairs::read(file, &config.data.path, config.data.image_size)?)
            }
            _ => None,
        };
        let (test, test_scoring) = match pairs {
            Some(pairs) => (DeviceImages::like(&pairs.images, &train), Scoring::of_pairs(&pairs.same)),
            None => {
                let test = DeviceImages::like(&test, &train);
                let scoring = Scoring::new(evaluation, &test, seed_for(config.seed, 0, "test scoring"))?;
                (test, scoring)
            }
        };
        let scoring =
            (Scoring::new(evaluation, &validation, seed_for(config.seed, 0, "validation scoring"))?, test_scoring);
        let (config, work_dir) = (config.clone(), work_dir.to_owned());
        Ok(Self { config, work_dir, device, classes, fingerprint, train, wrong_labels, validation, test, scoring })
    }

    /// The network from scratch: initial weights of `seed`, with those of the weights' file in their place, or the weights of
    /// the user's module. Also returns which classes the file's last layer tells apart, where it is not taken.
    fn fresh_model(&self, seed: u64) -> Result<(Model, Option<OtherClasses>), TargetError> {
        let (shape, classes, device) = (self.train.shape(), self.classes, self.device);
        let model = match &self.config.target {
            Network::BuiltIn(architecture) => Model::new(*architecture, shape, classes, seed, device),
            Network::Module(module) => Model::of_module(module, shape, classes, device)?,
        };
        let mut model = model.with_head(self.config.head)?;
        model.set_channels_last(self.channels_last());
        let Some(weights) = &self.config.weights else { return Ok((model, None)) };
        weights.check_file()?;
        let other_classes = model.load_weights(&weights.path)?;
        Ok((model, other_classes))
    }

    fn channels_last(&self) -> bool {
        self.config.channels_last.unwrap_or_else(|| self.device.is_cuda())
    }

    /// What a training of this target is, of `seed`, apart from its data.
    fn plan(&self, epochs: u32, batch_size: u32, seed: u64, recipe: Recipe) -> training::Plan {
        training::Plan { epochs, batch_size, seed, recipe, augmentation: self.config.augmentation }
    }

    /// The network's score on the validation set.
    fn validate(&self, model: &Model) -> Result<f64, TargetError> {
        self.scoring.0.score(model, &self.validation)
    }

    /// The network's features of the training set.
    fn features(&self, model: &Model) -> Result<FeatureColumns, TargetError> {
        features_of(model, &self.train, self.classes, &FeatureRequest::from(&self.config), &mut |_done| Ok(()))
    }

    /// What a run's loss may look at.
    fn surroundings(&self, run: &TrainingRun, recipe: &Recipe) -> Surroundings<'_> {
        let Self { train, wrong_labels, validation, .. } = self;
        let &Recipe { label_smoothing, mixing, .. } = recipe;
        let (batch_size, seed) = (run.batch_size, run.seed);
        Surroundings { train, wrong_labels, validation, batch_size, seed, label_smoothing, mixing }
    }

    /// The network as the preparation left it at a checkpoint.
    fn model_at(&self, checkpoint: Checkpoint) -> Result<Model, TargetError> {
        let (shape, classes, device) = (self.train.shape(), self.classes, self.device);
        let mut model = match &self.config.target {
            Network::BuiltIn(architecture) => Model::blank(*architecture, shape, classes, device),
            Network::Module(module) => Model::of_module(module, shape, classes, device)?,
        }
        .with_head(self.config.head)?;
        model.set_channels_last(self.channels_last());
        model.load(&self.work_dir.join(checkpoint_file(&self.config.target, checkpoint)))?;
        Ok(model)
    }
}

impl Target for TorchTarget {
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
        let mut model = match run.start {
            Start::Scratch => {
                let (model, other_classes) = self.fresh_model(run.seed)?;
                if let Some(OtherClasses { in_file, in_data }) = other_classes {
                    tracing::warn!(in_file, in_data, "the weights tell other classes apart: the last layer is new");
                }
                model
            }
            Start::Last => self.model_at(Checkpoint::Last)?,
            Start::Best => self.model_at(Checkpoint::Best)?,
        };
        if run.loss.needs_classes_of_training() && self.config.data.held_out_classes.is_some() {
            let (value, expected) =
                (run.loss.name().to_owned(), "it needs a validation set of the classes that are trained on");
            return Err(TargetError::InvalidRun { field: "loss", value, expected });
        }
        seed_dropout(run.seed);
        let recipe = run.recipe.apply(self.config.target.recipe());
        model.train_in(recipe.precision)?;
        if batches.weights().is_some() && (run.loss != Loss::CrossEntropy || !recipe.mixing.is_none()) {
            let (value, expected) =
                (run.loss.name().to_owned(), "weighted examples need cross-entropy of images that are not mixed");
            return Err(TargetError::InvalidRun { field: "loss", value, expected });
        }
        let mut loss = losses::begin(run.loss, self.surroundings(run, &recipe))?;
        let plan = self.plan(run.epochs, run.batch_size, run.seed, recipe);
        let mut each = |_: &Model, report: &EpochReport| match on_epoch(report) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(TargetError::Interrupted),
        };
        let epochs = training::train(
            &model,
            &self.train,
            training::Views { validate: &|model| self.validate(model), features: &|model| self.features(model) },
            &plan,
            batches,
            loss.as_mut(),
            &mut each,
        )?;
        drop(loss);
        let (test_accuracy, measures) = if evaluate_test {
            (Some(self.scoring.1.score(&model, &self.test)?), self.scoring.1.measures(&model, &self.test)?)
        } else {
            (None, Measures::default())
        };
        Ok(TrainingOutcome { epochs, test_accuracy, measures })
    }
}
