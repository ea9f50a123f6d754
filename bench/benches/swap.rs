//! Hot swaps: how long a sampler takes to build over cells that exist, by their number.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use swift_sampler::Sampler;
use swift_sampler_bench::features;

const SEED: u64 = 7;
const SAMPLES: usize = 10;

fn swap(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("swap");
    group.sample_size(SAMPLES);
    for examples in [60_000, 1_000_000, 1_280_000, 4_000_000] {
        let dataset = features::dataset(examples, 2, SEED).expect("made-up features make a dataset");
        let mut seed = SEED;
        group.bench_function(BenchmarkId::new("build", examples), |bencher| {
            bencher.iter(|| {
                seed += 1;
                black_box(Sampler::build(&features::spec(2, seed), &dataset).expect("made-up samplers fit it"))
            });
        });
    }
    group.finish();
}

criterion_group!(benches, swap);
criterion_main!(benches);
