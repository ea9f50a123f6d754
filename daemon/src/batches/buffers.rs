//! Memory of columns, used again and again.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;

/// Buffers of one type kept while nobody uses them.
const BUFFERS_KEPT_MAX: usize = 64;
/// Largest buffer kept, in bytes; those of unary answers may be larger, and are rare.
const BUFFER_BYTES_MAX: usize = 512 << 10;

/// The buffers of a daemon's blocks.
#[derive(Debug, Default)]
pub struct Buffers {
    /// Of indices of 32 bits.
    pub(super) narrow: Pool<u32>,
    /// Of probabilities.
    pub(super) probabilities: Pool<f32>,
}

/// Buffers of one type.
#[derive(Debug)]
pub(super) struct Pool<T>(Arc<Mutex<Vec<Vec<T>>>>);

impl<T> Default for Pool<T> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<T: bytemuck::NoUninit + Default + Send + 'static> Pool<T> {
    /// Returns a buffer of so many values, which are anything.
    pub(super) fn take(&self, len: usize) -> Vec<T> {
        let mut buffer = self.0.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_default();
        buffer.resize(len, T::default());
        buffer
    }

    /// Makes a column of a buffer, as it goes on the wire: without a copy, as the machine is little-endian as the wire is.
    /// The buffer comes back when the column was sent.
    pub(super) fn pack(&self, values: Vec<T>) -> Bytes {
        Bytes::from_owner(Packed { values, pool: Some(Arc::clone(&self.0)) })
    }
}

/// Packs values that no pool is kept for.
pub(super) fn pack_once<T: bytemuck::NoUninit + Send + 'static>(values: Vec<T>) -> Bytes {
    Bytes::from_owner(Packed { values, pool: None })
}

struct Packed<T> {
    values: Vec<T>,
    pool: Option<Arc<Mutex<Vec<Vec<T>>>>>,
}

impl<T: bytemuck::NoUninit> AsRef<[u8]> for Packed<T> {
    fn as_ref(&self) -> &[u8] {
        bytemuck::cast_slice(&self.values)
    }
}

impl<T> Drop for Packed<T> {
    fn drop(&mut self) {
        let Some(pool) = &self.pool else { return };
        if self.values.capacity() * size_of::<T>() <= BUFFER_BYTES_MAX {
            let mut kept = pool.lock().unwrap_or_else(PoisonError::into_inner);
            if kept.len() < BUFFERS_KEPT_MAX {
                kept.push(std::mem::take(&mut self.values));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_comes_back_when_its_column_was_sent() {
        let pool = Pool::<u32>::default();
        let mut buffer = pool.take(2);
        buffer.copy_from_slice(&[1, 2]);
        let address = buffer.as_ptr();
        let column = pool.pack(buffer);
        assert_eq!(&column[..], [1, 0, 0, 0, 2, 0, 0, 0]);
        let other = pool.take(2);
        assert_ne!(other.as_ptr(), address, "it is being sent");
        drop(column);
        let again = pool.take(1);
        assert_eq!((again.as_ptr(), again.len()), (address, 1));
    }
}
