//! One-dimensional tensors of a safetensors file.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::ops::ControlFlow;

use safetensors::Dtype;
use safetensors::tensor::{Metadata, TensorInfo};

use crate::column::{BLOCK_ROWS, Blocks, Column, Emit, Kind, widen_i64, widen_u64};
use crate::limits::SAFETENSORS_HEADER_BYTES_MAX;
use crate::part::{Fault, Part};
use crate::{ReadError, SourceFile};

/// Bytes of the number that a file starts with: the length of its header.
const LENGTH_BYTES: usize = size_of::<u64>();

/// Where the tensors lie in a file.
#[derive(Debug)]
pub(crate) struct Layout {
    metadata: Metadata,
    /// Position where the tensors start.
    data_start: u64,
}

/// Reads the header.
pub(crate) fn describe(file: &SourceFile, rows_max: usize) -> Result<(Vec<Column>, Layout), ReadError> {
    let mut handle = File::open(&file.path).map_err(|error| file.unreadable(&error))?;
    let layout = Layout::read_header(&mut handle).map_err(|error| file.unreadable(&error))?;
    let mut names = layout.metadata.offset_keys();
    // The format orders tensors by their place in the file, its writers by type: names make it stable.
    names.sort_unstable();
    let column = |name: String| {
        let kind = match layout.tensor(&name) {
            TensorInfo { shape, dtype, .. } if shape.len() == 1 => {
                file.check_rows(shape[0], rows_max)?;
                match widening(*dtype) {
                    Some(_) => Kind::Numbers { rows: shape[0] },
                    None => Kind::Other(format!("of type {dtype:?}")),
                }
            }
            TensorInfo { shape, .. } => Kind::Other(format!("a tensor of shape {shape:?}")),
        };
        Ok(Column { name, kind })
    };
    let columns = names.into_iter().map(column).collect::<Result<_, ReadError>>()?;
    Ok((columns, layout))
}

impl Layout {
    fn read_header(handle: &mut File) -> io::Result<Self> {
        let file_bytes = handle.metadata()?.len();
        let mut length = [0; LENGTH_BYTES];
        handle.read_exact(&mut length)?;
        let header_bytes = u64::from_le_bytes(length);
        if header_bytes > file_bytes {
            return Err(io::Error::other(format!("its header would have {header_bytes} bytes, it has {file_bytes}")));
        }
        if header_bytes > SAFETENSORS_HEADER_BYTES_MAX {
            let reason = format!("its header has {header_bytes} bytes, of at most {SAFETENSORS_HEADER_BYTES_MAX}");
            return Err(io::Error::other(reason));
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
        Ok(Self { metadata, data_start })
    }

    fn tensor(&self, name: &str) -> &TensorInfo {
        self.metadata.info(name).expect("it is the name of a tensor")
    }

    /// Reads one tensor. The file is not mapped: it may be a user's, who may change it meanwhile.
    pub(crate) fn read(
        &self,
        file: &SourceFile,
        columns: &[Column],
        part: Part,
        emit: &mut Emit<'_>,
    ) -> Result<(), Fault> {
        let name = &columns[part.column].name;
        let mut blocks = Blocks::new(part.column, part.row, emit);
        self.read_tensor(file, name, &mut blocks).map_err(|error| Fault {
            row: blocks.next_row(),
            column: part.column,
            error: file.unreadable(&format!("tensor {name:?}: {error}")),
        })
    }

    fn read_tensor(&self, file: &SourceFile, name: &str, blocks: &mut Blocks<'_, '_>) -> io::Result<()> {
        let TensorInfo { dtype, data_offsets: (start, end), .. } = *self.tensor(name);
        let widen = widening(dtype).ok_or_else(|| io::Error::other("it holds no numbers"))?;
        let mut handle = File::open(&file.path)?;
        handle.seek(SeekFrom::Start(self.data_start + start as u64))?;
        let mut data = vec![0; BLOCK_ROWS * size_of::<u64>()];
        let mut left = end - start;
        while left > 0 {
            // Whole numbers, whatever their width: it is a power of two.
            let length = left.min(data.len());
            handle.read_exact(&mut data[..length])?;
            if widen(&data[..length], blocks).is_break() {
                return Ok(());
            }
            left -= length;
        }
        blocks.finish();
        Ok(())
    }
}

/// Makes numbers of bytes.
type Widening = fn(&[u8], &mut Blocks<'_, '_>) -> ControlFlow<()>;

/// Returns what makes numbers of a type's bytes, little-endian, or `None` for a type that is not one of numbers.
fn widening(dtype: Dtype) -> Option<Widening> {
    Some(match dtype {
        Dtype::BOOL => |data, blocks| widen(data, blocks, |[byte]| f64::from(u8::from(byte != 0))),
        Dtype::U8 => |data, blocks| widen(data, blocks, |[byte]| f64::from(byte)),
        Dtype::I8 => |data, blocks| widen(data, blocks, |bytes| f64::from(i8::from_le_bytes(bytes))),
        Dtype::U16 => |data, blocks| widen(data, blocks, |bytes| f64::from(u16::from_le_bytes(bytes))),
        Dtype::I16 => |data, blocks| widen(data, blocks, |bytes| f64::from(i16::from_le_bytes(bytes))),
        Dtype::U32 => |data, blocks| widen(data, blocks, |bytes| f64::from(u32::from_le_bytes(bytes))),
        Dtype::I32 => |data, blocks| widen(data, blocks, |bytes| f64::from(i32::from_le_bytes(bytes))),
        Dtype::U64 => |data, blocks| widen(data, blocks, |bytes| widen_u64(u64::from_le_bytes(bytes))),
        Dtype::I64 => |data, blocks| widen(data, blocks, |bytes| widen_i64(i64::from_le_bytes(bytes))),
        // The upper half of an f32.
        Dtype::BF16 => {
            |data, blocks| widen(data, blocks, |[low, high]| f64::from(f32::from_le_bytes([0, 0, low, high])))
        }
        Dtype::F32 => |data, blocks| widen(data, blocks, |bytes| f64::from(f32::from_le_bytes(bytes))),
        Dtype::F64 => |data, blocks| widen(data, blocks, f64::from_le_bytes),
        _ => return None,
    })
}

fn widen<const WIDTH: usize>(
    data: &[u8],
    blocks: &mut Blocks<'_, '_>,
    number: impl Fn([u8; WIDTH]) -> f64,
) -> ControlFlow<()> {
    let (chunks, _) = data.as_chunks::<WIDTH>();
    blocks.extend(chunks.iter().map(|&bytes| number(bytes)))
}
