//! Batches, cut out of the columns they travel in.

use std::ops::Range;
use std::sync::Arc;
use std::vec;

use swift_sampler::{Batch, Crops, Indices, SharedSlice};
use swift_sampler_proto::columns::{ColumnError, unpack_f32, unpack_u32, unpack_u64};
use swift_sampler_proto::v1::{self, BatchBlock, BatchHeader, IndexType};

use crate::ClientError;

/// Blocks of a column kept for the next ones to be received into: those on the way to the reader, and a few in its hands.
const BLOCKS_KEPT_MAX: usize = 8;

/// A block that was received and checked; an iterator over its batches, which are ranges of it.
#[derive(Debug)]
pub(crate) struct Block {
    headers: vec::IntoIter<BatchHeader>,
    indices: IndexColumn,
    probabilities: Arc<Vec<f32>>,
    crops: Option<CropColumns>,
    /// Draws of the batches that were cut out.
    taken: usize,
}

#[derive(Debug)]
enum IndexColumn {
    U32(Arc<Vec<u32>>),
    U64(Arc<Vec<u64>>),
}

/// The crops of a block's draws, as `v1::Crops` has them.
#[derive(Debug)]
struct CropColumns {
    /// Image, top, left, height, width.
    integers: [Arc<Vec<u32>>; 5],
    flip: Arc<Vec<u8>>,
}

impl CropColumns {
    fn cut(&self, range: &Range<usize>) -> Crops {
        let cut = |column| SharedSlice::new(column, range.clone());
        let [image, top, left, height, width] = self.integers.each_ref().map(cut);
        Crops { image, top, left, height, width, flip: SharedSlice::new(&self.flip, range.clone()) }
    }
}

impl Block {
    /// Returns how many draws the batches to come have.
    pub(crate) fn draws(&self) -> u64 {
        self.headers.as_slice().iter().map(|header| u64::from(header.draws)).sum()
    }
}

impl Iterator for Block {
    type Item = Batch;

    fn next(&mut self) -> Option<Batch> {
        let BatchHeader { step, epoch, version, draws } = self.headers.next()?;
        let range = self.taken..self.taken + draws as usize;
        self.taken = range.end;
        let indices = match &self.indices {
            IndexColumn::U32(column) => Indices::U32(SharedSlice::new(column, range.clone())),
            IndexColumn::U64(column) => Indices::U64(SharedSlice::new(column, range.clone())),
        };
        let probabilities = match self.probabilities.is_empty() {
            true => SharedSlice::default(),
            false => SharedSlice::new(&self.probabilities, range.clone()),
        };
        let crops = self.crops.as_ref().map(|crops| Box::new(crops.cut(&range)));
        Some(Batch { step, epoch, version, indices, probabilities, crops })
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.headers.size_hint()
    }
}

impl ExactSizeIterator for Block {}

/// Receives blocks, into the memory of those that nobody holds any more.
#[derive(Debug, Default)]
pub(crate) struct Receiver {
    narrow: Kept<u32>,
    wide: Kept<u64>,
    probabilities: Kept<f32>,
    crops: [Kept<u32>; 5],
}

impl Receiver {
    /// Takes a block whose first batch must be step `expected`, the others following without gap.
    pub(crate) fn receive(&mut self, block: BatchBlock, expected: u64) -> Result<Block, ClientError> {
        let index_type = block.index_type();
        let BatchBlock { batches, indices, probabilities, crops, .. } = block;
        let torn =
            |reason: &dyn std::fmt::Display| ClientError::Protocol(format!("a block of batches is torn: {reason}"));
        let (indices, received) = match index_type {
            IndexType::Unspecified | IndexType::U32 => {
                let column = self.narrow.fill(&indices, unpack_u32).map_err(|error| torn(&error))?;
                let received = column.len();
                (IndexColumn::U32(column), received)
            }
            IndexType::U64 => {
                let column = self.wide.fill(&indices, unpack_u64).map_err(|error| torn(&error))?;
                let received = column.len();
                (IndexColumn::U64(column), received)
            }
        };
        let probabilities = self.probabilities.fill(&probabilities, unpack_f32).map_err(|error| torn(&error))?;
        let draws: usize = batches.iter().map(|header| header.draws as usize).sum();
        if received != draws || (!probabilities.is_empty() && probabilities.len() != draws) {
            let probabilities = probabilities.len();
            let reason = format!("{draws} draws announced, {received} indices and {probabilities} probabilities sent");
            return Err(torn(&reason));
        }
        let crops = crops.map(|crops| self.receive_crops(crops, draws)).transpose()?;
        for (header, expected) in batches.iter().zip(expected..) {
            if header.step != expected {
                return Err(ClientError::OutOfOrder { expected, received: header.step });
            }
        }
        Ok(Block { headers: batches.into_iter(), indices, probabilities, crops, taken: 0 })
    }

    fn receive_crops(&mut self, crops: v1::Crops, draws: usize) -> Result<CropColumns, ClientError> {
        let torn = |reason: String| ClientError::Protocol(format!("a block of crops is torn: {reason}"));
        let v1::Crops { image, top, left, height, width, flip } = crops;
        let mut integers: [Arc<Vec<u32>>; 5] = Default::default();
        for ((column, kept), bytes) in integers.iter_mut().zip(&mut self.crops).zip([image, top, left, height, width]) {
            *column = kept.fill(&bytes, unpack_u32).map_err(|error| torn(error.to_string()))?;
        }
        if integers.iter().any(|column| column.len() != draws) || flip.len() != draws {
            let lengths = integers.map(|column| column.len());
            return Err(torn(format!("{draws} draws announced, columns of {lengths:?} and {} sent", flip.len())));
        }
        Ok(CropColumns { integers, flip: Arc::new(flip.into()) })
    }
}

