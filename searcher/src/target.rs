//! The seam between the search and the networks it trains: what a trial asks of a target, free of libtorch.

mod architecture;
mod augmentation;
mod error;
mod evaluation;
mod feature;
mod hashed_file;
mod loss;
mod measures;
mod metric;
mod mixing;
mod network;
mod paper_recipe;
mod places;
mod recipe;
mod shuffled;

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::data::DataConfig;

pub use architecture::Architecture;
pub use augmentation::Augmentation;
pub use error::TargetError;
pub use evaluation::{Evaluation, Head};
pub use feature::{Feature, GradientNorm};
pub use hashed_file::HashedFile;
pub use loss::Loss;
pub use measures::{LIKELIEST, Measures};
pub use metric::Metric;
pub use mixing::Mixing;
pub use network::{InputScale, Network};
pub use paper_recipe::PaperRecipe;
pub use places::Places;
pub use recipe::{Optimizer, Precision, Recipe, RecipeOverrides, Schedule};
pub use shuffled::ShuffledEpochs;
#[cfg(feature = "torch")]
pub(crate) use shuffled::shuffle_by;
pub(crate) use shuffled::{below, shuffle};

/// Where a training run's batches come from: positions in the training set.
pub trait BatchSource {
    /// Replaces `indices` by the examples of the next batch.
    ///
    /// # Errors
    ///
    /// [`TargetError::Batches`] when no batch can be had, [`TargetError::Interrupted`] when the source was told to stop.
    fn next_batch(&mut self, indices: &mut Vec<u32>) -> Result<(), TargetError>;

    /// Returns what the losses of the last batch's examples are to be multiplied by, one weight an example; `None` from a source
    /// whose examples all weigh 1. Before the first batch there is none to return, and it is empty.
    fn weights(&self) -> Option<&[f32]> {
        None
    }

    /// Tells whether this source is to be given the features of all examples, by the weights as they then are, before an epoch,
    /// counted from 1.
    fn wants_features(&self, _epoch: u32) -> bool {
        false
    }

    /// Takes features: columns by name, one value an example. Called where [`Self::wants_features`], before the epoch's first batch.
    ///
    /// # Errors
    ///
    /// [`TargetError::Batches`] when they cannot be drawn by.
    fn take_features(&mut self, _columns: Vec<(String, Vec<f64>)>) -> Result<(), TargetError> {
        Err(TargetError::Batches { reason: "this source draws by no features".to_owned() })
    }
}

/// The weights (and batch-norm buffers) a training run starts from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Start {
    /// Freshly initialised from the run's seed, or from [`PrepareConfig::weights`]; a TorchScript module has the weights of its
    /// file.
    Scratch,
    /// The start network after its last epoch. A fine-tuning from here shows what a sampler makes it forget.
    Last,
    /// The start network at its best validation accuracy.
    Best,
}

/// One training run of a target.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrainingRun {
    /// Passes over the training set, each of ceil(examples / batch size) batches.
    pub epochs: u32,
    /// Examples a batch, which must agree with what the batch source gives.
    pub batch_size: u32,
    /// Seed of the initial weights, of what layers draw (dropout, stochastic depth) and of how images are augmented.
    pub seed: u64,
    /// The weights to start from.
    pub start: Start,
    /// Overrides of the target's recipe.
    pub recipe: RecipeOverrides,
    /// What it descends on.
    #[serde(default)]
    pub loss: Loss,
}

/// What one epoch came to.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct EpochReport {
    /// Number of the epoch, from 1.
    pub epoch: u32,
    /// Mean cross-entropy of the batches, in nats, as the weights moved; NaN, null in JSON, where it is not known.
    #[serde(default = "unknown", deserialize_with = "null_is_nan")]
    pub training_loss: f64,
    /// Share of the validation set that is classified correctly after the epoch; of language models 1 / perplexity, see [`Metric`].
    pub validation_accuracy: f64,
    /// Wall-clock time of the epoch with its validation.
    #[serde(default)]
    pub seconds: f64,
}

const fn unknown() -> f64 {
    f64::NAN
}

/// JSON has no NaN; a user's own script may know no training loss.
fn null_is_nan<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    Ok(Option::<f64>::deserialize(deserializer)?.unwrap_or(f64::NAN))
}

/// What a training run came to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrainingOutcome {
    /// One report an epoch. A trial's objective is the validation accuracy of the last.
    pub epochs: Vec<EpochReport>,
    /// Share of the test set that is classified correctly at the end, where it was asked for; of language models 1 / perplexity.
    pub test_accuracy: Option<f64>,
    /// Other measures of the test set.
    #[serde(flatten)]
    pub measures: Measures,
}

/// A network with its data: what a trial trains.
pub trait Target {
    /// Returns the number of training examples, which is the number of rows of the dataset at the daemon.
    fn training_examples(&self) -> usize;

