//! One-dimensional arrays of a NumPy archive.

use std::fs::File;
use std::io::{self, BufReader, Chain, Cursor, Read};
use std::ops::ControlFlow;

use npyz::npz::array_name_from_file_name;
use npyz::zip::ZipArchive;
use npyz::{DType, Deserialize, NpyFile, TypeChar};

use crate::column::{Blocks, Column, Emit, Kind, widen_i64, widen_u64};
use crate::limits::{ARRAY_HEADER_BYTES_MAX, ARRAY_HEADER_DEPTH_MAX};
use crate::part::{Fault, Part};
use crate::{ReadError, SourceFile};

/// Where the arrays lie in an archive.
#[derive(Debug)]
pub(crate) struct Layout {
    /// The archive's entry of each column.
    entries: Vec<usize>,
}

/// Reads the heads of the arrays.
pub(crate) fn describe(file: &SourceFile, rows_max: usize) -> Result<(Vec<Column>, Layout), ReadError> {
    let mut archive = open(file)?;
    let (mut columns, mut entries) = (Vec::new(), Vec::new());
    for position in 0..archive.len() {
        let entry = archive.by_index(position).map_err(|error| file.unreadable(&error))?;
        let Some(name) = array_name_from_file_name(entry.name()).map(ToOwned::to_owned) else { continue };
        let entry_bytes = entry.size();
        let (array, header_bytes) = head(entry).map_err(|error| unreadable(file, &name, &error))?;
        let kind = match array.shape() {
            &[rows] => {
                let rows = usize::try_from(rows).unwrap_or(usize::MAX);
                file.check_rows(rows, rows_max)?;
                match widening(&array) {
                    Ok(_) => {
                        let values_bytes = array.dtype().num_bytes().and_then(|bytes| bytes.checked_mul(rows));
                        if values_bytes.and_then(|bytes| bytes.checked_add(header_bytes))
                            != usize::try_from(entry_bytes).ok()
                        {
                            let reason = format!("it would have {rows} values, which {entry_bytes} bytes do not hold");
                            return Err(unreadable(file, &name, &io::Error::other(reason)));
                        }
                        Kind::Numbers { rows }
                    }
                    Err(kind) => Kind::Other(kind),
                }
            }
            shape => Kind::Other(format!("an array of shape {shape:?}")),
        };
        columns.push(Column { name, kind });
        entries.push(position);
    }
    Ok((columns, Layout { entries }))
}

impl Layout {
    /// Reads one array.
    pub(crate) fn read(
        &self,
        file: &SourceFile,
        columns: &[Column],
        part: Part,
        emit: &mut Emit<'_>,
    ) -> Result<(), Fault> {
        let name = &columns[part.column].name;
        let mut blocks = Blocks::new(part.column, part.row, emit);
        let read = self.read_entry(file, name, part, &mut blocks);
        blocks.finish();
        let row = blocks.next_row();
        read.map_err(|error| Fault { row, column: part.column, error })
    }

    fn read_entry(
        &self,
        file: &SourceFile,
        name: &str,
        part: Part,
        blocks: &mut Blocks<'_, '_>,
    ) -> Result<(), ReadError> {
        let mut archive = open(file)?;
        let mut entry = archive.by_index(self.entries[part.column]).map_err(|error| file.unreadable(&error))?;
        let (array, _) = head(&mut entry).map_err(|error| unreadable(file, name, &error))?;
        let widen = widening(&array).map_err(|kind| file.unreadable(&format!("array {name:?} is now {kind}")))?;
        if widen(array, blocks).map_err(|error| unreadable(file, name, &error))?.is_break() {
            return Ok(());
        }
        // The archive's checksum is only compared when the entry is read to its end. It may go on for ever, where the
        // archive states a size that is not its own.
        match entry.read(&mut [0]) {
            Ok(0) => Ok(()),
            Ok(_) => Err(unreadable(file, name, &io::Error::other("it goes on after its values"))),
            Err(error) => Err(unreadable(file, name, &error)),
        }
    }
}

