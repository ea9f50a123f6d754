//! Batches on the wire: packing a message's columns, encoding it, decoding it, unpacking it.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use prost::Message;
use swift_sampler_proto::columns::{pack_f32, pack_u32, unpack_f32, unpack_u32};
use swift_sampler_proto::v1::{BatchBlock, BatchHeader, IndexType};

/// Draws a message: those of the largest that a daemon sends.
const DRAWS: u32 = 32 << 10;

fn block(batch_size: u32, indices: &[u32], probabilities: &[f32]) -> BatchBlock {
    let header = |step| BatchHeader { step, epoch: 0, version: 1, draws: batch_size };
    BatchBlock {
        batches: (0..u64::from(DRAWS / batch_size)).map(header).collect(),
        index_type: IndexType::U32.into(),
        indices: pack_u32(indices),
        probabilities: pack_f32(probabilities),
        crops: None,
    }
}

fn encode(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("encode");
    group.throughput(Throughput::Elements(u64::from(DRAWS)));
    let indices: Vec<u32> = (0..DRAWS).collect();
    let probabilities = vec![1e-6; indices.len()];
    for batch_size in [256, 4096] {
        let message = block(batch_size, &indices, &probabilities);
        let bytes = message.encode_to_vec();
        group.bench_function(BenchmarkId::new("pack", batch_size), |bencher| {
            bencher.iter(|| black_box(block(batch_size, &indices, &probabilities)));
        });
        group.bench_function(BenchmarkId::new("encode", batch_size), |bencher| {
            bencher.iter(|| black_box(message.encode_to_vec()));
        });
        group.bench_function(BenchmarkId::new("decode and unpack", batch_size), |bencher| {
            let (mut unpacked_indices, mut unpacked_probabilities) = (Vec::new(), Vec::new());
            bencher.iter(|| {
                let block = BatchBlock::decode(bytes.as_slice()).expect("it was encoded above");
                unpack_u32(&block.indices, &mut unpacked_indices).expect("whole numbers were packed");
                unpack_f32(&block.probabilities, &mut unpacked_probabilities).expect("whole numbers were packed");
                black_box((block.batches, unpacked_indices.len(), unpacked_probabilities.len()))
            });
        });
    }
    group.finish();
}

criterion_group!(benches, encode);
criterion_main!(benches);