    /// Trains on `batches` and calls `on_epoch` after each epoch; `Break` ends the run as [`TargetError::Interrupted`].
    ///
    /// Weights, batch-norm buffers and momentum are those of the start in every call, whatever ran before. The test
    /// set is looked at only if `evaluate_test`, once, after the last epoch.
    ///
    /// # Errors
    ///
    /// [`TargetError::Infeasible`] if the loss stops being finite; [`TargetError::Interrupted`]; errors of the batches
    /// or of libtorch.
    fn train(
        &mut self,
        run: &TrainingRun,
        batches: &mut dyn BatchSource,
        evaluate_test: bool,
        on_epoch: &mut dyn FnMut(&EpochReport) -> ControlFlow<()>,
    ) -> Result<TrainingOutcome, TargetError>;
}

/// Which checkpoint of the start network the features come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Checkpoint {
    /// The epoch of the best validation accuracy: before wrong labels are memorised, its losses tell them apart best.
    #[default]
    Best,
    /// The last epoch.
    Last,
    /// The mean over all epochs up to the one of the best validation accuracy: how an example fares over several epochs
    /// says more of its label than how it fares at one.
    Mean,
}

impl FromStr for Checkpoint {
    type Err = TargetError;

    fn from_str(name: &str) -> Result<Self, TargetError> {
        match name {
            "best" => Ok(Self::Best),
            "last" => Ok(Self::Last),
            "mean" => Ok(Self::Mean),
            _ => Err(TargetError::UnknownCheckpoint { name: name.to_owned() }),
        }
    }
}

/// What `searcher features` needs: which network is trained uniformly, on what, and which checkpoint gives features.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PrepareConfig {
    /// The network.
    pub target: Network,
    /// The data and how it is split.
    pub data: DataConfig,
    /// Epochs of the start network.
    pub epochs: u32,
    /// Examples a batch.
    pub batch_size: u32,
    /// Seed of the start network's weights and of its batches.
    pub seed: u64,
    /// Overrides of the target's recipe for the start network.
    pub recipe: RecipeOverrides,
    /// The checkpoint that the features come from.
    pub features_from: Checkpoint,
    /// How the data's values become the network's input.
    #[serde(default, skip_serializing_if = "InputScale::is_default")]
    pub input: InputScale,
    /// Features beside [`Feature::ALWAYS`], each once and in their order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub extra_features: Vec<Feature>,
    /// Whose gradient `grad_norm` is the norm of.
    #[serde(default, skip_serializing_if = "GradientNorm::is_default")]
    pub gradient_norm: GradientNorm,
    /// Weights that a training from scratch starts from, in place of random ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weights: Option<HashedFile>,
    /// How training images are changed at random.
    #[serde(default, skip_serializing_if = "Augmentation::is_none")]
    pub augmentation: Augmentation,
    /// Whether images lie in memory pixel by pixel, rather than channel by channel; absent: on a GPU.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channels_last: Option<bool>,
    /// How networks are scored.
    #[serde(default, skip_serializing_if = "Evaluation::is_default")]
    pub evaluation: Evaluation,
    /// What follows the last hidden layer.
    #[serde(default, skip_serializing_if = "Head::is_default")]
    pub head: Head,
}

impl PrepareConfig {
    /// Epochs of the start network unless told otherwise.
    pub const EPOCHS: u32 = 20;
    /// Examples a batch unless told otherwise.
    pub const BATCH_SIZE: u32 = 128;

    /// Returns the default preparation of `target` on `data`.
    #[must_use]
    pub fn new(target: impl Into<Network>, data: DataConfig) -> Self {
        Self {
            target: target.into(),
            data,
            epochs: Self::EPOCHS,
            batch_size: Self::BATCH_SIZE,
            seed: 0,
            recipe: RecipeOverrides::default(),
            features_from: Checkpoint::default(),
            input: InputScale::default(),
            extra_features: Vec::new(),
            gradient_norm: GradientNorm::default(),
            weights: None,
            augmentation: Augmentation::default(),
            channels_last: None,
            evaluation: Evaluation::default(),
            head: Head::default(),
        }
    }
}

/// Weights from a file told other classes apart than the data has, so that the last linear layer is new.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OtherClasses {
    /// Classes of the file.
    pub in_file: i64,
    /// Classes of the data.
    pub in_data: i64,
}

/// What a preparation left behind.
#[derive(Debug, Clone, PartialEq)]
pub struct Prepared {
    /// The start network after its last epoch.
    pub start: PathBuf,
    /// The start network at its best validation accuracy.
    pub best: PathBuf,
    /// One row a training example: `loss`, `entropy` and `grad_norm`.
    pub features: PathBuf,
    /// The epochs of the start network.
    pub epochs: Vec<EpochReport>,
    /// The epoch of `best`, from 1.
    pub best_epoch: u32,
    /// Whether all of it was there already.
    pub reused: bool,
}

/// What a preparation is doing.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum PrepareProgress {
    /// An epoch of the start network ended, of `epochs`.
    Epoch {
        /// What it came to.
        report: EpochReport,
        /// How many there will be.
        epochs: u32,
    },
    /// The input of the last linear layer is not to be had, so that `grad_norm` is taken from the logits alone.
    GradientNormOfLogits,
    /// The weights given tell other classes apart than the data has: the last linear layer is new.
    NewClassifier(OtherClasses),
    /// Features of `done` of `total` examples are computed.
    Features {
        /// Examples done.
        done: usize,
        /// Examples in all.
        total: usize,
    },
}
