//! What a study trains, and what has to be there before its first trial.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::command_target::CommandTarget;
use crate::data::objects::OBJECTS_FILE;
use crate::error::SearcherError;
use crate::language::LanguageConfig;
#[cfg(feature = "torch")]
use crate::language::Sequences;
use crate::simulated::{SimulatedConfig, SimulatedTarget};
use crate::stop::Stop;
use crate::target::{Metric, Places, PrepareConfig, PrepareProgress, Target};

/// What a study trains.
#[allow(clippy::large_enum_variant, reason = "a process has one of them")]
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum TargetConfig {
    /// The closed-form target, [`crate::simulated`].
    Simulated(SimulatedConfig),
    /// A network, through libtorch.
    Network(Box<PrepareConfig>),
    /// A language model, through libtorch.
    Language(Box<LanguageConfig>),
    /// What a user's command trains.
    Command(CommandTarget),
}

/// What a preparation left behind.
#[derive(Debug, Clone, PartialEq)]
pub struct Preparation {
    /// One row a training example.
    pub features: PathBuf,
    /// Epochs the start network was trained for.
    pub start_epochs: u32,
    /// Whether everything was there already.
    pub reused: bool,
}

impl TargetConfig {
    /// Returns the target's name on the command line.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Simulated(_) => "simulated",
            Self::Network(config) => config.target.name(),
            Self::Language(_) => LanguageConfig::NAME,
            Self::Command(_) => "command",
        }
    }

    /// Returns what the objective measures.
    #[must_use]
    pub const fn metric(&self) -> Metric {
        match self {
            Self::Simulated(_) | Self::Network(_) | Self::Command(_) => Metric::Accuracy,
            Self::Language(_) => Metric::Perplexity,
        }
    }

    /// Returns the features that a sampler sees unless told otherwise.
    #[must_use]
    pub const fn default_features(&self) -> [&'static str; 2] {
        match self {
            Self::Simulated(_) | Self::Network(_) | Self::Command(_) => ["loss", "entropy"],
            Self::Language(_) => ["word_frequency", "loss"],
        }
    }

    /// Returns where each training example (of a crop, its image) was among those that the data has for training, and how many
    /// these are.
    ///
    /// # Errors
    /// [`SearcherError`] when the data cannot be read.
    pub fn training_rows(&self) -> Result<(Vec<usize>, usize), SearcherError> {
        match self {
            Self::Simulated(config) => Ok(((0..config.examples as usize).collect(), config.examples as usize)),
            Self::Network(config) => {
                let split = config.data.load().map_err(|error| SearcherError::Data(error.to_string()))?;
                Ok((split.of_examples(&split.train_rows), split.source_rows))
            }
            Self::Language(config) => {
                let corpus = config.data.load().map_err(|error| SearcherError::Data(error.to_string()))?;
                Ok(((0..corpus.train.len()).collect(), corpus.source_sequences))
            }
            Self::Command(_) => Err(SearcherError::Config(
                "--columns are for targets whose features are computed; give a command's features as --data".to_owned(),
            )),
        }
    }

    /// Returns what distinguishes good from bad examples, where it is known: which labels are wrong. For reports only.
    ///
    /// # Errors
    /// [`SearcherError`] when the data cannot be read.
    pub fn wrong_labels(&self) -> Result<Option<Vec<bool>>, SearcherError> {
        match self {
            Self::Simulated(config) => Ok((config.label_noise > 0.0).then(|| config.wrong_labels())),
            Self::Network(config) if config.data.label_noise > 0.0 => {
                let split = config.data.load().map_err(|error| SearcherError::Data(error.to_string()))?;
                Ok(Some(split.wrong_labels()))
            }
            Self::Network(_) | Self::Language(_) | Self::Command(_) => Ok(None),
        }
    }

    /// Tells which training examples are crops that miss their object, where that is known: for reports only.
    ///
    /// # Errors
    /// [`SearcherError`] when the data cannot be read.
    pub fn background(&self) -> Result<Option<Vec<bool>>, SearcherError> {
        let Self::Network(config) = self else { return Ok(None) };
        if config.data.crops.is_none() || !config.data.path.join(OBJECTS_FILE).is_file() {
            return Ok(None);
        }
        let background = config.data.load().and_then(|split| split.background(&config.data.path));
        background.map_err(|error| SearcherError::Data(error.to_string()))
    }
}

