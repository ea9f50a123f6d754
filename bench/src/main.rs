//! The measuring program that `make bench` runs; prints one JSON line a sample.

use std::io::stdout;

use clap::Parser;
use swift_sampler_bench::Sink;
use swift_sampler_bench::bare::{Bare, Serve};
use swift_sampler_bench::build::Build;
use swift_sampler_bench::cells::CellsOfFeatures;
use swift_sampler_bench::draws::Draws;

/// Measures the engine in process, and gRPC alone
#[derive(Debug, Parser)]
enum Measurement {
    /// Draws a second, one thread, beside rand_distr
    Draws(Draws),
    /// Milliseconds to build a sampler
    Build(Build),
    /// Total variation distance of quantised cells, and their build time
    Cells(CellsOfFeatures),
    /// Indices a second of a bare gRPC server and client
    Bare(Bare),
    /// The server of `bare`
    ServeBare(Serve),
}

fn main() -> anyhow::Result<()> {
    let measurement = Measurement::parse();
    let mut sink = Sink::new(stdout());
    let runtime = || tokio::runtime::Builder::new_multi_thread().enable_all().build();
    match measurement {
        Measurement::Draws(draws) => draws.run(&mut sink),
        Measurement::Build(build) => build.run(&mut sink),
        Measurement::Cells(cells) => cells.run(&mut sink),
        Measurement::Bare(bare) => runtime()?.block_on(bare.run(&mut sink)),
        Measurement::ServeBare(serve) => runtime()?.block_on(serve.run(stdout())),
    }
}
