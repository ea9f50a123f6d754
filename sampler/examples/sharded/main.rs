//! Shards in one process: sets up a data set over several hosts, lets many trainers pull batches while samplers are
//! swapped and a host is lost, and checks every batch against the engine over one data set. Prints what each part takes.
//!
//! `cargo run --release -p swift-sampler --example sharded -- [ROWS [SHARDS [TRAINERS [STEPS]]]]`

mod cluster;
mod set_up;

use std::error::Error;
use std::io::Write;
use std::sync::Arc;
use std::time::Instant;

use cluster::Cluster;
use set_up::{Cost, GRADIENT_NORM, set_up};
use swift_sampler::job::Shard;
use swift_sampler::{
    Cells, Dataset, Engine, FeatureTable, JobParameters, Replacement, Resolution, SamplerSpec, Seed, Segment,
    ShardedPlan, ShardedSampler,
};

/// Examples that each trainer asks for at a step.
const EXAMPLES_A_TRAINER: u32 = 16;
/// Steps a trainer asks for at once.
const WINDOW_STEPS: u64 = 8;
const REPLICAS: usize = 2;
/// Draws that are timed.
const DRAWS_TIMED: u64 = 2_000_000;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let mut number = |otherwise: &str| arguments.next().unwrap_or(otherwise.to_owned()).parse::<u32>();
    let (rows, shards, trainers, steps) = (number("200000")?, number("8")?, number("200")?, number("48")?);
    let (rows, shards, steps) = (rows as usize, shards as usize, u64::from(steps));
    if shards == 0 || rows < shards || trainers == 0 {
        return Err("at least one shard, one row a shard and one trainer are needed".into());
    }
    let table = table(rows)?;
    let resolution = Resolution::for_table(rows, table.names().len() - 1);
    let ends: Vec<usize> = (1..=shards).map(|shard| rows * shard / shards).collect();

    let (hosts, cost) = set_up(&table, &ends, 0, resolution)?;
    print_set_up(&cost, rows, shards)?;
    let shared = Arc::clone(hosts[0].by_cell.shared());
    print_draws(&hosts[0].by_cell, shared.len())?;

    let parameters = JobParameters {
        seed: 1,
        replacement: Replacement::Stratified,
        ..JobParameters::new(EXAMPLES_A_TRAINER * trainers)
    };
    let mut cluster = Cluster::new(hosts, REPLICAS, SamplerSpec::Uniform {}, parameters);
    let mut batches = Vec::new();
    for step in (0..steps).step_by(usize::try_from(WINDOW_STEPS)?) {
        if step >= steps / 2 && cluster.registry.specs.len() == 1 {
            cluster.activate(swift());
            // From here on, half of a shard's readers need its other replica.
            cluster.hosts[0][0].lost = true;
        }
        let window = step..steps.min(step + WINDOW_STEPS);
        let mut global = vec![(0, Vec::new()); usize::try_from(window.end - window.start)?];
        for rank in 0..trainers {
            let share = cluster.pull(Shard::new(rank, trainers)?, window.clone(), rank as usize)?;
            for ((version, indices), batch) in global.iter_mut().zip(share) {
                *version = batch.version;
                indices.extend(batch.indices);
            }
        }
        batches.extend(global);
    }
    print_traffic(&cluster, trainers, steps)?;

    let features = [swift_features()].concat();
    let cells = Cells::build(&table, &features, Some(GRADIENT_NORM), resolution)?;
    let dataset = Dataset::from_stored(table, Some(GRADIENT_NORM.into()), cells)?;
    let specs = cluster.registry.specs.clone();
    let spec_of = |version: u64| specs.get(usize::try_from(version - 1).ok()?).cloned();
    let engine = Engine::with_log(dataset, parameters, cluster.registry.log.clone(), spec_of)?;
    for (step, (version, indices)) in (0..).zip(&batches) {
        let expected = engine.batch(step, Shard::WHOLE)?;
        let equal = expected.version == *version && expected.indices.iter().eq(indices.iter().copied());
        if !equal {
            return Err(format!("batch {step} is not the one of a single data set").into());
        }
    }
    writeln!(std::io::stdout(), "all {steps} batches are those of a single data set")?;
    Ok(())
}

