//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use swift_sampler::Transform;
use swift_sampler_client::ClientConfig;

use crate::acquisition::Exploration;
use crate::data::DataConfig;
use crate::error::SearcherError;
use crate::policy::Plan;
use crate::preparation::TargetConfig;
use crate::search::SearchConfig;
use crate::simulated::SimulatedConfig;
use crate::space::Space;
use crate::study::TrainingConfig;
use crate::target::{Architecture, Checkpoint, PrepareConfig, RecipeOverrides, Start};

/// Finds a better sampler for a training set by Bayesian optimisation over short trials, swaps it into the daemon and shows
/// what it gains.
///
/// Killed at any time and started again with the same settings, a search goes on where it was.
#[derive(Debug, Parser)]
#[command(name = "searcher", version, args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub struct Cli {
    /// What to do instead of a search.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// The search.
    #[command(flatten)]
    pub search: SearchOptions,
}

/// What to do instead of a search.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Train the start network and write its features to WORK_DIR/features.parquet, without a daemon
    Features(PrepareOptions),
    /// Run trials of a study until it ends; a search starts its own workers, more may run anywhere
    Worker(WorkerOptions),
    /// Show a study and its trials
    Show(ShowOptions),
    /// Write a study's trials as CSV to standard output
    Export(StudyOptions),
}

/// Options of a search.
#[derive(Debug, Args)]
pub struct SearchOptions {
    #[command(flatten)]
    prepare: PrepareOptions,
    #[command(flatten)]
    daemon: DaemonOptions,
    /// Dataset at the daemon [default: the study's name]
    #[arg(long)]
    dataset: Option<String>,
    /// Study, whose trials the daemon keeps [default: TARGET-SEED]
    #[arg(long)]
    study: Option<String>,
    /// Short trials in all, the uniform baseline's 3 included
    #[arg(long, default_value_t = 40, value_parser = clap::value_parser!(u32).range(5..=10_000))]
    trials: u32,
    /// Epochs of a short trial
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    epochs: u32,
    /// Segments S of the sampler's piecewise linear function
    #[arg(long, default_value_t = 4)]
    segments: usize,
    /// T: equal lengths hold equal gradient mass (cgf) or equally many examples (cdf)
    #[arg(long, value_enum, default_value_t = TransformName::Cgf)]
    transform: TransformName,
    /// Worker processes at once
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=256))]
    jobs: u16,
    /// Seeds of retraining from scratch, under the uniform sampler and under the one found; 0: none
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(0..=100))]
    confirm: u16,
    /// Epochs of a retraining [default: --start-epochs]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    retrain_epochs: Option<u32>,
    /// Best samplers of the search that are tried again under fresh seeds
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(0..=100))]
    finalists: u16,
    /// Fresh seeds a finalist
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u16).range(0..=100))]
    finalist_seeds: u16,
    /// Weights a short trial starts from: those of the start network after its last epoch or at its best
    #[arg(long, value_enum, default_value_t = CheckpointName::Last)]
    start_from: CheckpointName,
    /// κ of the upper confidence bound μ + κσ, or "brochu" for the growing κ of the paper's reference
    #[arg(long, default_value = "1.8", value_parser = parse_exploration)]
    kappa: Exploration,
    /// Standard output: a table or one JSON object
    #[arg(long, value_enum, default_value_t = Output::Table)]
    pub output: Output,
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
    #[arg(long, default_value_t = 0.0)]
    label_noise: f64,
    /// Seeds data split, label noise, start network and search
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Epochs of the start network
    #[arg(long, default_value_t = PrepareConfig::EPOCHS, value_parser = clap::value_parser!(u32).range(1..))]
    start_epochs: u32,
    /// Checkpoint that features come from: the best on validation, before wrong labels are memorised, or the last
    #[arg(long, value_enum, default_value_t = CheckpointName::Best)]
    features_from: CheckpointName,
    /// Examples a batch
    #[arg(long, default_value_t = PrepareConfig::BATCH_SIZE, value_parser = clap::value_parser!(u32).range(1..))]
    batch_size: u32,
    /// Learning rate [default: the target's]
    #[arg(long)]
    learning_rate: Option<f64>,
    /// Folder for start network, features, logs, report and pictures [default: searcher-work/STUDY]
    #[arg(long)]
    work_dir: Option<PathBuf>,
}

