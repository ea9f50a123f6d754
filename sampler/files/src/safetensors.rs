//! One-dimensional tensors of a safetensors file.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};

use safetensors::Dtype;
use safetensors::tensor::{Metadata, TensorInfo};

use crate::column::{Column, widen_i64, widen_u64};
use crate::{ReadError, SourceFile};

/// Bytes of the number that a file starts with: the length of its header.
const LENGTH_BYTES: usize = size_of::<u64>();
/// Longest header in bytes, as the format's own library has it.
const HEADER_BYTES_MAX: u64 = 100_000_000;

/// Reads one tensor after another. The file is not mapped: it is a user's, who may change it meanwhile.
pub(crate) fn read(file: &SourceFile, rows_max: usize) -> Result<Vec<Column>, ReadError> {
    let mut handle = File::open(&file.path).map_err(|error| file.unreadable(&error))?;
    let (metadata, data_start) = read_header(&mut handle).map_err(|error| file.unreadable(&error))?;
    let mut columns = Vec::new();
    for name in metadata.offset_keys() {
        let tensor = metadata.info(&name).expect("it is the name of a tensor");
        columns.push(column(file, &mut handle, data_start, name, tensor, rows_max)?);
    }
    // The format orders tensors by their place in the file, its writers by type: names make it stable.
    columns.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(columns)
}

/// Reads the header, and returns it with the position where the tensors start.
fn read_header(handle: &mut File) -> io::Result<(Metadata, u64)> {
    let file_bytes = handle.metadata()?.len();
    let mut length = [0; LENGTH_BYTES];
    handle.read_exact(&mut length)?;
    let header_bytes = u64::from_le_bytes(length);
    if header_bytes > HEADER_BYTES_MAX.min(file_bytes) {
        return Err(io::Error::other(format!("its header would have {header_bytes} bytes")));
    }
    let mut header = Vec::new();
    handle.take(header_bytes).read_to_end(&mut header)?;
    // This checks that the tensors follow each other and are as large as their shapes say.
    let metadata: Metadata = serde_json::from_slice(&header)?;
    let data_start = LENGTH_BYTES as u64 + header_bytes;
    let expected = data_start.saturating_add(metadata.data_len() as u64);
    if expected != file_bytes {
        return Err(io::Error::other(format!("it has {file_bytes} bytes, of {expected} that its header states")));
    }
    Ok((metadata, data_start))
}

fn column(
    file: &SourceFile,
    handle: &mut File,
    data_start: u64,
    name: String,
    tensor: &TensorInfo,
    rows_max: usize,
) -> Result<Column, ReadError> {
    let &[rows] = tensor.shape.as_slice() else {
        return Ok(Column::other(name, format!("a tensor of shape {:?}", tensor.shape)));
    };
    file.check_rows(rows, rows_max)?;
    let Some(widen) = widening(tensor.dtype) else {
        return Ok(Column::other(name, format!("of type {:?}", tensor.dtype)));
    };
    let (start, end) = tensor.data_offsets;
    let mut data = vec![0; end - start];
    handle
        .seek(SeekFrom::Start(data_start + start as u64))
        .and_then(|_position| handle.read_exact(&mut data))
        .map_err(|error| file.unreadable(&format!("tensor {name:?}: {error}")))?;
    Ok(Column::numbers(name, widen(&data)))
}

/// Makes numbers of bytes.
type Widening = fn(&[u8]) -> Vec<f64>;

/// Returns what makes numbers of a type's bytes, little-endian, or `None` for a type that is not one of numbers.
fn widening(dtype: Dtype) -> Option<Widening> {
    Some(match dtype {
        Dtype::BOOL => |data| widen(data, |[byte]| f64::from(u8::from(byte != 0))),
        Dtype::U8 => |data| widen(data, |[byte]| f64::from(byte)),
        Dtype::I8 => |data| widen(data, |bytes| f64::from(i8::from_le_bytes(bytes))),
        Dtype::U16 => |data| widen(data, |bytes| f64::from(u16::from_le_bytes(bytes))),
        Dtype::I16 => |data| widen(data, |bytes| f64::from(i16::from_le_bytes(bytes))),
        Dtype::U32 => |data| widen(data, |bytes| f64::from(u32::from_le_bytes(bytes))),
        Dtype::I32 => |data| widen(data, |bytes| f64::from(i32::from_le_bytes(bytes))),
        Dtype::U64 => |data| widen(data, |bytes| widen_u64(u64::from_le_bytes(bytes))),
        Dtype::I64 => |data| widen(data, |bytes| widen_i64(i64::from_le_bytes(bytes))),
        // The upper half of an f32.
        Dtype::BF16 => |data| widen(data, |[low, high]| f64::from(f32::from_le_bytes([0, 0, low, high]))),
        Dtype::F32 => |data| widen(data, |bytes| f64::from(f32::from_le_bytes(bytes))),
        Dtype::F64 => |data| widen(data, f64::from_le_bytes),
        _ => return None,
    })
}

fn widen<const WIDTH: usize>(data: &[u8], number: impl Fn([u8; WIDTH]) -> f64) -> Vec<f64> {
    let (chunks, _) = data.as_chunks::<WIDTH>();
    chunks.iter().map(|&bytes| number(bytes)).collect()
}
