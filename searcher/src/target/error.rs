//! Errors of targets.

use std::path::PathBuf;

use super::Architecture;
use crate::data::DataError;

/// Why a target could not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum TargetError {
    /// The training diverged: the trial says something about the sampler, not about the machine.
    #[error("the training loss is {loss} at step {step} of epoch {epoch}: the run diverged")]
    Infeasible {
        /// The loss, NaN or infinite.
        loss: f64,
        /// Number of the step within the epoch, from 0.
        step: u64,
        /// Number of the epoch, from 1.
        epoch: u32,
    },
    /// The run was told to stop.
    #[error("interrupted")]
    Interrupted,
    /// The batch source has no batch.
    #[error("no batch to train on: {reason}")]
    Batches {
        /// What the source said.
        reason: String,
    },
    /// A batch names an example that the training set lacks.
    #[error("a batch names example {index}, the training set has {examples}: was the dataset made from other data?")]
    IndexOutOfRange {
        /// The index.
        index: u32,
        /// How many examples there are.
        examples: usize,
    },
    /// A run's settings cannot be trained with.
    #[error("{field} is {value}: {expected}")]
    InvalidRun {
        /// The field.
        field: &'static str,
        /// Its value.
        value: String,
        /// What would be right.
        expected: &'static str,
    },
    /// No architecture has this name.
    #[error(
        "no target is named {name:?}: the targets are {}, or the file of a TorchScript module (model.pt)",
        Architecture::names()
    )]
    UnknownTarget {
        /// The name.
        name: String,
    },
    /// No loss has this name.
    #[error(
        "no loss is named {name:?}: the losses are {}",
        super::Loss::ALL.map(super::Loss::name).join(", ")
    )]
    UnknownLoss {
        /// The name.
        name: String,
    },
    /// A loss or a feature needs what the network does not tell.
    #[error(
        "loss, density, episodes and verification need the input of the last linear layer, which the module does not tell: let its forward return (logits, h)"
    )]
    NoLastLayer,
    /// The file is not a TorchScript module that can be trained on the data.
    #[error("{}: {reason}", path.display())]
    Module {
        /// The file.
        path: PathBuf,
        /// What is wrong, and what would be right.
        reason: String,
    },
    /// The file's weights are not those of the network.
    #[error("{}: {reason}", path.display())]
    Weights {
        /// The file.
        path: PathBuf,
        /// What is wrong, and what would be right.
        reason: String,
    },
    /// The module's file is not the one that the study was made with.
    #[error("{}: the study was made with another file (SHA-256 {expected}, this one has {found})", path.display())]
    OtherFile {
        /// The file.
        path: PathBuf,
        /// The study's hash.
        expected: String,
        /// The file's hash.
        found: String,
    },
    /// The data is not what the start network was prepared with.
    #[error("{}: the start network was prepared with other data (fingerprint {expected}, of this {found})", path.display())]
    OtherData {
        /// Where the data is.
        path: PathBuf,
        /// Fingerprint of the data of the preparation.
        expected: String,
        /// Fingerprint of the data found.
        found: String,
    },
    /// No checkpoint has this name.
    #[error("no checkpoint is named {name:?}: best, last or mean")]
    UnknownCheckpoint {
        /// The name.
        name: String,
    },
    /// The renormed entropy (eq. 11) of two classes is 0 for every example.
    #[error("the renormed entropy needs at least 3 classes, the data has {classes}: it would be 0 for every example")]
    TooFewClasses {
        /// How many classes the data has.
        classes: usize,
    },
    /// The data is missing or wrong.
    #[error(transparent)]
    Data(#[from] DataError),
    /// A file of the work folder cannot be read or written.
    #[error("{path}: {reason}")]
    File {
        /// The file.
        path: PathBuf,
        /// What went wrong.
        reason: String,
    },
    /// libtorch failed.
    #[error("libtorch: {reason}")]
    Torch {
        /// What it said.
        reason: String,
    },
}
