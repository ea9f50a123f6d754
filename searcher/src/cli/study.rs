//! Options of the commands that look at studies.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::{DaemonOptions, Output, StudyOptions};

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

/// Options of `studies`.
#[derive(Debug, Args)]
pub struct StudiesOptions {
    /// Where the daemon is.
    #[command(flatten)]
    pub daemon: DaemonOptions,
    /// Standard output: a table or one JSON array
    #[arg(long, value_enum, default_value_t = Output::Table)]
    pub output: Output,
}

/// Options of `export`.
#[derive(Debug, Args)]
pub struct ExportOptions {
    /// The study.
    #[command(flatten)]
    pub study: StudyOptions,
    /// CSV, one trial a record; one JSON object, as `show`; or a journal file of Optuna's, for `optuna.load_study` and
    /// optuna-dashboard
    #[arg(long, value_enum, default_value_t = Format::Csv)]
    pub format: Format,
}

/// What `export` writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For spreadsheets.
    Csv,
    /// For scripts.
    Json,
    /// For Optuna and optuna-dashboard.
    Optuna,
}

/// Options of `plot`.
#[derive(Debug, Args)]
pub struct PlotOptions {
    /// The study.
    #[command(flatten)]
    pub study: StudyOptions,
    /// Folder the pictures are written to [default: the work folder]
    #[arg(long)]
    pub dir: Option<PathBuf>,
    /// Folder with the study's features [default: searcher-work/STUDY]
    #[arg(long)]
    pub work_dir: Option<PathBuf>,
}

impl PlotOptions {
    /// Returns the folder with the study's features.
    #[must_use]
    pub fn work_dir(&self) -> PathBuf {
        self.work_dir.clone().unwrap_or_else(|| PathBuf::from("searcher-work").join(&self.study.study))
    }
}