/// Trains the start network and extracts features, or finds both in the work folder; `stop`, or `Break` of `progress`,
/// ends it.
///
/// # Errors
/// [`SearcherError`] when data is missing, training fails, or the binary lacks libtorch.
pub fn prepare(
    config: &TargetConfig,
    work_dir: &Path,
    stop: &Stop,
    progress: &mut dyn FnMut(&PrepareProgress) -> ControlFlow<()>,
) -> Result<Preparation, SearcherError> {
    match config {
        TargetConfig::Simulated(config) => {
            let features = config.write_features(work_dir).map_err(|error| SearcherError::Data(error.to_string()))?;
            Ok(Preparation { features, start_epochs: 0, reused: false })
        }
        TargetConfig::Network(config) => prepare_network(config, work_dir, stop, progress),
        TargetConfig::Language(config) => prepare_language(config, work_dir, stop, progress),
        TargetConfig::Command(target) => {
            Ok(Preparation { features: target.write_features(work_dir)?, start_epochs: 0, reused: false })
        }
    }
}

/// Opens the target for training, in the process that trains, with what `places` says in place of the study's paths.
///
/// # Errors
/// [`SearcherError`] when the work folder lacks the start network, or the binary libtorch.
pub fn open_target(config: &TargetConfig, work_dir: &Path, places: &Places) -> Result<Box<dyn Target>, SearcherError> {
    match config {
        TargetConfig::Simulated(config) => Ok(Box::new(SimulatedTarget::new(config))),
        TargetConfig::Network(config) => open_network(config, work_dir, places),
        TargetConfig::Language(config) => open_language(config, work_dir, places),
        TargetConfig::Command(_) => Err(SearcherError::Config(
            "the study's trials are run by a command, which has no network to open here".to_owned(),
        )),
    }
}

#[cfg(feature = "torch")]
fn prepare_network(
    config: &PrepareConfig,
    work_dir: &Path,
    stop: &Stop,
    progress: &mut dyn FnMut(&PrepareProgress) -> ControlFlow<()>,
) -> Result<Preparation, SearcherError> {
    let prepared = crate::torch::prepare(config, work_dir, stop, progress)?;
    if !(prepared.reused && crate::data::is_training_set_in(work_dir)) {
        write_training_set(config, work_dir)?;
    }
    Ok(Preparation { features: prepared.features, start_epochs: config.epochs, reused: prepared.reused })
}

/// Writes the training set, wrong labels included, for other programs.
#[cfg(feature = "torch")]
fn write_training_set(config: &PrepareConfig, work_dir: &Path) -> Result<(), SearcherError> {
    let data = |error: crate::data::DataError| SearcherError::Data(error.to_string());
    let split = config.data.load().map_err(data)?;
    crate::data::write_training_set(work_dir, &split.train).map_err(data)
}

#[cfg(feature = "torch")]
fn open_network(config: &PrepareConfig, work_dir: &Path, places: &Places) -> Result<Box<dyn Target>, SearcherError> {
    Ok(crate::torch::open_target_at(config, work_dir, places)?)
}

#[cfg(not(feature = "torch"))]
fn prepare_network(
    config: &PrepareConfig,
    _: &Path,
    _: &Stop,
    _: &mut dyn FnMut(&PrepareProgress) -> ControlFlow<()>,
) -> Result<Preparation, SearcherError> {
    Err(SearcherError::WithoutTorch { target: config.target.name().to_owned() })
}

#[cfg(not(feature = "torch"))]
fn open_network(config: &PrepareConfig, _: &Path, _: &Places) -> Result<Box<dyn Target>, SearcherError> {
    Err(SearcherError::WithoutTorch { target: config.target.name().to_owned() })
}

#[cfg(feature = "torch")]
fn prepare_language(
    config: &LanguageConfig,
    work_dir: &Path,
    stop: &Stop,
    progress: &mut dyn FnMut(&PrepareProgress) -> ControlFlow<()>,
) -> Result<Preparation, SearcherError> {
    let prepared = crate::torch::language::prepare(config, work_dir, stop, progress)?;
    if !(prepared.reused && Sequences::is_training_set_in(work_dir)) {
        let data = |error: crate::data::DataError| SearcherError::Data(error.to_string());
        config.data.load().map_err(data)?.train.write_training_set(work_dir).map_err(data)?;
    }
    Ok(Preparation { features: prepared.features, start_epochs: config.epochs, reused: prepared.reused })
}

#[cfg(feature = "torch")]
fn open_language(config: &LanguageConfig, work_dir: &Path, places: &Places) -> Result<Box<dyn Target>, SearcherError> {
    Ok(crate::torch::language::open_target(config, work_dir, places)?)
}

#[cfg(not(feature = "torch"))]
fn prepare_language(
    _: &LanguageConfig,
    _: &Path,
    _: &Stop,
    _: &mut dyn FnMut(&PrepareProgress) -> ControlFlow<()>,
) -> Result<Preparation, SearcherError> {
    Err(SearcherError::WithoutTorch { target: LanguageConfig::NAME.to_owned() })
}

#[cfg(not(feature = "torch"))]
fn open_language(_: &LanguageConfig, _: &Path, _: &Places) -> Result<Box<dyn Target>, SearcherError> {
    Err(SearcherError::WithoutTorch { target: LanguageConfig::NAME.to_owned() })
}
