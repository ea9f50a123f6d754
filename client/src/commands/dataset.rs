//! `samplerctl dataset`.

use std::path::PathBuf;

use anyhow::Context;
use clap::{Args, Subcommand, ValueEnum};
use serde::Serialize;
use swift_sampler_client::blocking::Client;
use swift_sampler_client::proto;
use swift_sampler_client::{CropColumn, ImportRequest, NewValues, RefreshRequest};

use crate::import_progress::ImportProgressLine;
use crate::print::{Printer, Row};

#[derive(Debug, Subcommand)]
pub(crate) enum Dataset {
    /// Import feature columns; row i is example i
    #[command(after_help = "\
Examples:
  samplerctl dataset import fashion features.parquet
  samplerctl dataset import partial features.csv --on-missing impute
  samplerctl dataset import large part-0.npz part-1.npz --features loss,margin --grad-norm grad_norm
Rows with columns image, top, left, height, width and perhaps flip are crops, whose boxes come with each draw:
  samplerctl dataset import crops crops.parquet")]
    Import(Import),
    /// Replace values of features under running jobs, and activate the active sampler over them
    #[command(after_help = "\
Row i of the files is example i; columns that they leave out keep their values:
  samplerctl dataset refresh fashion losses.npz
Jobs take the new values up at their next open step. `samplerctl sampler rollback NAME` takes them back.")]
    Refresh(Refresh),
    /// List the datasets
    List,
    /// Show a dataset
    Show {
        /// Its name
        name: String,
    },
    /// Remove a dataset and its samplers
    Remove {
        /// Its name
        name: String,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Import {
    /// Name of the new dataset
    name: String,
    /// Parquet, safetensors, npz or CSV files; the rows of the second follow those of the first
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// Columns that samplers combine [default: loss,entropy]
    #[arg(long, value_delimiter = ',', value_name = "COLUMN")]
    features: Vec<String>,
    /// Column of gradient norms [default: grad_norm where there is one]
    #[arg(long, value_name = "COLUMN")]
    grad_norm: Option<String>,
    /// Format of the files [default: as their extensions say]
    #[arg(long, value_enum)]
    format: Option<Format>,
    /// Index of the first row, where the dataset is a shard of a larger one
    #[arg(long, value_name = "N", default_value_t = 0)]
    first_row: u64,
    /// What becomes of missing values, NaN and infinities: reject the import, naming the first; or impute the median of their
    /// column
    #[arg(long, value_enum, default_value_t = OnMissing::Reject)]
    on_missing: OnMissing,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum OnMissing {
    Reject,
    Impute,
}

#[derive(Debug, Args)]
pub(crate) struct Refresh {
    /// Name of the dataset
    name: String,
    /// Parquet, safetensors, npz or CSV files; the rows of the second follow those of the first
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// Example of the files' first row, where they hold only some of the dataset's [default: all rows]
    #[arg(long, value_name = "N")]
    first_row: Option<u64>,
    /// Format of the files [default: as their extensions say]
    #[arg(long, value_enum)]
    format: Option<Format>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Format {
    Parquet,
    Safetensors,
    Npz,
    Csv,
}

impl Dataset {
    pub(crate) fn run(self, client: &Client, printer: &mut Printer) -> anyhow::Result<()> {
        match self {
            Self::Import(import) => printer.one(&Shown::from(import.run(client)?))?,
            Self::Refresh(refresh) => refresh.run(client, printer)?,
            Self::List => {
                let datasets: Vec<Shown> = client.list_datasets()?.into_iter().map(Shown::from).collect();
                printer.list(&datasets)?;
            }
            Self::Show { name } => printer.one(&Shown::from(client.get_dataset(&name)?))?,
            Self::Remove { name } => {
                client.remove_dataset(&name)?;
                printer.done(&format!("dataset {name} is removed"), &serde_json::json!({ "removed": name }))?;
            }
        }
        Ok(())
    }
}

impl Refresh {
    fn run(self, client: &Client, printer: &mut Printer) -> anyhow::Result<()> {
        let format = self.format.map_or(proto::FileFormat::Unspecified, proto::FileFormat::from);
        let values = NewValues::Files { files: self.files, format };
        let request = RefreshRequest { dataset: self.name, values, first_row: self.first_row };
        let refreshed = client.refresh_features(&request)?;
        let dataset = refreshed.dataset.context("the daemon did not say what it refreshed")?;
        let (name, revision, version) = (dataset.name, dataset.features_revision, dataset.active_version);
        printer.done(
            &format!("{name} version {version} is active, over revision {revision} of the features"),
            &serde_json::json!({
                "dataset": name,
                "features_revision": revision,
                "features_hash": dataset.features_hash,
                "version": version,
            }),
        )?;
        Ok(())
    }
}

impl Import {
    fn run(self, client: &Client) -> anyhow::Result<proto::Dataset> {
        let request = ImportRequest {
            name: self.name,
            files: self.files,
            format: self.format.map_or(proto::FileFormat::Unspecified, proto::FileFormat::from),
            features: self.features,
            gradient_norm: self.grad_norm,
            first_row: self.first_row,
            on_missing: match self.on_missing {
                OnMissing::Reject => proto::OnMissing::Reject,
                OnMissing::Impute => proto::OnMissing::Impute,
            },
        };
        let line = ImportProgressLine::new();
        let told = line.clone();
        let dataset = client.import_dataset(&request, move |progress| told.show(progress));
        line.finish();
        let dataset = dataset?;
        for imputed in &dataset.imputed {
            let proto::ImputedColumn { column, values, first_row, value } = imputed;
            eprintln!(
                "column {column:?}: {values} missing values, the first in row {first_row}, are now the median {value}"
            );
        }
        Ok(dataset)
    }
}

impl From<Format> for proto::FileFormat {
    fn from(format: Format) -> Self {
        match format {
            Format::Parquet => Self::Parquet,
            Format::Safetensors => Self::Safetensors,
            Format::Npz => Self::Npz,
            Format::Csv => Self::Csv,
        }
    }
}

/// A dataset as it is printed.
#[derive(Debug, Serialize)]
struct Shown {
    name: String,
    rows: u64,
    first_row: u64,
    features: Vec<String>,
    gradient_norm: Option<String>,
    columns: Vec<String>,
    /// Whether each example is a crop of an image.
    crops: bool,
    cells: u64,
    active_version: u64,
    features_revision: u64,
    features_hash: String,
    kept_revisions: Vec<u64>,
    hash: String,
    created_at_ms: u64,
    /// What an import has just imputed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    imputed: Vec<ShownImputed>,
}

/// The missing values of a column that were imputed.
#[derive(Debug, Serialize)]
struct ShownImputed {
    column: String,
    values: u64,
    first_row: u64,
    value: f64,
}

impl From<proto::ImputedColumn> for ShownImputed {
    fn from(imputed: proto::ImputedColumn) -> Self {
        let proto::ImputedColumn { column, values, first_row, value } = imputed;
        Self { column, values, first_row, value }
    }
}

impl From<proto::Dataset> for Shown {
    fn from(dataset: proto::Dataset) -> Self {
        Self {
            name: dataset.name,
            rows: dataset.rows,
            first_row: dataset.first_row,
            features: dataset.features,
            gradient_norm: Some(dataset.gradient_norm).filter(|name| !name.is_empty()),
            crops: CropColumn::make_bank(&dataset.columns),
            columns: dataset.columns,
            cells: dataset.cells,
            active_version: dataset.active_version,
            // A daemon of before there were revisions says nothing of them.
            features_revision: dataset.features_revision.max(1),
            features_hash: dataset.features_hash,
            kept_revisions: dataset.kept_revisions,
            hash: dataset.hash,
            created_at_ms: dataset.created_at_ms,
            imputed: dataset.imputed.into_iter().map(ShownImputed::from).collect(),
        }
    }
}

impl Row for Shown {
    const HEADS: &'static [&'static str] = &[
        "name",
        "rows",
        "first row",
        "features",
        "gradient norm",
        "columns",
        "crops",
        "cells",
        "active version",
        "features revision",
        "hash",
    ];

    fn cells(&self) -> Vec<String> {
        vec![
            self.name.clone(),
            self.rows.to_string(),
            self.first_row.to_string(),
            self.features.join(","),
            self.gradient_norm.clone().unwrap_or_else(|| "-".into()),
            self.columns.join(","),
            if self.crops { "yes" } else { "no" }.to_owned(),
            self.cells.to_string(),
            self.active_version.to_string(),
            self.features_revision.to_string(),
            self.hash.chars().take(12).collect(),
        ]
    }
}
