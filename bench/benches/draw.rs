//! Draws: how long a batch takes by the number of cells and by mode.

use std::hint::black_box;
use std::sync::Arc;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use swift_sampler::{Plan, Replacement, Sampler, Seed, Segment};
use swift_sampler_bench::features;

const BATCH_SIZE: usize = 4096;
const SEED: u64 = 7;

fn sampler(examples: usize) -> Arc<Sampler> {
    let dataset = features::dataset(examples, 2, SEED).expect("made-up features make a dataset");
    Arc::new(Sampler::build(&features::spec(2, SEED), &dataset).expect("made-up samplers fit it"))
}

fn draw(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("draw");
    group.throughput(Throughput::Elements(BATCH_SIZE as u64));
    let (mut indices, mut probabilities) = (vec![0; BATCH_SIZE], vec![0.0; BATCH_SIZE]);
    for examples in [10_000, 100_000, 1_000_000] {
        let sampler = sampler(examples);
        for mode in [Replacement::Independent, Replacement::Stratified] {
            let segment = Segment { epoch_start: 0, start: 0, end: 1 << 32 };
            let plan =
                Plan::new(Arc::clone(&sampler), Seed(SEED), mode, segment, None).expect("an epoch can be planned");
            let mut first = 0;
            group.bench_function(BenchmarkId::new(mode.name(), examples), |bencher| {
                bencher.iter(|| {
                    first = (first + BATCH_SIZE as u64) % (1 << 31);
                    plan.draw_into(first..first + BATCH_SIZE as u64, &mut indices, &mut probabilities);
                    black_box((&indices, &probabilities));
                });
            });
        }
    }
    group.finish();
}

criterion_group!(benches, draw);
criterion_main!(benches);