fn print_set_up(cost: &Cost, rows: usize, shards: usize) -> Result<(), Box<dyn Error>> {
    let mut out = std::io::stdout().lock();
    let a_shard = rows as f64 / shards as f64;
    let million_a_second = |count: f64, seconds: std::time::Duration| count / seconds.as_secs_f64() / 1e6;
    writeln!(out, "{rows} rows in {shards} shards; a host:")?;
    writeln!(out, "  sorts a feature          {:8.1} M rows/s", million_a_second(a_shard, cost.sort))?;
    writeln!(out, "  sends sorted values      {:8.1} bytes a row", cost.run_bytes as f64 / a_shard)?;
    writeln!(
        out,
        "  merges sorted values     {:8.1} M values/s",
        million_a_second(cost.values_merged as f64, cost.merge)
    )?;
    writeln!(out, "  sorts rows by cell       {:8.1} M rows/s", million_a_second(a_shard, cost.group))?;
    writeln!(out, "  sends its summary        {:8.1} KiB", cost.summary_bytes as f64 / 1024.0)?;
    writeln!(out, "  merges all summaries in  {:8.1} ms", cost.share.as_secs_f64() * 1e3)?;
    writeln!(out, "  adds gradient norms      {:8.1} M rows/s", million_a_second(a_shard, cost.gradients))?;
    writeln!(out, "  passes on their sums     {:8.1} KiB", cost.sums_bytes as f64 / 1024.0)?;
    Ok(())
}

fn print_draws(rows: &swift_sampler::ShardRows, cells: usize) -> Result<(), Box<dyn Error>> {
    let mut out = std::io::stdout().lock();
    let begun = Instant::now();
    let sampler = Arc::new(ShardedSampler::build(&swift(), rows.shared())?);
    writeln!(out, "  builds a sampler in      {:8.1} ms, over {cells} cells", begun.elapsed().as_secs_f64() * 1e3)?;
    let segment = Segment { epoch_start: 0, start: 0, end: DRAWS_TIMED };
    for mode in [Replacement::Independent, Replacement::Stratified] {
        let plan = ShardedPlan::new(Arc::clone(&sampler), Seed(1), mode, segment)?;
        let begun = Instant::now();
        let held = plan.held(0..DRAWS_TIMED, rows).count();
        let rate = DRAWS_TIMED as f64 / begun.elapsed().as_secs_f64() / 1e6;
        let share = held as f64 / DRAWS_TIMED as f64;
        writeln!(out, "  looks at draws           {rate:8.1} M/s, {}; holds {share:.3} of them", mode.name())?;
    }
    Ok(())
}

fn print_traffic(cluster: &Cluster, trainers: u32, steps: u64) -> Result<(), Box<dyn Error>> {
    let mut out = std::io::stdout().lock();
    let hosts = cluster.traffic().count();
    let a_step = |total: u64| total as f64 / (hosts as f64 * steps as f64);
    let total = |of: fn(&cluster::Traffic) -> u64| cluster.traffic().map(|traffic| of(&traffic)).sum::<u64>();
    writeln!(out, "{trainers} trainers of {EXAMPLES_A_TRAINER} examples a step, {hosts} hosts; a host and step:")?;
    writeln!(out, "  requests                 {:8.1}", a_step(total(|traffic| traffic.requests)))?;
    writeln!(out, "  bytes received           {:8.1}", a_step(total(|traffic| traffic.bytes_received)))?;
    writeln!(out, "  bytes sent               {:8.1}", a_step(total(|traffic| traffic.bytes_sent)))?;
    writeln!(out, "  draws looked at          {:8.1}", a_step(total(|traffic| traffic.draws)))?;
    writeln!(out, "  draws held               {:8.1}", a_step(total(|traffic| traffic.draws_held)))?;
    writeln!(out, "commits of the registry    {:8}", cluster.registry.commits)?;
    Ok(())
}

/// Made-up features: a row's numbers are a hash of it, bent towards the small ones as losses are.
fn table(rows: usize) -> Result<FeatureTable, Box<dyn Error>> {
    let column = |name: &str, salt: u64| {
        let value = |row: u64| {
            let hash = (row ^ salt).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            let hash = (hash ^ hash >> 32).wrapping_mul(0xd6e8_feb8_6659_fd93);
            ((hash >> 11) as f64 / (1u64 << 53) as f64).powi(3)
        };
        (name.to_owned(), (0..rows as u64).map(value).collect())
    };
    Ok(FeatureTable::new(vec![column("loss", 1), column("entropy", 2), column(GRADIENT_NORM, 3)])?)
}

fn swift_features() -> Vec<String> {
    vec!["loss".into(), "entropy".into()]
}

fn swift() -> SamplerSpec {
    SamplerSpec::Swift(swift_sampler::SwiftSpec {
        features: swift_features(),
        coefficients: vec![0.6, -0.8],
        knots: vec![0.25, 0.5, 0.75],
        values: vec![0.1, 1.0, 0.5, 0.25, 0.05],
        transform: swift_sampler::Transform::Cgf,
    })
}
