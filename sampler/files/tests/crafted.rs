//! Files that no writer makes: they state sizes that are not theirs.

#![allow(dead_code, reason = "several test binaries have some of them each")]

use std::io::{Cursor, Write};
use std::sync::Arc;

use npyz::zip::ZipWriter;
use npyz::zip::write::FileOptions;
use parquet::basic::{Compression, Encoding};
use parquet::file::metadata::{
    ColumnChunkMetaData, FileMetaData, ParquetMetaData, ParquetMetaDataWriter, RowGroupMetaData,
};
use parquet::schema::parser::parse_message_type;
use parquet::schema::types::{SchemaDescPtr, SchemaDescriptor};

/// What small files inflate to, in bytes.
const BOMB_BYTES: usize = 64 << 20;
/// Rows of a group of constant rows.
const GROUP_ROWS: i64 = 1 << 20;
/// Numbers of types, encodings and fields in Thrift.
const DATA_PAGE: i32 = 0;
const DICTIONARY_PAGE: i32 = 2;
const PLAIN: i32 = 0;
const RLE: i32 = 3;
const RLE_DICTIONARY: i32 = 8;

/// Where the pages of a file start.
const MARK: &[u8; 4] = b"PAR1";

fn zigzag(value: i32) -> Vec<u8> {
    varint(u64::from((value.cast_unsigned() << 1) ^ (value >> 31).cast_unsigned()))
}

#[allow(clippy::cast_possible_truncation, reason = "seven bits at a time")]
fn varint(mut value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
    bytes
}

/// A field of 32 bits that follows the one before.
fn next_i32(value: i32) -> Vec<u8> {
    [vec![0x15], zigzag(value)].concat()
}

fn page_header(kind: i32, size: i32, compressed: usize, head_of_kind: &[Vec<u8>]) -> Vec<u8> {
    let compressed = i32::try_from(compressed).unwrap();
    // Fields 5 and 7 are the structs of data pages and dictionaries.
    let step = if kind == DATA_PAGE { 0x2c } else { 0x4c };
    [next_i32(kind), next_i32(size), next_i32(compressed), vec![step], head_of_kind.concat(), vec![0, 0]].concat()
}

fn data_page(values: i32, encoding: i32, size: i32, body: &[u8]) -> Vec<u8> {
    let head = [next_i32(values), next_i32(encoding), next_i32(RLE), next_i32(RLE)];
    [page_header(DATA_PAGE, size, body.len(), &head), body.to_vec()].concat()
}

fn dictionary_page(values: i32, body: &[u8]) -> Vec<u8> {
    let size = i32::try_from(body.len()).unwrap();
    let head = [next_i32(values), next_i32(PLAIN)];
    [page_header(DICTIONARY_PAGE, size, body.len(), &head), body.to_vec()].concat()
}

/// A file of two columns in so many groups, all of which have the same pages.
fn parquet(pages: &[u8], has_dictionary: bool, compression: Compression, groups: usize, group_rows: i64) -> Vec<u8> {
    let schema = parse_message_type("message schema { REQUIRED DOUBLE loss; REQUIRED DOUBLE entropy; }").unwrap();
    let schema: SchemaDescPtr = Arc::new(SchemaDescriptor::new(Arc::new(schema)));
    let start = MARK.len() as i64;
    let column = |column: usize| {
        ColumnChunkMetaData::builder(schema.column(column))
            .set_encodings(vec![Encoding::PLAIN, Encoding::RLE_DICTIONARY])
            .set_compression(compression)
            .set_num_values(group_rows)
            .set_total_compressed_size(pages.len() as i64)
            .set_total_uncompressed_size(pages.len() as i64)
            .set_data_page_offset(start)
            .set_dictionary_page_offset(has_dictionary.then_some(start))
            .build()
            .unwrap()
    };
    let group = RowGroupMetaData::builder(Arc::clone(&schema))
        .set_num_rows(group_rows)
        .set_total_byte_size(pages.len() as i64)
        .set_column_metadata(vec![column(0), column(1)])
        .build()
        .unwrap();
    let rows = group_rows * i64::try_from(groups).unwrap();
    let metadata = ParquetMetaData::new(FileMetaData::new(1, rows, None, None, schema, None), vec![group; groups]);
    let mut bytes = [MARK, pages].concat();
    let mut footer = Vec::new();
    ParquetMetaDataWriter::new(&mut footer, &metadata).finish().unwrap();
    bytes.extend(footer);
    bytes
}

/// Groups of 2^20 rows that all are 1.5, in few bytes.
pub(crate) fn constant_rows(groups: usize) -> Vec<u8> {
    let rows = i32::try_from(GROUP_ROWS).unwrap();
    // Indices of one bit: a run of zeros.
    let run = [vec![1], varint(GROUP_ROWS.cast_unsigned() << 1), vec![0]].concat();
    let size = i32::try_from(run.len()).unwrap();
    let pages = [dictionary_page(1, &1.5f64.to_le_bytes()), data_page(rows, RLE_DICTIONARY, size, &run)].concat();
    parquet(&pages, true, Compression::UNCOMPRESSED, groups, GROUP_ROWS)
}

/// A page that inflates to more than it states.
pub(crate) fn gzip_bomb() -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(&vec![0; BOMB_BYTES]).unwrap();
    let body = encoder.finish().unwrap();
    parquet(&data_page(8, PLAIN, 64, &body), false, Compression::GZIP(Default::default()), 1, 8)
}

