//! Options that decide what is trained and where its features come from.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::data::DataOptions;
use super::evaluation::EvaluationOptions;
use super::language::LanguageOptions;
use super::training::TrainingOptions;
use crate::command_target::CommandTarget;
use crate::data::DataConfig;
use crate::error::SearcherError;
use crate::language::LanguageConfig;
use crate::preparation::TargetConfig;
use crate::simulated::{Fault, SimulatedConfig};
use crate::target::{Architecture, Checkpoint, Feature, GradientNorm, HashedFile, InputScale, Network, PrepareConfig};

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
    /// What to train: mlp, cnn, mobilenet_v2, efficientnet_b0, resnet18, resnet34, resnet50, resnet101, se_resnext50,
    /// se_resnext101, vit_tiny, swin_t, swin_b, gpt (a language model, on text), the file of a TorchScript module such as model.pt (all of these need libtorch), or simulated (a closed
    /// formula, for trying things out)
    ///
    /// Networks suit the size of the images: up to 64 pixels they keep the sides longer.
    ///
    /// A module is made by torch.jit.script(model).save("model.pt"), or by tracing. It takes float images N×C×H×W, or
    /// vectors N×F, and returns logits N×classes or a tuple (logits, h), h being the input of its last linear layer. Its
    /// parameters with requires_grad are trained. What trains "from scratch" (the start network and the retrainings at the
    /// end) starts from the weights in the file, since TorchScript cannot make new ones.
    #[arg(long, required_unless_present = "trial_command", value_name = "NAME|FILE")]
    target: Option<String>,
    /// Run each trial by this shell command, which trains a network of its own on the trial's job
    #[arg(long, value_name = "COMMAND", conflicts_with = "target")]
    trial_command: Option<String>,
    #[command(flatten)]
    data: DataOptions,
    #[command(flatten)]
    language: LanguageOptions,
    /// Share of each class's training labels to change to another class
    #[arg(long, default_value_t = 0.0, allow_negative_numbers = true)]
    label_noise: f64,
    /// Make labels of the validation set wrong as well, as where no clean labels are to be had
    #[arg(long)]
    noisy_validation: bool,
    #[command(flatten)]
    evaluation: EvaluationOptions,
    /// Seeds data split, label noise, start network and search
    #[arg(long, default_value_t = 0)]
    pub(super) seed: u64,
    /// Features that the sampler sees. Computed are loss, entropy, grad_norm, margin, forgetting, class_frequency and density
    /// (README says what they are), of text word_frequency, loss, perplexity and grad_norm; a search takes others from --columns
    /// [default: loss,entropy, of text word_frequency,loss]
    #[arg(long, value_delimiter = ',')]
    features: Vec<String>,
    /// Whose gradient grad_norm is the norm of
    #[arg(long, value_enum, default_value_t = GradientNormName::LastLayer)]
    gradient_norm: GradientNormName,
    /// Where the features come from
    #[arg(long, value_enum, default_value_t = FeaturesFrom::Best)]
    features_from: FeaturesFrom,
    #[command(flatten)]
    pub(super) training: TrainingOptions,
    /// Ways in which a tenth each of the simulated target's trials go wrong, for trying out what a study makes of them
    #[arg(long, hide = true, value_delimiter = ',')]
    faults: Vec<Fault>,
    /// How values of the data become the network's input: less mean, by standard deviation, of each channel over the training
    /// set; or as stored (bytes divided by 255, floats unchanged), for networks that scale their input themselves
    #[arg(long, value_enum, default_value_t = InputScaleName::Standardised)]
    input_scale: InputScaleName,
    /// Folder for start network, features, logs, report and pictures [default: searcher-work/STUDY]
    #[arg(long)]
    work_dir: Option<PathBuf>,
    /// Only read options and data, say what would be trained as one JSON object, and end
    #[arg(long, conflicts_with = "trial_command")]
    pub(super) check: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum GradientNormName {
    /// The last linear layer's, in closed form
    LastLayer,
    /// All trainable parameters', by a backward pass an example
    Full,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum InputScaleName {
    Standardised,
    Stored,
}

impl PrepareOptions {
    /// Returns the target these options describe.
    ///
    /// # Errors
    /// [`SearcherError::Config`] naming the option that is wrong.
    pub fn target(&self) -> Result<TargetConfig, SearcherError> {
        if let Some(command) = &self.trial_command {
            return Ok(TargetConfig::Command(CommandTarget {
                command: command.clone(),
                features: self.data.paths.clone(),
            }));
        }
        let name = self.target.as_deref().unwrap_or_default();
        if !(0.0..=1.0).contains(&self.label_noise) {
            return Err(SearcherError::Config(format!("--label-noise is {}: a share from 0 to 1", self.label_noise)));
        }
        if name == "simulated" {
            if self.data.crops.is_some() {
                let reason = "--crops is of no meaning to --target simulated: it has no images";
                return Err(SearcherError::Config(reason.to_owned()));
            }
            return Ok(TargetConfig::Simulated(SimulatedConfig {
                faults: self.faults.clone(),
                examples: self.data.train_examples.unwrap_or(SimulatedConfig::EXAMPLES),
                label_noise: self.label_noise,
                seed: self.seed,
            }));
        }
        let features_from = match self.features_from {
            FeaturesFrom::Best => Checkpoint::Best,
            FeaturesFrom::Last => Checkpoint::Last,
            FeaturesFrom::Mean => Checkpoint::Mean,
        };
        if name == LanguageConfig::NAME {
            return self.language_model(features_from);
        }
        if let Some(option) = self.language.given() {
            return Err(SearcherError::Config(format!(
                "{option} is for --target {}, not {name}",
                LanguageConfig::NAME
            )));
        }
        let network = self.network(name)?;
        if cfg!(not(feature = "torch")) {
            return Err(SearcherError::WithoutTorch { target: network.name().to_owned() });
        }
        let data = DataConfig {
            noisy_validation: self.noisy_validation,
            held_out_classes: self.evaluation.held_out_classes()?,
            ..self.data.config(name, self.label_noise, self.seed)?
        };
        let config = PrepareConfig {
            seed: self.seed,
            features_from,
            input: match self.input_scale {
                InputScaleName::Standardised => InputScale::Standardised,
                InputScaleName::Stored => InputScale::Stored,
            },
            evaluation: self.evaluation.evaluation()?,
            head: self.evaluation.head(),
            extra_features: self.extra_features(),
            gradient_norm: match self.gradient_norm {
                GradientNormName::LastLayer => GradientNorm::LastLayer,
                GradientNormName::Full => GradientNorm::Full,
            },
            ..PrepareConfig::new(network, data)
        };
        Ok(TargetConfig::Network(Box::new(self.training.apply(config)?)))
    }

    fn language_model(&self, features_from: Checkpoint) -> Result<TargetConfig, SearcherError> {
        let refused = [
            (self.label_noise > 0.0, "--label-noise"),
            (self.noisy_validation, "--noisy-validation"),
            (self.gradient_norm == GradientNormName::Full, "--gradient-norm full"),
            (self.input_scale == InputScaleName::Stored, "--input-scale"),
        ];
        let refused = refused.into_iter().find_map(|(given, option)| given.then_some(option));
        if let Some(option) = refused
            .or_else(|| self.data.given_for_images())
            .or_else(|| self.training.given_for_images())
            .or_else(|| self.evaluation.given_for_images())
        {
            return Err(SearcherError::Config(format!(
                "{option} is of no meaning to --target {}",
                LanguageConfig::NAME
            )));
        }
        if cfg!(not(feature = "torch")) {
            return Err(SearcherError::WithoutTorch { target: LanguageConfig::NAME.to_owned() });
        }
        Ok(TargetConfig::Language(Box::new(LanguageConfig {
            network: self.language.network()?,
            data: self.language.text(&self.data)?,
            epochs: self.training.start_epochs(),
            batch_size: self.training.batch_size(),
            seed: self.seed,
            recipe: self.training.recipe(),
            features_from,
        })))
    }

    /// Returns the features that the sampler sees.
    pub(super) fn features(&self, target: &TargetConfig) -> Vec<String> {
        if self.features.is_empty() {
            target.default_features().map(str::to_owned).to_vec()
        } else {
            self.features.clone()
        }
    }

    /// The features that are computed because they are asked for.
    fn extra_features(&self) -> Vec<Feature> {
        let asked = |feature: &Feature| self.features.iter().any(|name| name == feature.name());
        Feature::ALL.into_iter().filter(|feature| !Feature::ALWAYS.contains(feature) && asked(feature)).collect()
    }

    fn network(&self, name: &str) -> Result<Network, SearcherError> {
        if Network::is_file_name(name) {
            let module = HashedFile::of_file(name)
                .map_err(|error| SearcherError::Config(format!("--target {error}: a TorchScript module's file")))?;
            return Ok(Network::Module(module));
        }
        let architecture: Architecture = name.parse().map_err(|_unknown| {
            SearcherError::Config(format!(
                "no target is named {name:?}: {}, gpt, simulated, or a file that ends in .pt",
                Architecture::names()
            ))
        })?;
        Ok(architecture.into())
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
}
