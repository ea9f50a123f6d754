//! Options that decide what is trained and where its features come from.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use crate::data::DataConfig;
use crate::error::SearcherError;
use crate::preparation::TargetConfig;
use crate::simulated::SimulatedConfig;
use crate::target::{Architecture, Checkpoint, PrepareConfig, RecipeOverrides};

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum FeaturesFrom {
    /// The checkpoint that is best on validation, before wrong labels are memorised
    Best,
    /// The last checkpoint
    Last,
    /// The mean over all epochs up to the best on validation
    Mean,
}

/// Options that decide the start network and the features.
#[derive(Debug, Args)]
pub struct PrepareOptions {
    /// What to train: mlp, cnn, resnet18 (these need libtorch), or simulated (a closed formula, for trying things out)
    #[arg(long, required = true)]
    target: Option<String>,
    /// Folder with the training data: the four IDX files of MNIST or Fashion-MNIST
    #[arg(long)]
    data: Option<PathBuf>,
    /// Training examples [default: 20000]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    train_examples: Option<u32>,
    /// Validation examples, held out from the training files [default: 5000]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    validation_examples: Option<u32>,
    /// Share of each class's training labels to change to another class
    #[arg(long, default_value_t = 0.0, allow_negative_numbers = true)]
    label_noise: f64,
    /// Seeds data split, label noise, start network and search
    #[arg(long, default_value_t = 0)]
    pub(super) seed: u64,
    /// Epochs of the start network
    #[arg(long, default_value_t = PrepareConfig::EPOCHS, value_parser = clap::value_parser!(u32).range(1..))]
    pub(super) start_epochs: u32,
    /// Where the features come from
    #[arg(long, value_enum, default_value_t = FeaturesFrom::Best)]
    features_from: FeaturesFrom,
    /// Examples a batch
    #[arg(long, default_value_t = PrepareConfig::BATCH_SIZE, value_parser = clap::value_parser!(u32).range(1..))]
    pub(super) batch_size: u32,
    /// Learning rate [default: the target's]
    #[arg(long)]
    learning_rate: Option<f64>,
    /// Folder for start network, features, logs, report and pictures [default: searcher-work/STUDY]
    #[arg(long)]
    work_dir: Option<PathBuf>,
}

impl PrepareOptions {
    /// Returns the target these options describe.
    ///
    /// # Errors
    /// [`SearcherError::Config`] naming the option that is wrong.
    pub fn target(&self) -> Result<TargetConfig, SearcherError> {
        let name = self.target.as_deref().unwrap_or_default();
        if !(0.0..=1.0).contains(&self.label_noise) {
            return Err(SearcherError::Config(format!("--label-noise is {}: a share from 0 to 1", self.label_noise)));
        }
        if name == "simulated" {
            return Ok(TargetConfig::Simulated(SimulatedConfig {
                examples: self.train_examples.unwrap_or(SimulatedConfig::EXAMPLES),
                label_noise: self.label_noise,
                seed: self.seed,
            }));
        }
        let architecture: Architecture = name.parse().map_err(|_unknown| {
            SearcherError::Config(format!("no target is named {name:?}: mlp, cnn, resnet18 or simulated"))
        })?;
        if cfg!(not(feature = "torch")) {
            return Err(SearcherError::WithoutTorch { target: architecture.name() });
        }
        let Some(path) = &self.data else {
            return Err(SearcherError::Config(format!(
                "target {name:?} needs --data, the folder with the IDX files (scripts/setup-data prints that of Fashion-MNIST)"
            )));
        };
        let defaults = DataConfig::new(path);
        let data = DataConfig {
            train_examples: self.train_examples.map_or(defaults.train_examples, |count| count as usize),
            validation_examples: self.validation_examples.map_or(defaults.validation_examples, |count| count as usize),
            label_noise: self.label_noise,
            seed: self.seed,
            ..defaults
        };
        Ok(TargetConfig::Network(PrepareConfig {
            epochs: self.start_epochs,
            batch_size: self.batch_size,
            seed: self.seed,
            recipe: self.recipe(),
            features_from: match self.features_from {
                FeaturesFrom::Best => Checkpoint::Best,
                FeaturesFrom::Last => Checkpoint::Last,
                FeaturesFrom::Mean => Checkpoint::Mean,
            },
            ..PrepareConfig::new(architecture, data)
        }))
    }

    /// Returns the work folder.
    #[must_use]
    pub fn work_dir(&self, study: &str) -> PathBuf {
        self.work_dir.clone().unwrap_or_else(|| PathBuf::from("searcher-work").join(study))
    }

    /// Returns the name a study of these options has by default.
    ///
    /// # Errors
    /// As [`Self::target`].
    pub fn default_study(&self) -> Result<String, SearcherError> {
        Ok(format!("{}-{}", self.target()?.name(), self.seed))
    }

    pub(super) fn recipe(&self) -> RecipeOverrides {
        RecipeOverrides { learning_rate: self.learning_rate, ..RecipeOverrides::default() }
    }
}
