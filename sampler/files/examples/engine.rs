//! Batches of a feature file, without a daemon: those that samplerd would serve.
//!
//! `cargo run -p swift-sampler-files --example engine -- tests/fixtures/features.parquet`

use std::error::Error;
use std::io::Write;

use swift_sampler::job::Shard;
use swift_sampler::{Engine, JobParameters, SamplerSpec};
use swift_sampler_files::{Selection, open};

fn main() -> Result<(), Box<dyn Error>> {
    let files: Vec<String> = std::env::args().skip(1).collect();
    let dataset = open(&files, &Selection::default())?;
    let mut out = std::io::stdout().lock();
    writeln!(out, "{} examples in {} cells, content {}", dataset.rows(), dataset.cells().len(), dataset.hash())?;

    let parameters = JobParameters { seed: 1, ..JobParameters::new(8) };
    let mut engine = Engine::new(dataset, &SamplerSpec::Uniform {}, parameters)?;
    // From step 3 on, examples of small loss only.
    let small_losses = serde_json::from_str(
        r#"{"kind":"swift","features":["loss","entropy"],"coefficients":[1,0],"knots":[0.3,0.5,0.7],
            "values":[1,1,0,0,0],"transform":"cdf"}"#,
    )?;
    engine.activate_at(3, &small_losses)?;
    for batch in engine.batches(0..6, Shard::WHOLE) {
        let batch = batch?;
        writeln!(out, "step {} of epoch {}, sampler {}: {:?}", batch.step, batch.epoch, batch.version, batch.indices)?;
    }
    Ok(())
}
