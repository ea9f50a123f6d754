//! Hundreds of trainers pull their batches from hosts that hold a shard each: together they get the batches of one data
//! set, whatever is swapped, lost or resized meanwhile.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::ops::Range;

use swift_sampler::job::Shard;
use swift_sampler::{
    Cells, Dataset, Engine, FeatureTable, JobParameters, Replacement, Resolution, SamplerSpec, SwiftSpec, Transform,
};

#[allow(dead_code, reason = "what the example prints is not all looked at here")]
#[path = "../examples/sharded/cluster.rs"]
mod cluster;
#[allow(dead_code, reason = "what the example prints is not all looked at here")]
#[path = "../examples/sharded/set_up.rs"]
mod set_up;

use cluster::{Cluster, MergedBatch, Traffic};
use set_up::{GRADIENT_NORM, set_up};

const SHARDS: u64 = 5;
const REPLICAS: u64 = 2;
const BATCH_SIZE: u32 = 1200;
const STEPS_A_WINDOW: u64 = 4;
const FIRST_ROW: u64 = 1 << 40;

fn table() -> FeatureTable {
    let column = |name: &str, multiplier: u32, distinct: u32| {
        let values = (0..3000u32).map(|row| f64::from(row.wrapping_mul(multiplier) % distinct));
        (name.to_owned(), values.collect())
    };
    let gradient_norms = column(GRADIENT_NORM, 97, 113);
    FeatureTable::new(vec![column("loss", 2_654_435_761, 977), column("entropy", 40_503, 31), gradient_norms]).unwrap()
}

fn swift(coefficients: [f64; 2]) -> SamplerSpec {
    SamplerSpec::Swift(SwiftSpec {
        features: vec!["loss".into(), "entropy".into()],
        coefficients: coefficients.to_vec(),
        knots: vec![0.2, 0.5, 0.8],
        values: vec![0.1, 1.0, 0.5, 0.25, 0.0],
        transform: Transform::Cgf,
    })
}

/// The global batches of a window, put together from the shares of all ranks.
fn pull(cluster: &mut Cluster, window: Range<u64>, world_size: u32) -> Vec<MergedBatch> {
    let mut global: Vec<Option<MergedBatch>> = window.clone().map(|_| None).collect();
    for rank in 0..world_size {
        let share = cluster.pull(Shard::new(rank, world_size).unwrap(), window.clone(), rank as usize).unwrap();
        for (global, share) in global.iter_mut().zip(share) {
            match global {
                None => *global = Some(share),
                Some(batch) => {
                    assert_eq!(batch.version, share.version, "all ranks follow one version at a step");
                    batch.indices.extend(share.indices);
                    batch.probabilities.extend(share.probabilities);
                }
            }
        }
    }
    global.into_iter().map(Option::unwrap).collect()
}

/// A cluster of five shards with two hosts each, and the engine of the same job over one data set.
fn job(replacement: Replacement) -> (Cluster, impl Fn(&Cluster) -> Engine) {
    // Epochs end inside of batches.
    let parameters = JobParameters { seed: 11, replacement, epoch_draws: Some(7001), ..JobParameters::new(BATCH_SIZE) };
    let resolution = Resolution::Bits(4);
    let (shards, _) = set_up(&table(), &[401, 1200, 1201, 2500, 3000], FIRST_ROW, resolution).unwrap();
    let cluster = Cluster::new(shards, 2, swift([0.6, -0.8]), parameters);
    let engine = move |cluster: &Cluster| {
        let table = table();
        let features = ["loss".to_owned(), "entropy".to_owned()];
        let cells = Cells::build(&table, &features, Some(GRADIENT_NORM), resolution).unwrap();
        let dataset = Dataset::from_stored(table, Some(GRADIENT_NORM.into()), cells).unwrap();
        let spec = |version: u64| cluster.registry.specs.get(usize::try_from(version - 1).unwrap()).cloned();
        Engine::with_log(dataset, parameters, cluster.registry.log.clone(), spec).unwrap()
    };
    (cluster, engine)
}

