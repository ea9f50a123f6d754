//! A range of a block of values that several owners share.

use std::fmt;
use std::ops::{Deref, Range};
use std::sync::Arc;

use serde::{Serialize, Serializer};

/// A range of a block of values that several owners share: cutting a block into batches copies nothing.
///
/// The whole block lives as long as any range of it. Cloning is cheap.
#[derive(Clone)]
pub struct SharedSlice<T> {
    block: Arc<Vec<T>>,
    range: Range<usize>,
}

impl<T> SharedSlice<T> {
    /// Takes a range of a block.
    ///
    /// # Panics
    /// When the block ends before the range does.
    #[must_use]
    pub fn new(block: &Arc<Vec<T>>, range: Range<usize>) -> Self {
        assert!(range.start <= range.end && range.end <= block.len(), "{range:?} of a block of {}", block.len());
        Self { block: Arc::clone(block), range }
    }

    /// Returns the values, without a copy where nobody shares the block and the range is all of it.
    #[must_use]
    pub fn into_vec(self) -> Vec<T>
    where
        T: Clone,
    {
        if self.range == (0..self.block.len()) {
            Arc::try_unwrap(self.block).unwrap_or_else(|shared| Vec::clone(&shared))
        } else {
            self.to_vec()
        }
    }
}

impl<T> Default for SharedSlice<T> {
    fn default() -> Self {
        Self { block: Arc::default(), range: 0..0 }
    }
}

impl<T> From<Vec<T>> for SharedSlice<T> {
    fn from(block: Vec<T>) -> Self {
        let range = 0..block.len();
        Self { block: Arc::new(block), range }
    }
}

impl<T> Deref for SharedSlice<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.block[self.range.clone()]
    }
}

impl<T: fmt::Debug> fmt::Debug for SharedSlice<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(formatter)
    }
}

impl<T: PartialEq> PartialEq for SharedSlice<T> {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl<T: PartialEq, S: AsRef<[T]>> PartialEq<S> for SharedSlice<T> {
    fn eq(&self, other: &S) -> bool {
        **self == *other.as_ref()
    }
}

impl<T: Serialize> Serialize for SharedSlice<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        (**self).serialize(serializer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_of_one_block_share_it_and_a_whole_block_is_given_back() {
        let block = Arc::new(vec![1, 2, 3, 4]);
        let (first, second) = (SharedSlice::new(&block, 0..2), SharedSlice::new(&block, 2..4));
        assert_eq!((&first[..], &second[..]), (&[1, 2][..], &[3, 4][..]));
        assert!(std::ptr::eq(&raw const first[1], &raw const block[1]));
        assert_eq!(second.into_vec(), [3, 4]);
        let whole = vec![5, 6];
        let address = whole.as_ptr();
        let given_back = SharedSlice::from(whole).into_vec();
        assert_eq!(given_back.as_ptr(), address);
    }
}
