//! Columns as files of every format.

use std::io::Cursor;
use std::sync::Arc;

use npyz::WriterBuilder;
use npyz::npz::NpzWriter;
use npyz::zip::write::FileOptions;
use parquet::data_type::DoubleType;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;
use safetensors::{Dtype, tensor::TensorView};

/// Names and values.
pub(crate) type Columns = [(String, Vec<f64>)];

/// Returns the columns as a file whose format the name's extension says.
///
/// # Panics
/// When a writer fails, or the extension is not known.
#[must_use]
pub(crate) fn write(name: &str, columns: &Columns) -> Vec<u8> {
    match name.rsplit('.').next() {
        Some("csv") => csv(columns),
        Some("npz") => npz(columns),
        Some("parquet") => parquet(columns),
        Some("safetensors") => safetensors(columns),
        _ => panic!("{name} has an extension of no format"),
    }
}

fn csv(columns: &Columns) -> Vec<u8> {
    let header: Vec<_> = columns.iter().map(|(name, _)| name.as_str()).collect();
    let mut text = header.join(",");
    for row in 0..columns[0].1.len() {
        let cells: Vec<_> = columns.iter().map(|(_, values)| values[row].to_string()).collect();
        text.push('\n');
        text.push_str(&cells.join(","));
    }
    text.into_bytes()
}

fn npz(columns: &Columns) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    let mut archive = NpzWriter::new(&mut bytes);
    for (name, values) in columns {
        let array = archive.array(name, FileOptions::default()).unwrap().default_dtype();
        let mut array = array.shape(&[values.len() as u64]).begin_nd().unwrap();
        array.extend(values).unwrap();
        array.finish().unwrap();
    }
    drop(archive);
    bytes.into_inner()
}

fn parquet(columns: &Columns) -> Vec<u8> {
    let fields: String = columns.iter().map(|(name, _)| format!("REQUIRED DOUBLE {name};")).collect();
    let schema = Arc::new(parse_message_type(&format!("message schema {{ {fields} }}")).unwrap());
    let mut bytes = Vec::new();
    let mut writer =
        SerializedFileWriter::new(&mut bytes, schema, Arc::new(WriterProperties::builder().build())).unwrap();
    let mut group = writer.next_row_group().unwrap();
    for (_, values) in columns {
        let mut column = group.next_column().unwrap().unwrap();
        column.typed::<DoubleType>().write_batch(values, None, None).unwrap();
        column.close().unwrap();
    }
    group.close().unwrap();
    writer.close().unwrap();
    bytes
}

fn safetensors(columns: &Columns) -> Vec<u8> {
    let bytes: Vec<(String, Vec<u8>)> = columns
        .iter()
        .map(|(name, values)| (name.clone(), values.iter().flat_map(|v| v.to_le_bytes()).collect()))
        .collect();
    let tensors = bytes
        .iter()
        .map(|(name, bytes)| (name.as_str(), TensorView::new(Dtype::F64, vec![bytes.len() / 8], bytes).unwrap()));
    safetensors::serialize(tensors, None).unwrap()
}