/// Pages of the largest size there may be, which take long to inflate and are as they should be.
pub(crate) fn slow_pages(pages: usize) -> Vec<u8> {
    const PAGE_BYTES: usize = 128 << 20;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    let zeros = vec![0; 1 << 20];
    (0..PAGE_BYTES / zeros.len()).for_each(|_| encoder.write_all(&zeros).unwrap());
    let body = encoder.finish().unwrap();
    let values = PAGE_BYTES / size_of::<f64>();
    let page = data_page(i32::try_from(values).unwrap(), PLAIN, i32::try_from(PAGE_BYTES).unwrap(), &body);
    // As many rows as a file may have that is to be read: the last pages would be too many.
    let rows = i64::try_from(values).unwrap() * i64::try_from(pages).unwrap().min(32);
    parquet(&page.repeat(pages), false, Compression::GZIP(Default::default()), 1, rows)
}

/// As [`gzip_bomb`]: frames of one repeated byte, 128 KiB each, as the format has them.
pub(crate) fn zstd_bomb() -> Vec<u8> {
    const BLOCK_BYTES: u32 = 128 << 10;
    // A frame of no stated size with a window of 1 MiB.
    let mut body = vec![0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x50];
    let blocks = u32::try_from(BOMB_BYTES).unwrap() / BLOCK_BYTES;
    for block in 0..blocks {
        let head = BLOCK_BYTES << 3 | 1 << 1 | u32::from(block + 1 == blocks);
        body.extend(&head.to_le_bytes()[..3]);
        body.push(0);
    }
    parquet(&data_page(8, PLAIN, 64, &body), false, Compression::ZSTD(Default::default()), 1, 8)
}

/// A page of a few bytes that states another size uncompressed.
pub(crate) fn snappy_of_size(size: i32) -> Vec<u8> {
    parquet(&data_page(8, PLAIN, size, &[0; 16]), false, Compression::SNAPPY, 1, 8)
}

/// A dictionary of one value that states another number of them.
pub(crate) fn dictionary_of(values: i32) -> Vec<u8> {
    let run = [1, 16, 0];
    let pages = [dictionary_page(values, &1.5f64.to_le_bytes()), data_page(8, RLE_DICTIONARY, 3, &run)].concat();
    parquet(&pages, true, Compression::UNCOMPRESSED, 1, 8)
}

fn with_footer(footer: &[u8], length: u32) -> Vec<u8> {
    [MARK, footer, &length.to_le_bytes(), MARK].concat()
}

/// A file whose footer would have another length.
pub(crate) fn footer_of_length(length: u32) -> Vec<u8> {
    with_footer(&[0], length)
}

/// The footer's version, and the head of its schema with so many elements.
fn footer_start(elements: u64) -> Vec<u8> {
    [next_i32(1), vec![0x19, 0xfc], varint(elements)].concat()
}

/// A schema that states so many elements and has none.
pub(crate) fn schema_of(elements: u64) -> Vec<u8> {
    let footer = footer_start(elements);
    with_footer(&footer, u32::try_from(footer.len()).unwrap())
}

/// Groups within groups.
pub(crate) fn nested_schema(depth: usize) -> Vec<u8> {
    // Repetition 0, a name of one letter, one child.
    let element = [0x35, 0, 0x18, 1, b'g', 0x15, 2, 0];
    let footer = [footer_start(depth as u64), element.repeat(depth), vec![0]].concat();
    with_footer(&footer, u32::try_from(footer.len()).unwrap())
}

/// A file with one row group of none of its columns' rows: columns are counted before they are read.
pub(crate) fn parquet_of_columns(columns: usize) -> Vec<u8> {
    let fields: String = (0..columns).map(|column| format!("REQUIRED DOUBLE c{column};")).collect();
    let schema = Arc::new(parse_message_type(&format!("message schema {{ {fields} }}")).unwrap());
    let mut bytes = Vec::new();
    let writer = parquet::file::writer::SerializedFileWriter::new(&mut bytes, schema, Arc::default()).unwrap();
    writer.close().unwrap();
    bytes
}

/// An array with this header.
pub(crate) fn npy(header: &[u8]) -> Vec<u8> {
    let length = u32::try_from(header.len()).unwrap();
    [b"\x93NUMPY\x02\x00", &length.to_le_bytes()[..], header].concat()
}

/// An array that ends with its shape.
pub(crate) fn npy_of_shape(shape: &str) -> Vec<u8> {
    npy(format!("{{'descr': '<f8', 'fortran_order': False, 'shape': {shape}, }}\n").as_bytes())
}

/// An array whose header would have another length.
pub(crate) fn npy_header_of_length(length: u32) -> Vec<u8> {
    [b"\x93NUMPY\x02\x00", &length.to_le_bytes()[..], b"{}"].concat()
}

fn archive(array: &[&[u8]]) -> Vec<u8> {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    writer.start_file("loss.npy", FileOptions::default()).unwrap();
    array.iter().for_each(|part| writer.write_all(part).unwrap());
    writer.finish().unwrap().into_inner()
}

/// An archive of one array.
pub(crate) fn npz_of(array: &[u8]) -> Vec<u8> {
    archive(&[array])
}

/// An array of ten numbers that goes on, a thousand times longer than its archive; which may lie about its size.
pub(crate) fn npz_bomb(lies: bool) -> Vec<u8> {
    let text = "{'descr': '<f8', 'fortran_order': False, 'shape': (10,), }";
    let head = npy(format!("{text:115}\n").as_bytes());
    let mut bytes = archive(&[&head, &vec![0; BOMB_BYTES]]);
    assert!(bytes.len() * 900 < BOMB_BYTES, "{} bytes", bytes.len());
    if lies {
        // The size uncompressed, in the directory.
        let entry = bytes.windows(4).rposition(|window| window == b"PK\x01\x02").unwrap();
        let size = u32::try_from(head.len() + 80).unwrap();
        bytes[entry + 24..entry + 28].copy_from_slice(&size.to_le_bytes());
    }
    bytes
}