/// Where the daemon is.
#[derive(Debug, Args)]
pub struct DaemonOptions {
    /// Address of the daemon; several replicas' separated by commas
    #[arg(long, env = "SWIFTSAMPLER_DAEMON", default_value = ClientConfig::ADDRESS_DEFAULT)]
    pub daemon: String,
}

/// Options of a worker.
#[derive(Debug, Args)]
pub struct WorkerOptions {
    /// The study
    #[arg(long)]
    pub study: String,
    /// Where the daemon is.
    #[command(flatten)]
    pub daemon: DaemonOptions,
    /// Folder with the start network, as `searcher features` or a search leaves it
    #[arg(long)]
    pub work_dir: PathBuf,
    /// The worker's name, unique among those of the study [default: HOST-PROCESS]
    #[arg(long)]
    pub name: Option<String>,
    /// End when standard input closes, as it does when the process that started this one dies
    #[arg(long)]
    pub until_stdin_closes: bool,
}

/// Options of `show`.
#[derive(Debug, Args)]
pub struct ShowOptions {
    /// The study.
    #[command(flatten)]
    pub study: StudyOptions,
    /// Standard output: a table or one JSON object
    #[arg(long, value_enum, default_value_t = Output::Table)]
    pub output: Output,
}

/// Names a study.
#[derive(Debug, Args)]
pub struct StudyOptions {
    /// The study
    pub study: String,
    /// Where the daemon is.
    #[command(flatten)]
    pub daemon: DaemonOptions,
}

/// What goes to standard output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people.
    Table,
    /// For scripts.
    Json,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum TransformName {
    Cgf,
    Cdf,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum CheckpointName {
    Best,
    Last,
}

impl SearchOptions {
    /// Returns the search these options describe.
    ///
    /// # Errors
    /// [`SearcherError::Config`] naming the option that is wrong.
    pub fn config(&self) -> Result<SearchConfig, SearcherError> {
        let target = self.prepare.target()?;
        let seed = self.prepare.seed;
        let study = self.study.clone().unwrap_or_else(|| format!("{}-{seed}", target.name()));
        let (trials, baselines) = (self.trials as usize, 3);
        let plan = Plan {
            space: Space {
                features: vec!["loss".to_owned(), "entropy".to_owned()],
                segments: self.segments,
                transform: match self.transform {
                    TransformName::Cgf => Transform::Cgf,
                    TransformName::Cdf => Transform::Cdf,
                },
            },
            trials,
            baselines,
            initial: 7,
            exploration: self.kappa,
            finalists: usize::from(self.finalists),
            finalist_seeds: usize::from(self.finalist_seeds),
            retrain_seeds: usize::from(self.confirm),
            seed,
        };
        let training = TrainingConfig {
            epochs: self.epochs,
            start: match self.start_from {
                CheckpointName::Best => Start::Best,
                CheckpointName::Last => Start::Last,
            },
            retrain_epochs: self.retrain_epochs.unwrap_or(self.prepare.start_epochs),
            batch_size: self.prepare.batch_size,
            recipe: self.prepare.recipe(),
        };
        Ok(SearchConfig {
            daemon: self.daemon.daemon.clone(),
            dataset: self.dataset.clone().unwrap_or_else(|| study.clone()),
            work_dir: self.prepare.work_dir(&study),
            study,
            target,
            plan,
            training,
            jobs: usize::from(self.jobs),
        })
    }
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
                CheckpointName::Best => Checkpoint::Best,
                CheckpointName::Last => Checkpoint::Last,
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

    fn recipe(&self) -> RecipeOverrides {
        RecipeOverrides { learning_rate: self.learning_rate, ..RecipeOverrides::default() }
    }
}

fn parse_exploration(text: &str) -> Result<Exploration, String> {
    if text == "brochu" {
        return Ok(Exploration::Brochu);
    }
    match text.parse::<f64>() {
        Ok(kappa) if kappa.is_finite() && kappa >= 0.0 => Ok(Exploration::Kappa(kappa)),
        _ => Err("a number of at least 0, or brochu".to_owned()),
    }
}
