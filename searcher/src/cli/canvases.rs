//! Options of canvases.

use std::path::PathBuf;

use clap::Args;

use crate::data::canvas::{CanvasConfig, Canvases};
use crate::error::SearcherError;

/// Options of canvases.
#[derive(Debug, Args)]
pub struct CanvasOptions {
    /// Data whose images are pasted, such as Fashion-MNIST's folder or digits.npz
    #[arg(long, value_name = "PATH")]
    data: PathBuf,
    /// Folder for the canvases, to be given as --data of a search with --crops
    #[arg(long, value_name = "FOLDER")]
    out: PathBuf,
    /// Height and width of a canvas in pixels
    #[arg(long, default_value_t = 56, value_parser = clap::value_parser!(u16).range(1..=4096))]
    side: u16,
    /// Images of other rows on each canvas, of half the object's height and width
    #[arg(long, default_value_t = 1)]
    others: u8,
    /// Images of each set, the first [default: all]
    #[arg(long)]
    images: Option<usize>,
    /// Seeds places, others and noise
    #[arg(long, default_value_t = 0)]
    seed: u64,
}

impl CanvasOptions {
    /// Writes the canvases and returns their folder.
    ///
    /// # Errors
    /// [`SearcherError::Data`] when the data is wrong or the canvas does not hold it.
    pub fn run(&self) -> Result<PathBuf, SearcherError> {
        let config = CanvasConfig { side: usize::from(self.side), others: usize::from(self.others), seed: self.seed };
        Canvases::write_of(&self.data, &self.out, self.images, &config)
            .map_err(|error| SearcherError::Data(error.to_string()))?;
        Ok(self.out.clone())
    }
}
