//! Options that decide what a sampler sees of an example.

use std::path::PathBuf;

use clap::Args;

/// Features and where they come from.
#[derive(Debug, Args)]
pub(super) struct FeatureOptions {
    /// Features that the sampler sees: loss, entropy and grad_norm are computed, others come from --columns
    #[arg(long, value_delimiter = ',', default_value = "loss,entropy")]
    pub(super) features: Vec<String>,
    /// Files with your own columns (Parquet, CSV, npz, safetensors), one row for each example that the data has for training, in
    /// the order of its files and before it is split; several files follow each other
    #[arg(long, num_args = 1.., value_name = "FILE")]
    pub(super) columns: Vec<PathBuf>,
}
