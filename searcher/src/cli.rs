//! The command line.

mod baseline;
mod canvases;
mod check;
mod data;
mod evaluation;
mod language;
mod logits;
mod method;
mod places;
mod prepare;
mod protocol;
mod runners;
mod study;
mod training;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use swift_sampler::Transform;

use crate::daemon_options::DaemonOptions;
use crate::error::SearcherError;
use crate::policy::Plan;
use crate::preparation::TargetConfig;
use crate::search::SearchConfig;
use crate::space::Space;
use crate::study::TrainingConfig;
use crate::target::Start;

pub use baseline::TrainOptions;
pub use canvases::CanvasOptions;
pub use check::{Check, Checked};
pub use logits::LogitsOptions;
pub use method::MethodOptions;
pub use places::PlaceOptions;
pub use prepare::PrepareOptions;
pub use protocol::{Preset, ProtocolOptions};
pub use runners::RunnerOptions;
pub use study::{ExportOptions, Format, PlotOptions, ShowOptions, StudiesOptions};

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
    /// Write a network's logits of given inputs, to check weights against the program that trained them
    Logits(LogitsOptions),
    /// Run trials of a study until it ends; a search starts its own workers, more may run anywhere
    Worker(WorkerOptions),
    /// Train the trial that the environment is about, as a --trial-command of a worker
    Trial,
    /// Train networks from scratch under a fixed sampler and loss, without a daemon: what a found sampler is compared with
    Train(TrainOptions),
    /// Paste images on larger canvases, whose crops miss them now and then: data to try --crops on
    Canvases(CanvasOptions),
    /// Show a study and its trials
    Show(ShowOptions),
    /// List the studies of a daemon
    Studies(StudiesOptions),
    /// Write a study's trials to standard output, as CSV, as JSON or for Optuna
    Export(ExportOptions),
    /// Draw what a study found so far, at any time
    Plot(PlotOptions),
    /// Remove a study and its trials; samplers that were activated stay
    Remove(StudyOptions),
}

/// Options of a search.
#[derive(Debug, Args)]
pub struct SearchOptions {
    #[command(flatten)]
    prepare: PrepareOptions,
    /// Files with your own columns (Parquet, CSV, npz, safetensors), one row for each example that the data has for training, in
    /// the order of its files and before it is split; several files follow each other
    #[arg(long, num_args = 1.., value_name = "FILE")]
    columns: Vec<PathBuf>,
    #[command(flatten)]
    daemon: DaemonOptions,
    /// Dataset at the daemon [default: the study's name]
    #[arg(long)]
    dataset: Option<String>,
    /// Study, whose trials the daemon keeps [default: TARGET-SEED]
    #[arg(long)]
    study: Option<String>,
    #[command(flatten)]
    protocol: ProtocolOptions,
    /// Segments S of the sampler's piecewise linear function
    #[arg(long, default_value_t = 4)]
    segments: usize,
    /// T: equal lengths hold equal gradient mass (cgf) or equally many examples (cdf)
    #[arg(long, value_enum, default_value_t = TransformName::Cgf)]
    transform: TransformName,
    /// What runs its trials.
    #[command(flatten)]
    runners: RunnerOptions,
    /// Seeds of retraining from scratch, under the uniform sampler and under the one found; 0: none
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(0..=100))]
    confirm: u16,
    /// Epochs of a retraining [default: --start-epochs]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    retrain_epochs: Option<u32>,
    /// Weights a short trial starts from: those of the start network after its last epoch or at its best
    #[arg(long, value_enum, default_value_t = CheckpointName::Last)]
    start_from: CheckpointName,
    /// Activate nothing, only say what would be
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    method: MethodOptions,
    /// Standard output: a table or one JSON object
    #[arg(long, value_enum, default_value_t = Output::Table)]
    pub output: Output,
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
    /// Folder with the start network, as `searcher features` or a search leaves it [default: searcher-work/STUDY]
    #[arg(long)]
    pub work_dir: Option<PathBuf>,
    /// Where this machine has data and module.
    #[command(flatten)]
    pub places: PlaceOptions,
    /// Run each trial by this shell command instead of training the study's target
    #[arg(long, value_name = "COMMAND")]
    pub trial_command: Option<String>,
    /// What runs the trials; without --jobs, this process itself.
    #[command(flatten)]
    pub runners: RunnerOptions,
    /// The worker's name, unique among those of the study [default: HOST-PROCESS]
    #[arg(long)]
    pub name: Option<String>,
    /// End when standard input closes, as it does when the process that started this one dies
    #[arg(long)]
    pub until_stdin_closes: bool,
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
pub(crate) enum CheckpointName {
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
        let (trials, baselines, epochs) = (self.protocol.trials(), 3, self.protocol.epochs());
        let retrain_epochs = self.retrain_epochs.unwrap_or(self.prepare.training.start_epochs());
        let start = match self.start_from {
            CheckpointName::Best => Start::Best,
            CheckpointName::Last => Start::Last,
        };
        let plan = Plan {
            space: Space {
                features: self.prepare.features(&target),
                segments: self.segments,
                transform: match self.transform {
                    TransformName::Cgf => Transform::Cgf,
                    TransformName::Cdf => Transform::Cdf,
                },
            },
            trials,
            baselines,
            initial: 7,
            design: self.method.design(),
            exploration: self.method.exploration(),
            strategy: self.method.strategy(),
            method: self.method.method(),
            finalists: self.protocol.finalists(),
            finalist_seeds: self.protocol.finalist_seeds(),
            retrain_seeds: usize::from(self.confirm),
            seed,
            epochs,
            protocol: self.protocol.protocol(start, retrain_epochs),
        };
        let training = TrainingConfig {
            epochs,
            start,
            retrain_epochs,
            batch_size: self.prepare.training.batch_size(),
            recipe: self.prepare.training.recipe(),
        };
        let trains = !matches!(target, TargetConfig::Simulated(_));
        Ok(SearchConfig {
            daemon: self.daemon.clone(),
            dataset: self.dataset.clone().unwrap_or_else(|| study.clone()),
            work_dir: self.prepare.work_dir(&study),
            dry_run: self.dry_run,
            study,
            target,
            plan,
            training,
            warm_start: self.protocol.warm_start.clone(),
            devices: self.runners.placements(trains)?,
            limits: self.runners.limits(),
            columns: self.columns.clone(),
        })
    }
}
