//! Options that tell a worker where its machine has what the study names by path.

use std::path::PathBuf;

use clap::Args;

use crate::target::Places;

/// Paths in place of the study's.
#[derive(Debug, Args)]
pub struct PlaceOptions {
    /// The data, where this machine has it elsewhere than the study's --data; its content must be the same
    #[arg(long)]
    data: Option<PathBuf>,
    /// The module, where this machine has it elsewhere than the study's --target; its content must be the same
    #[arg(long, value_name = "FILE")]
    target: Option<PathBuf>,
    /// The weights, where this machine has them elsewhere than the study's --weights; their content must be the same
    #[arg(long, value_name = "FILE")]
    weights: Option<PathBuf>,
}

impl PlaceOptions {
    /// Returns the paths.
    #[must_use]
    pub fn places(&self) -> Places {
        Places { data: self.data.clone(), module: self.target.clone(), weights: self.weights.clone() }
    }
}
