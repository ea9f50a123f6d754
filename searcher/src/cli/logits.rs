//! Options of a network's logits.

use std::path::{Path, PathBuf};

use clap::Args;

use crate::error::SearcherError;
use crate::target::Architecture;

/// Options of a network's logits.
#[derive(Debug, Args)]
pub struct LogitsOptions {
    /// The network, one of the built-in ones
    #[arg(long, value_name = "NAME")]
    target: String,
    /// Its weights, .safetensors or .ot
    #[arg(long, value_name = "FILE")]
    weights: PathBuf,
    /// Classes that the weights tell apart
    #[arg(long, default_value_t = 1000)]
    classes: u16,
    /// A .safetensors file with the tensor input, k × channels × height × width, as the network is to see it
    #[arg(long, value_name = "FILE")]
    input: PathBuf,
    /// Where the tensor logits is written, k × classes, as .safetensors
    #[arg(long, value_name = "FILE")]
    logits: PathBuf,
}

impl LogitsOptions {
    /// Computes the logits and writes them.
    ///
    /// # Errors
    /// [`SearcherError`] when the network has another name, a file is wrong, or the binary lacks libtorch.
    pub fn run(&self) -> Result<(), SearcherError> {
        let (architecture, classes): (Architecture, _) = (self.target.parse()?, usize::from(self.classes));
        write(architecture, classes, &self.weights, &self.input, &self.logits)
    }
}

#[cfg(feature = "torch")]
fn write(
    architecture: Architecture,
    classes: usize,
    weights: &Path,
    input: &Path,
    output: &Path,
) -> Result<(), SearcherError> {
    Ok(crate::torch::write_logits(architecture, classes, weights, input, output)?)
}

#[cfg(not(feature = "torch"))]
fn write(architecture: Architecture, _: usize, _: &Path, _: &Path, _: &Path) -> Result<(), SearcherError> {
    Err(SearcherError::WithoutTorch { target: architecture.name().to_owned() })
}
