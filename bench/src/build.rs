//! Building a sampler in process: the part of a hot swap that computes.

use std::hint::black_box;
use std::io::Write;
use std::time::Instant;

use swift_sampler::Sampler;

use crate::features;
use crate::sample::{SWIFT, Sink};

const MILLISECONDS_A_SECOND: f64 = 1e3;
const SEED: u64 = 7;

/// Milliseconds to build a sampler over one dataset.
#[derive(Debug, clap::Args)]
pub struct Build {
    /// Row of the table
    #[arg(long)]
    row: String,
    /// Examples of the dataset
    #[arg(long)]
    examples: usize,
    /// Samplers built, each another one
    #[arg(long, default_value_t = 5)]
    repeats: u64,
}

impl Build {
    /// Builds different samplers over one dataset.
    ///
    /// # Errors
    /// When a sampler cannot be built or a sample cannot be written.
    pub fn run(&self, sink: &mut Sink<impl Write>) -> anyhow::Result<()> {
        let dataset = features::dataset(self.examples, 2, SEED)?;
        let cells = dataset.cells().len();
        for repeat in 0..self.repeats {
            let spec = features::spec(2, SEED + repeat);
            let start = Instant::now();
            black_box(Sampler::build(&spec, &dataset)?);
            let milliseconds = start.elapsed().as_secs_f64() * MILLISECONDS_A_SECOND;
            let details = [("examples", self.examples.into()), ("cells", cells.into())];
            sink.put(&self.row, SWIFT, milliseconds, &details)?;
        }
        Ok(())
    }
}
