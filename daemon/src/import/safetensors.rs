//! One-dimensional tensors of a safetensors file.

use std::fs::File;

use memmap2::Mmap;
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};

use super::column::{widen_i64, widen_u64};
use super::{Column, ImportError, SourceFile};

pub(super) fn read(file: &SourceFile, rows_max: usize) -> Result<Vec<Column>, ImportError> {
    let handle = File::open(&file.path).map_err(|error| file.unreadable(&error))?;
    #[allow(unsafe_code, reason = "the import's own copy, which nobody else writes")]
    // SAFETY: the file is the daemon's spooled copy in its data directory; it is not changed while mapped.
    let map = unsafe { Mmap::map(&handle) }.map_err(|error| file.unreadable(&error))?;
    let tensors = SafeTensors::deserialize(&map).map_err(|error| file.unreadable(&error))?;
    let mut columns = Vec::new();
    for (name, tensor) in tensors.tensors() {
        columns.push(column(file, name, &tensor, rows_max)?);
    }
    // The format orders tensors by their place in the file, the parser by hash: names make it stable.
    columns.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(columns)
}

fn column(file: &SourceFile, name: String, tensor: &TensorView<'_>, rows_max: usize) -> Result<Column, ImportError> {
    let &[rows] = tensor.shape() else {
        return Ok(Column::other(name, format!("a tensor of shape {:?}", tensor.shape())));
    };
    file.check_rows(rows, rows_max)?;
    let data = tensor.data();
    let values = match tensor.dtype() {
        Dtype::BOOL => widen(data, |[byte]| f64::from(u8::from(byte != 0))),
        Dtype::U8 => widen(data, |[byte]| f64::from(byte)),
        Dtype::I8 => widen(data, |bytes| f64::from(i8::from_le_bytes(bytes))),
        Dtype::U16 => widen(data, |bytes| f64::from(u16::from_le_bytes(bytes))),
        Dtype::I16 => widen(data, |bytes| f64::from(i16::from_le_bytes(bytes))),
        Dtype::U32 => widen(data, |bytes| f64::from(u32::from_le_bytes(bytes))),
        Dtype::I32 => widen(data, |bytes| f64::from(i32::from_le_bytes(bytes))),
        Dtype::U64 => widen(data, |bytes| widen_u64(u64::from_le_bytes(bytes))),
        Dtype::I64 => widen(data, |bytes| widen_i64(i64::from_le_bytes(bytes))),
        // The upper half of an f32.
        Dtype::BF16 => widen(data, |[low, high]| f64::from(f32::from_le_bytes([0, 0, low, high]))),
        Dtype::F32 => widen(data, |bytes| f64::from(f32::from_le_bytes(bytes))),
        Dtype::F64 => widen(data, f64::from_le_bytes),
        other => return Ok(Column::other(name, format!("of type {other:?}"))),
    };
    Ok(Column::numbers(name, values))
}

fn widen<const WIDTH: usize>(data: &[u8], number: impl Fn([u8; WIDTH]) -> f64) -> Vec<f64> {
    let (chunks, _) = data.as_chunks::<WIDTH>();
    chunks.iter().map(|&bytes| number(bytes)).collect()
}