#[test]
fn trainers_of_shards_get_the_batches_of_one_data_set() {
    for replacement in [Replacement::Independent, Replacement::Stratified] {
        let (mut cluster, engine) = job(replacement);
        let mut batches = Vec::new();
        for window in (0..64).step_by(4).map(|step| step..step + STEPS_A_WINDOW) {
            match window.start {
                12 => cluster.activate(SamplerSpec::Uniform {}),
                // One host of two shards is lost, and comes back.
                20 => (cluster.hosts[0][1].lost, cluster.hosts[3][0].lost) = (true, true),
                28 => cluster.activate(swift([1.0, 0.0])),
                40 => (cluster.hosts[0][1].lost, cluster.hosts[3][0].lost) = (false, false),
                _ => {}
            }
            // The world grows from 200 ranks to 330, which do not divide the batch.
            let world_size = if window.start < 24 { 200 } else { 330 };
            batches.extend(pull(&mut cluster, window, world_size));
        }
        let versions: Vec<u64> = batches.iter().map(|batch| batch.version).collect();
        assert!([1, 2, 3].iter().all(|version| versions.contains(version)) && versions.is_sorted(), "{versions:?}");
        let engine = engine(&cluster);
        for (step, batch) in (0..).zip(batches) {
            let expected = engine.batch(step, Shard::WHOLE).unwrap();
            assert_eq!(batch.version, expected.version);
            let indices: Vec<u64> = batch.indices.iter().map(|index| index - FIRST_ROW).collect();
            assert!(expected.indices.iter().eq(indices), "step {step}");
            let bits = |probabilities: &[f32]| probabilities.iter().map(|p| p.to_bits()).collect::<Vec<_>>();
            assert_eq!(bits(&batch.probabilities), bits(&expected.probabilities));
        }
    }
}

#[test]
fn a_shard_without_hosts_stops_its_trainers_and_changes_no_draw() {
    let (mut cluster, engine) = job(Replacement::Stratified);
    let rank = Shard::new(7, 200).unwrap();
    let before = cluster.pull(rank, 0..4, 7).unwrap();
    cluster.hosts[2].iter_mut().for_each(|host| host.lost = true);
    // The shard has a single row, but which draws are its cannot be left to chance.
    assert_eq!(cluster.pull(rank, 0..4, 7).unwrap_err().to_string(), "shard 2 has no host left");
    cluster.hosts[2][0].lost = false;
    assert_eq!(cluster.pull(rank, 0..4, 7).unwrap(), before);
    let expected = engine(&cluster).batch(0, rank).unwrap();
    assert!(expected.indices.iter().map(|index| FIRST_ROW + index).eq(before[0].indices.clone()));
}

/// The arithmetic that ARCHITECTURE.md does for a thousand trainers.
#[test]
fn messages_and_bytes_are_as_many_as_reckoned() {
    let (mut cluster, _) = job(Replacement::Stratified);
    let (world_size, steps) = (300, 32);
    for step in (0..steps).step_by(4) {
        pull(&mut cluster, step..step + STEPS_A_WINDOW, world_size);
    }
    let hosts = SHARDS * REPLICAS;
    let total = |of: fn(&Traffic) -> u64| cluster.traffic().map(|traffic| of(&traffic)).sum::<u64>();
    // Each trainer asks each shard once a window.
    let requests = u64::from(world_size) * SHARDS * (steps / STEPS_A_WINDOW);
    assert_eq!(total(|traffic| traffic.requests), requests);
    assert!(cluster.traffic().all(|traffic| traffic.requests == requests / hosts));
    assert_eq!(total(|traffic| traffic.bytes_received), 20 * requests);
    // Each host looks at the draws of its readers; one host of each shard holds each draw's row.
    let draws = u64::from(BATCH_SIZE) * steps;
    assert_eq!(total(|traffic| traffic.draws), draws * SHARDS);
    assert_eq!(total(|traffic| traffic.draws_held), draws);
    // 12 bytes a draw, and 12 for each trainer, shard and step.
    assert_eq!(total(|traffic| traffic.bytes_sent), 12 * draws + 12 * u64::from(world_size) * SHARDS * steps);
    // A commit freezes a lease of 16 steps, whoever asks first.
    assert_eq!(cluster.registry.commits, steps / 16);
}
