//! Batches, unpacked from the columns they travel in.

use swift_sampler::Batch;
use swift_sampler_proto::columns::{unpack_f32, unpack_u32, unpack_u64};
use swift_sampler_proto::v1::{BatchBlock, IndexType};

use crate::ClientError;

/// Unpacks a block whose first batch must be step `expected`, the others following without gap.
pub(crate) fn unpack(block: &BatchBlock, mut expected: u64) -> Result<Vec<Batch>, ClientError> {
    let torn = |error: &dyn std::fmt::Display| ClientError::Protocol(format!("a block of batches is torn: {error}"));
    let draws: usize = block.batches.iter().map(|header| header.draws as usize).sum();
    let mut indices = indices(block)?.into_iter();
    let mut probabilities = unpack_f32(&block.probabilities).map_err(|error| torn(&error))?.into_iter();
    let with_probabilities = probabilities.len() > 0;
    if indices.len() != draws || (with_probabilities && probabilities.len() != draws) {
        let (indices, probabilities) = (indices.len(), probabilities.len());
        let message = format!("{draws} draws announced, {indices} indices and {probabilities} probabilities sent");
        return Err(torn(&message));
    }
    let mut batches = Vec::with_capacity(block.batches.len());
    for header in &block.batches {
        if header.step != expected {
            return Err(ClientError::OutOfOrder { expected, received: header.step });
        }
        expected += 1;
        let draws = header.draws as usize;
        batches.push(Batch {
            step: header.step,
            epoch: header.epoch,
            version: header.version,
            indices: indices.by_ref().take(draws).collect(),
            probabilities: probabilities.by_ref().take(draws).collect(),
        });
    }
    Ok(batches)
}

fn indices(block: &BatchBlock) -> Result<Vec<u32>, ClientError> {
    let torn = |error| ClientError::Protocol(format!("a column of indices is torn: {error}"));
    match block.index_type() {
        IndexType::Unspecified | IndexType::U32 => unpack_u32(&block.indices).map_err(torn),
        IndexType::U64 => unpack_u64(&block.indices)
            .map_err(torn)?
            .into_iter()
            .map(|index| {
                let too_large = |_| ClientError::Protocol(format!("index {index} does not fit 32 bits"));
                u32::try_from(index).map_err(too_large)
            })
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use swift_sampler_proto::columns::{pack_f32, pack_u32};
    use swift_sampler_proto::v1::BatchHeader;

    fn block(steps: &[u64], indices: &[u32], probabilities: &[f32]) -> BatchBlock {
        let header = |&step: &u64| BatchHeader { step, epoch: 0, version: 1, draws: 2 };
        BatchBlock {
            batches: steps.iter().map(header).collect(),
            index_type: IndexType::U32.into(),
            indices: pack_u32(indices),
            probabilities: pack_f32(probabilities),
        }
    }

    #[test]
    fn columns_are_cut_into_batches() {
        let batches = unpack(&block(&[7, 8], &[1, 2, 3, 4], &[0.5, 0.25, 0.125, 0.125]), 7).unwrap();
        assert_eq!(batches[1].indices, [3, 4]);
        assert_eq!(batches[0].probabilities, [0.5, 0.25]);
        assert!(unpack(&block(&[7], &[1, 2], &[]), 7).unwrap()[0].probabilities.is_empty());
    }

    #[test]
    fn a_gap_or_a_repeated_step_names_both_steps() {
        for (steps, received) in [([7, 9], 9), ([7, 7], 7), ([6, 7], 6)] {
            let error = unpack(&block(&steps, &[1, 2, 3, 4], &[]), 7).unwrap_err();
            assert!(matches!(error, ClientError::OutOfOrder { received: r, .. } if r == received), "{error}");
        }
    }

    #[test]
    fn columns_of_another_length_are_refused() {
        assert!(matches!(unpack(&block(&[0], &[1], &[]), 0), Err(ClientError::Protocol(_))));
        assert!(matches!(unpack(&block(&[0], &[1, 2], &[1.0]), 0), Err(ClientError::Protocol(_))));
    }
}
