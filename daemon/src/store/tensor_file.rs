//! A safetensors file that is written and read piece by piece, so that no tensor need be in memory.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use safetensors::Dtype;
use safetensors::tensor::{Metadata, TensorInfo};
use sha2::{Digest, Sha256};

use super::mapped::Number;
use super::progress::Progress;
use super::{StoreError, hexadecimal, io_error};

/// Bytes of the number that a file starts with: the length of its header.
const LENGTH_BYTES: usize = 8;
/// What tensors are aligned to within a file.
const ALIGNMENT: usize = 8;
/// Bytes read at once.
const BLOCK_BYTES: usize = 1 << 20;

/// Longest header in bytes, as the format's own library has it.
const HEADER_BYTES_MAX: u64 = 100_000_000;

/// A tensor that a file is to have: its name, its type and its length.
pub(super) type TensorSpec = (String, Dtype, usize);

/// A safetensors file of one-dimensional tensors.
#[derive(Debug)]
pub(super) struct TensorFile {
    file: File,
    path: PathBuf,
    places: Vec<Place>,
}

/// Where a tensor lies in a file.
#[derive(Debug)]
struct Place {
    name: String,
    dtype: Dtype,
    start: u64,
    len: usize,
}

impl TensorFile {
    /// Creates a file with tensors in this order, of zeros until they are written. Wider types come before narrower ones,
    /// so that all are aligned.
    pub(super) fn create(path: &Path, tensors: &[TensorSpec]) -> Result<Self, StoreError> {
        let create = || {
            let mut end = 0;
            let info = |(name, dtype, len): &TensorSpec| {
                let start = end;
                end += len * dtype.bitsize() / 8;
                (name.clone(), TensorInfo { dtype: *dtype, shape: vec![*len], data_offsets: (start, end) })
            };
            let metadata = Metadata::new(None, tensors.iter().map(info).collect()).map_err(io::Error::other)?;
            let mut header = serde_json::to_vec(&metadata)?;
            header.resize(header.len().next_multiple_of(ALIGNMENT), b' ');
            let data_start = (LENGTH_BYTES + header.len()) as u64;
            let file = File::options().create_new(true).read(true).write(true).open(path)?;
            file.write_all_at(&(header.len() as u64).to_le_bytes(), 0)?;
            file.write_all_at(&header, LENGTH_BYTES as u64)?;
            file.set_len(data_start + end as u64)?;
            Ok(Self::with_metadata(file, path, &metadata, data_start))
        };
        create().map_err(io_error(path))
    }

    /// Opens a file for reading, and checks that its header describes all of it.
    pub(super) fn open(path: &Path) -> Result<Self, String> {
        let open = || {
            let file = File::open(path)?;
            let mut length = [0; LENGTH_BYTES];
            file.read_exact_at(&mut length, 0)?;
            let (header_bytes, file_bytes) = (u64::from_le_bytes(length), file.metadata()?.len());
            if header_bytes > HEADER_BYTES_MAX.min(file_bytes) {
                return Err(io::Error::other(format!("its header would have {header_bytes} bytes")));
            }
            let mut header = vec![0; usize::try_from(header_bytes).map_err(io::Error::other)?];
            file.read_exact_at(&mut header, LENGTH_BYTES as u64)?;
            let metadata: Metadata = serde_json::from_slice(&header)?;
            let data_start = LENGTH_BYTES as u64 + header_bytes;
            let expected = data_start.saturating_add(metadata.data_len() as u64);
            if file_bytes != expected {
                return Err(io::Error::other(format!(
                    "it has {file_bytes} bytes, of {expected} that its header states"
                )));
            }
            Ok(Self::with_metadata(file, path, &metadata, data_start))
        };
        open().map_err(|error| error.to_string())
    }

    fn with_metadata(file: File, path: &Path, metadata: &Metadata, data_start: u64) -> Self {
        let place = |name: String| {
            let info = metadata.info(&name)?;
            let &[len] = info.shape.as_slice() else { return None };
            Some(Place { dtype: info.dtype, start: data_start + info.data_offsets.0 as u64, len, name })
        };
        let places = metadata.offset_keys().into_iter().filter_map(place).collect();
        Self { file, path: path.to_owned(), places }
    }