/// The last few blocks of a column.
#[derive(Debug)]
struct Kept<T>(Vec<Arc<Vec<T>>>);

impl<T> Default for Kept<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T> Kept<T> {
    /// Unpacks a column into a block that nobody else holds: numbers have to be aligned, which bytes that were received
    /// are not.
    fn fill(
        &mut self,
        column: &[u8],
        unpack: fn(&[u8], &mut Vec<T>) -> Result<(), ColumnError>,
    ) -> Result<Arc<Vec<T>>, ColumnError> {
        if column.is_empty() {
            return Ok(Arc::default());
        }
        if let Some(block) = self.0.iter_mut().find(|block| Arc::strong_count(block) == 1)
            && let Some(values) = Arc::get_mut(block)
        {
            unpack(column, values)?;
            return Ok(Arc::clone(block));
        }
        let mut values = Vec::new();
        unpack(column, &mut values)?;
        let block = Arc::new(values);
        if self.0.len() < BLOCKS_KEPT_MAX {
            self.0.push(Arc::clone(&block));
        }
        Ok(block)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use swift_sampler_proto::columns::{pack_f32, pack_u32};

    fn block(steps: &[u64], indices: &[u32], probabilities: &[f32]) -> BatchBlock {
        let header = |&step: &u64| BatchHeader { step, epoch: 0, version: 1, draws: 2 };
        BatchBlock {
            batches: steps.iter().map(header).collect(),
            index_type: IndexType::U32.into(),
            indices: pack_u32(indices),
            probabilities: pack_f32(probabilities),
            crops: None,
        }
    }

    fn receive(block: BatchBlock, expected: u64) -> Result<Vec<Batch>, ClientError> {
        Receiver::default().receive(block, expected).map(Iterator::collect)
    }

    #[test]
    fn columns_are_cut_into_batches() {
        let batches = receive(block(&[7, 8], &[1, 2, 3, 4], &[0.5, 0.25, 0.125, 0.125]), 7).unwrap();
        assert_eq!(batches[1].indices.to_vec(), [3, 4]);
        assert_eq!(batches[0].probabilities, [0.5, 0.25]);
        assert!(receive(block(&[7], &[1, 2], &[]), 7).unwrap()[0].probabilities.is_empty());
    }

    #[test]
    fn crops_are_cut_into_batches_and_as_many_as_draws() {
        let crops = |draws: u32| v1::Crops {
            image: pack_u32(&(0..draws).collect::<Vec<_>>()),
            top: pack_u32(&vec![1; draws as usize]),
            left: pack_u32(&vec![2; draws as usize]),
            height: pack_u32(&vec![3; draws as usize]),
            width: pack_u32(&vec![4; draws as usize]),
            flip: (0..draws).map(|draw| u8::from(draw % 2 == 1)).collect::<Vec<_>>().into(),
        };
        let of_crops = |draws| BatchBlock { crops: Some(crops(draws)), ..block(&[7, 8], &[1, 2, 3, 4], &[]) };
        let batches = receive(of_crops(4), 7).unwrap();
        let second = batches[1].crops.as_ref().unwrap();
        assert_eq!((second.image.to_vec(), second.width.to_vec()), (vec![2, 3], vec![4, 4]));
        assert_eq!(second.flip, [0, 1]);
        assert!(receive(block(&[7], &[1, 2], &[]), 7).unwrap()[0].crops.is_none());
        for draws in [3, 5] {
            assert!(matches!(receive(of_crops(draws), 7), Err(ClientError::Protocol(_))));
        }
    }

    #[test]
    fn wide_indices_stay_wide() {
        let wide = [1u64 << 33, 5].iter().flat_map(|index| index.to_le_bytes()).collect::<Vec<_>>();
        let block = BatchBlock { index_type: IndexType::U64.into(), indices: wide.into(), ..block(&[0], &[], &[]) };
        assert_eq!(receive(block, 0).unwrap()[0].indices, Indices::from(vec![1u64 << 33, 5]));
    }

    #[test]
    fn memory_is_used_again_once_nobody_holds_it_and_never_before() {
        let mut receiver = Receiver::default();
        let mut read = |indices: &[u32]| receiver.receive(block(&[0], indices, &[]), 0).unwrap().next().unwrap();
        let address = |batch: &Batch| batch.indices.as_u32().unwrap().as_ptr();
        let held = read(&[1, 2]);
        let other = read(&[3, 4]);
        assert_eq!((held.indices.to_vec(), other.indices.to_vec()), (vec![1, 2], vec![3, 4]));
        let freed = address(&held);
        drop(held);
        assert_eq!(address(&read(&[5, 6])), freed);
        assert_eq!(other.indices.to_vec(), [3, 4]);
        let many: Vec<Batch> = (0..20).map(|value| read(&[value, value])).collect();
        assert!(many.iter().zip(0..).all(|(batch, value)| batch.indices.to_vec() == [value, value]));
    }

    #[test]
    fn a_gap_or_a_repeated_step_names_both_steps() {
        for (steps, received) in [([7, 9], 9), ([7, 7], 7), ([6, 7], 6)] {
            let error = receive(block(&steps, &[1, 2, 3, 4], &[]), 7).unwrap_err();
            assert!(matches!(error, ClientError::OutOfOrder { received: r, .. } if r == received), "{error}");
        }
    }

    #[test]
    fn columns_of_another_length_are_refused() {
        assert!(matches!(receive(block(&[0], &[1], &[]), 0), Err(ClientError::Protocol(_))));
        assert!(matches!(receive(block(&[0], &[1, 2], &[1.0]), 0), Err(ClientError::Protocol(_))));
    }
}