fn open(file: &SourceFile) -> Result<ZipArchive<BufReader<File>>, ReadError> {
    let handle = File::open(&file.path).map_err(|error| file.unreadable(&error))?;
    ZipArchive::new(BufReader::new(handle)).map_err(|error| file.unreadable(&error))
}

/// An array whose header was read before the library read it.
type Array<R> = NpyFile<Chain<Cursor<Vec<u8>>, R>>;

/// Reads the header of an array, and returns it with the header's length in bytes. The library takes the length that is
/// stated for a header, and calls itself for every bracket within a bracket.
fn head<R: Read>(mut entry: R) -> io::Result<(Array<R>, usize)> {
    // A mark and a version, then the length of what follows: two bytes of it in the first version.
    let mut header = vec![0; 10];
    entry.read_exact(&mut header)?;
    let length = if header[6] == 1 {
        usize::from(u16::from_le_bytes([header[8], header[9]]))
    } else {
        let mut upper = [0; 2];
        entry.read_exact(&mut upper)?;
        header.extend(upper);
        u32::from_le_bytes([header[8], header[9], header[10], header[11]]) as usize
    };
    if length > ARRAY_HEADER_BYTES_MAX {
        return Err(io::Error::other(format!(
            "its header would have {length} bytes, of at most {ARRAY_HEADER_BYTES_MAX}"
        )));
    }
    let start = header.len();
    header.resize(start + length, 0);
    entry.read_exact(&mut header[start..])?;
    let mut depth = 0usize;
    for byte in &header[start..] {
        match byte {
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > ARRAY_HEADER_DEPTH_MAX {
            return Err(io::Error::other(format!("its header is nested more than {ARRAY_HEADER_DEPTH_MAX} deep")));
        }
    }
    let header_bytes = header.len();
    Ok((NpyFile::new(Cursor::new(header).chain(entry))?, header_bytes))
}

/// Hands over the numbers of an array.
type Widening<R> = fn(NpyFile<R>, &mut Blocks<'_, '_>) -> io::Result<ControlFlow<()>>;

/// Returns what makes numbers of an array, or says what it holds instead.
fn widening<R: Read>(array: &NpyFile<R>) -> Result<Widening<R>, String> {
    let DType::Plain(kind) = array.dtype() else { return Err("an array of structures".to_owned()) };
    Ok(match (kind.type_char(), kind.size_field()) {
        (TypeChar::Bool, _) => |array, blocks| widen(array, blocks, |value: bool| f64::from(value)),
        (TypeChar::Float, 4) => |array, blocks| widen(array, blocks, |value: f32| f64::from(value)),
        (TypeChar::Float, 8) => |array, blocks| widen(array, blocks, |value: f64| value),
        (TypeChar::Int, 1) => |array, blocks| widen(array, blocks, |value: i8| f64::from(value)),
        (TypeChar::Int, 2) => |array, blocks| widen(array, blocks, |value: i16| f64::from(value)),
        (TypeChar::Int, 4) => |array, blocks| widen(array, blocks, |value: i32| f64::from(value)),
        (TypeChar::Int, 8) => |array, blocks| widen(array, blocks, widen_i64),
        (TypeChar::Uint, 1) => |array, blocks| widen(array, blocks, |value: u8| f64::from(value)),
        (TypeChar::Uint, 2) => |array, blocks| widen(array, blocks, |value: u16| f64::from(value)),
        (TypeChar::Uint, 4) => |array, blocks| widen(array, blocks, |value: u32| f64::from(value)),
        (TypeChar::Uint, 8) => |array, blocks| widen(array, blocks, widen_u64),
        _ => return Err(format!("of type {kind}")),
    })
}

fn widen<T: Deserialize, R: Read>(
    array: NpyFile<R>,
    blocks: &mut Blocks<'_, '_>,
    number: impl Fn(T) -> f64,
) -> io::Result<ControlFlow<()>> {
    for value in array.data::<T>().map_err(io::Error::other)? {
        if blocks.push(number(value?)).is_break() {
            return Ok(ControlFlow::Break(()));
        }
    }
    Ok(ControlFlow::Continue(()))
}

fn unreadable(file: &SourceFile, name: &str, error: &io::Error) -> ReadError {
    file.unreadable(&format!("array {name:?}: {error}"))
}