    /// Returns the number of the tensor of this name and type.
    pub(super) fn tensor<T: Number>(&self, name: &str) -> Result<usize, String> {
        let position = self.places.iter().position(|place| place.name == name);
        let position = position.ok_or_else(|| format!("there is no tensor {name:?}"))?;
        if self.places[position].dtype != T::DTYPE {
            return Err(format!("tensor {name:?} is not of type {:?}", T::DTYPE));
        }
        Ok(position)
    }

    /// Returns a tensor's length.
    pub(super) fn len_of(&self, tensor: usize) -> usize {
        self.places[tensor].len
    }

    /// Returns the path.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Returns where a tensor's value lies in the file, in bytes.
    pub(super) fn position<T: Number>(&self, tensor: usize, value: usize) -> u64 {
        self.place::<T>(tensor, value, 0)
    }

    /// Writes values of a tensor from position `first` on.
    pub(super) fn write<T: Number>(&self, tensor: usize, first: usize, values: &[T]) -> Result<(), StoreError> {
        let at = self.place::<T>(tensor, first, values.len());
        self.file.write_all_at(bytemuck::cast_slice(values), at).map_err(io_error(&self.path))
    }

    /// Passes a tensor's values from `first` to `end` to `each`, block by block with the position of the first.
    pub(super) fn scan<T: Number>(
        &self,
        tensor: usize,
        (first, end): (usize, usize),
        progress: &Progress,
        mut each: impl FnMut(usize, &[T]),
    ) -> Result<(), StoreError> {
        let mut block = vec![T::zeroed(); (BLOCK_BYTES / size_of::<T>()).min(end - first)];
        let mut position = first;
        while position < end {
            progress.check()?;
            let values = &mut block[..(BLOCK_BYTES / size_of::<T>()).min(end - position)];
            self.read(tensor, position, values)?;
            each(position, values);
            position += values.len();
            progress.advance(values.len());
        }
        Ok(())
    }

    /// Reads values of a tensor from position `first` on.
    pub(super) fn read<T: Number>(&self, tensor: usize, first: usize, values: &mut [T]) -> Result<(), StoreError> {
        let at = self.place::<T>(tensor, first, values.len());
        self.file.read_exact_at(bytemuck::cast_slice_mut(values), at).map_err(io_error(&self.path))
    }

    /// Begins to write to disk what was written so far, and waits for it.
    pub(super) fn sync(&self) -> Result<(), StoreError> {
        self.file.sync_data().map_err(io_error(&self.path))
    }

    /// Returns the SHA-256 of one tensor of f64, hexadecimal, and passes its values to `look`.
    pub(super) fn sha256(
        &self,
        tensor: usize,
        progress: &Progress,
        mut look: impl FnMut(usize, &[f64]),
    ) -> Result<String, StoreError> {
        let mut hasher = Sha256::new();
        self.scan::<f64>(tensor, (0, self.len_of(tensor)), progress, |first, values| {
            hasher.update(bytemuck::cast_slice(values));
            look(first, values);
        })?;
        Ok(hexadecimal(&hasher.finalize()))
    }

    /// Returns the SHA-256 of the file up to the tensor's first byte, and that of all of it, hexadecimal.
    pub(super) fn sha256_split(&self, tensor: usize, progress: &Progress) -> Result<(String, String), StoreError> {
        let mut hasher = Sha256::new();
        self.hash_range(&mut hasher, 0, self.places[tensor].start, progress)?;
        let first = hexadecimal(&hasher.clone().finalize());
        let end = self.file.metadata().map_err(io_error(&self.path))?.len();
        self.hash_range(&mut hasher, self.places[tensor].start, end, progress)?;
        Ok((first, hexadecimal(&hasher.finalize())))
    }

    fn hash_range(&self, hasher: &mut Sha256, start: u64, end: u64, progress: &Progress) -> Result<(), StoreError> {
        let mut block = vec![0; BLOCK_BYTES];
        let mut at = start;
        while at < end {
            progress.check()?;
            let length = usize::try_from(end - at).map_or(BLOCK_BYTES, |left| left.min(BLOCK_BYTES));
            self.file.read_exact_at(&mut block[..length], at).map_err(io_error(&self.path))?;
            hasher.update(&block[..length]);
            at += length as u64;
        }
        Ok(())
    }

    fn place<T: Number>(&self, tensor: usize, first: usize, count: usize) -> u64 {
        let &Place { start, len, dtype, .. } = &self.places[tensor];
        assert!(dtype == T::DTYPE && first + count <= len, "{count} values from {first} on of a tensor of {len}");
        start + (first * size_of::<T>()) as u64
    }
}
