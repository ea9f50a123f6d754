//! The measuring program that `make bench` and `make bench-search` run; prints JSON lines.

use std::io::{stdin, stdout};

use clap::Parser;
use swift_sampler_bench::Sink;
use swift_sampler_bench::bare::{Bare, Serve};
use swift_sampler_bench::build::Build;
use swift_sampler_bench::cells::CellsOfFeatures;
use swift_sampler_bench::draws::Draws;
use swift_sampler_bench::{optimise, simulator};

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
    /// Suggests points, asked over standard input
    Optimise,
    /// Evaluates samplers exactly, asked over standard input
    Simulator,
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
        Measurement::Optimise => optimise::answer(stdin().lock(), stdout()),
        Measurement::Simulator => simulator::answer(stdin().lock(), stdout()),
    }
}
