//! Looks at the pages of a column before the library does, which allocates what their headers state, and inflates gzip to
//! whatever it comes to.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};

use flate2::read::MultiGzDecoder;
use parquet::basic::{Compression, Type};
use parquet::file::metadata::ColumnChunkMetaData;

use super::thrift::{Compact, Kind};
use crate::limits::{PAGE_BYTES_MAX, PAGE_HEADER_BYTES_MAX};

/// Fields of a page's header.
const SIZE: i64 = 2;
const SIZE_COMPRESSED: i64 = 3;
const DICTIONARY: i64 = 7;
/// Field of a dictionary's header.
const DICTIONARY_VALUES: i64 = 1;

/// What the header of a page states.
#[derive(Debug, Default)]
struct Header {
    size: i64,
    size_compressed: i64,
    dictionary_values: i64,
}

/// Returns how many bytes one compressed byte comes to at most; `None` for what has no such bound.
fn expansion_max(compression: Compression) -> Option<u64> {
    match compression {
        Compression::UNCOMPRESSED => Some(1),
        // The longest copy is of 64 bytes, in three.
        Compression::SNAPPY => Some(22),
        // A match grows by 255 with every byte.
        Compression::LZ4 | Compression::LZ4_RAW => Some(256),
        // 258 bytes in two bits.
        Compression::GZIP(_) => Some(1032),
        Compression::ZSTD(_) | Compression::BROTLI(_) | Compression::LZO => None,
    }
}

/// Checks that every page is as large as its header states and no larger than those of files of features. Reads the headers
/// alone; of columns that are compressed with gzip all.
pub(super) fn check(file: &File, chunk: &ColumnChunkMetaData) -> io::Result<()> {
    let (mut at, mut left) = chunk.byte_range();
    let mut input = BufReader::new(file);
    while left > 0 {
        input.seek(SeekFrom::Start(at))?;
        let mut compact = Compact::new(input.by_ref().take(PAGE_HEADER_BYTES_MAX.min(left)));
        let header = Header::read(&mut compact)?;
        let header_bytes = compact.bytes();
        let size = u64::try_from(header.size).ok().filter(|size| *size <= PAGE_BYTES_MAX).ok_or_else(|| {
            invalid(format!("a page would have {} bytes uncompressed, of at most {PAGE_BYTES_MAX}", header.size))
        })?;
        let compressed = u64::try_from(header.size_compressed).ok().filter(|size| *size <= left - header_bytes);
        let compressed = compressed.ok_or_else(|| {
            invalid(format!(
                "a page would have {} bytes, of {} that are left",
                header.size_compressed,
                left - header_bytes
            ))
        })?;
        let expansion_max = expansion_max(chunk.compression());
        if expansion_max.is_some_and(|most| size > compressed * most) {
            return Err(invalid(format!("a page of {compressed} bytes would have {size} uncompressed")));
        }
        let fits =
            |values: u64| values.checked_mul(value_bytes(chunk.column_type())).is_some_and(|bytes| bytes <= size);
        if !u64::try_from(header.dictionary_values).is_ok_and(fits) {
            return Err(invalid(format!(
                "a dictionary of {size} bytes would have {} values",
                header.dictionary_values
            )));
        }
        if matches!(chunk.compression(), Compression::GZIP(_)) {
            let inflated =
                io::copy(&mut MultiGzDecoder::new(input.by_ref().take(compressed)).take(size + 1), &mut io::sink())?;
            if inflated > size {
                return Err(invalid(format!(
                    "a page has more than the {size} bytes uncompressed that its header states"
                )));
            }
        }
        at += header_bytes + compressed;
        left -= header_bytes + compressed;
    }
    Ok(())
}

impl Header {
    fn read<R: Read>(compact: &mut Compact<R>) -> io::Result<Self> {
        let mut header = Self::default();
        compact.fields(|compact, number, kind| {
            match (number, kind) {
                (SIZE, kind) => header.size = compact.integer_of(kind)?,
                (SIZE_COMPRESSED, kind) => header.size_compressed = compact.integer_of(kind)?,
                (DICTIONARY, Kind::Struct) => compact.fields(|compact, number, kind| {
                    if number == DICTIONARY_VALUES {
                        header.dictionary_values = compact.integer_of(kind)?;
                        return Ok(());
                    }
                    compact.skip(kind)
                })?,
                (_, kind) => compact.skip(kind)?,
            }
            Ok(())
        })?;
        Ok(header)
    }
}

/// Returns how many bytes a plain value has; a dictionary's are plain.
fn value_bytes(kind: Type) -> u64 {
    match kind {
        Type::BOOLEAN | Type::BYTE_ARRAY | Type::FIXED_LEN_BYTE_ARRAY => 1,
        Type::INT32 | Type::FLOAT => 4,
        Type::INT64 | Type::DOUBLE => 8,
        Type::INT96 => 12,
    }
}

fn invalid(reason: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, reason)
}
