//! Numbers in a mapped file, read in place.

use std::fs::File;
use std::marker::PhantomData;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use bytemuck::AnyBitPattern;
use memmap2::Mmap;
use safetensors::{Dtype, SafeTensors};
use sha2::{Digest, Sha256};

use super::hexadecimal;

/// A mapped safetensors file.
pub(super) struct MappedFile {
    map: Arc<Mmap>,
}

impl MappedFile {
    /// Maps a file; a sentence says why it cannot be. What is not touched takes no memory.
    pub(super) fn open(path: &Path) -> Result<Self, String> {
        let file = File::open(path).map_err(|error| error.to_string())?;
        #[allow(unsafe_code, reason = "mapping is what keeps large datasets out of memory")]
        // SAFETY: the file is the daemon's own and never changed once moved to its place; the data directory is locked
        // against other daemons.
        let map = unsafe { Mmap::map(&file) }.map_err(|error| error.to_string())?;
        Ok(Self { map: Arc::new(map) })
    }

    /// Returns the SHA-256 of what comes before a tensor, hexadecimal.
    pub(super) fn sha256_before<T>(&self, tensor: &Mapped<T>) -> String {
        hexadecimal(&Sha256::digest(&self.map[..tensor.range.start]))
    }

    /// Returns the tensor of this name and type, in place.
    pub(super) fn tensor<T: Number>(&self, name: &str) -> Result<Mapped<T>, String> {
        let tensors = SafeTensors::deserialize(&self.map).map_err(|error| error.to_string())?;
        let tensor = tensors.tensor(name).map_err(|error| error.to_string())?;
        let start = tensor.data().as_ptr() as usize - self.map.as_ptr() as usize;
        let range = start..start + tensor.data().len();
        let mapped = (tensor.dtype() == T::DTYPE).then(|| Mapped::new(&self.map, range)).flatten();
        mapped.ok_or_else(|| format!("tensor {name:?} is not of type {:?}", T::DTYPE))
    }
}

/// A number as safetensors stores it.
pub(super) trait Number: AnyBitPattern + bytemuck::NoUninit + Send + Sync {
    /// Its type.
    const DTYPE: Dtype;
}

impl Number for f64 {
    const DTYPE: Dtype = Dtype::F64;
}

impl Number for u32 {
    const DTYPE: Dtype = Dtype::U32;
}

/// A tensor in a mapped file.
pub(super) struct Mapped<T> {
    map: Arc<Mmap>,
    range: Range<usize>,
    of: PhantomData<T>,
}

impl<T: Number> Mapped<T> {
    /// Returns `None` where the bytes cannot be read in place as such numbers.
    fn new(map: &Arc<Mmap>, range: Range<usize>) -> Option<Self> {
        bytemuck::try_cast_slice::<u8, T>(map.get(range.clone())?).ok()?;
        Some(Self { map: Arc::clone(map), range, of: PhantomData })
    }
}

impl<T: Number> AsRef<[T]> for Mapped<T> {
    fn as_ref(&self) -> &[T] {
        bytemuck::cast_slice(&self.map[self.range.clone()])
    }
}
