//! One rank's share of a global batch.

use serde::{Serialize, Serializer};

use crate::crop_bank::Crops;
use crate::shared_slice::SharedSlice;

/// One rank's share of a global batch.
#[derive(Debug, Clone, PartialEq)]
pub struct Batch {
    /// Global step.
    pub step: u64,
    /// Epoch of the step.
    pub epoch: u64,
    /// The sampler version that every draw of this batch follows.
    pub version: u64,
    /// Examples of the dataset, one a draw.
    pub indices: Indices,
    /// The probability with which each of them was drawn; empty where they were not asked for.
    pub probabilities: SharedSlice<f32>,
    /// The crops that they are, where the dataset is one of crops.
    pub crops: Option<Box<Crops>>,
}

/// Indices of examples: of 32 bits where all that the dataset may hand out fit, else of 64.
#[derive(Debug, Clone, PartialEq)]
pub enum Indices {
    /// Every index of the dataset is below 2^32.
    U32(SharedSlice<u32>),
    /// A dataset whose rows end beyond that.
    U64(SharedSlice<u64>),
}

impl Indices {
    /// Tells whether a dataset of so many rows, the first of which has index `first_row`, hands out indices of 64 bits.
    #[must_use]
    pub fn are_wide(first_row: u64, dataset_rows: usize) -> bool {
        first_row.saturating_add(dataset_rows as u64) > 1 << 32
    }

    /// Makes indices of rows that were drawn from such a dataset.
    #[must_use]
    pub fn of_rows(mut rows: Vec<u32>, first_row: u64, dataset_rows: usize) -> Self {
        match u32::try_from(first_row) {
            Ok(first_row) if !Self::are_wide(first_row.into(), dataset_rows) => {
                rows.iter_mut().for_each(|row| *row += first_row);
                rows.into()
            }
            _ => rows.into_iter().map(|row| first_row + u64::from(row)).collect::<Vec<u64>>().into(),
        }
    }

    /// Returns how many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::U32(indices) => indices.len(),
            Self::U64(indices) => indices.len(),
        }
    }

    /// Tells whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns one of them.
    ///
    /// # Panics
    /// When there are not as many.
    #[must_use]
    pub fn get(&self, position: usize) -> u64 {
        match self {
            Self::U32(indices) => u64::from(indices[position]),
            Self::U64(indices) => indices[position],
        }
    }

    /// Returns them in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = u64> + '_ {
        (0..self.len()).map(|position| self.get(position))
    }

    /// Returns them where they have 32 bits.
    #[must_use]
    pub fn as_u32(&self) -> Option<&[u32]> {
        match self {
            Self::U32(indices) => Some(indices),
            Self::U64(_) => None,
        }
    }

    /// Returns them where they have 64 bits.
    #[must_use]
    pub fn as_u64(&self) -> Option<&[u64]> {
        match self {
            Self::U32(_) => None,
            Self::U64(indices) => Some(indices),
        }
    }

    /// Copies them, widened where they have 32 bits.
    #[must_use]
    pub fn to_vec(&self) -> Vec<u64> {
        self.iter().collect()
    }
}

impl From<Vec<u32>> for Indices {
    fn from(indices: Vec<u32>) -> Self {
        Self::U32(indices.into())
    }
}

impl From<Vec<u64>> for Indices {
    fn from(indices: Vec<u64>) -> Self {
        Self::U64(indices.into())
    }
}

impl Serialize for Indices {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::U32(indices) => indices.serialize(serializer),
            Self::U64(indices) => indices.serialize(serializer),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn indices_of_either_width_read_the_same() {
        let (narrow, wide) = (Indices::from(vec![7u32, 8]), Indices::from(vec![7u64, 8]));
        for indices in [&narrow, &wide] {
            assert_eq!((indices.len(), indices.get(1), indices.to_vec()), (2, 8, vec![7, 8]));
            assert_eq!(serde_json::to_string(indices).unwrap(), "[7,8]");
        }
        assert_eq!((narrow.as_u32(), narrow.as_u64()), (Some(&[7, 8][..]), None));
        assert_eq!((wide.as_u32(), wide.as_u64()), (None, Some(&[7, 8][..])));
    }
}
