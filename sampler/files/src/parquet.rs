//! Flat columns of an Apache Parquet file.

use std::fs::File;

use parquet::basic::{ConvertedType, LogicalType, Type};
use parquet::column::reader::{ColumnReader, ColumnReaderImpl};
use parquet::data_type::DataType;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::schema::types::ColumnDescriptor;

use crate::column::{Column, Values, widen_i64, widen_u64};
use crate::{ReadError, SourceFile};

/// Records decoded at once.
const RECORDS_A_READ: usize = 1 << 16;

pub(crate) fn read(file: &SourceFile, rows_max: usize) -> Result<Vec<Column>, ReadError> {
    let handle = File::open(&file.path).map_err(|error| file.unreadable(&error))?;
    let reader = SerializedFileReader::new(handle).map_err(|error| file.unreadable(&error))?;
    let metadata = reader.metadata();
    let rows = usize::try_from(metadata.file_metadata().num_rows())
        .map_err(|_negative| file.unreadable(&"the number of rows is negative"))?;
    file.check_rows(rows, rows_max)?;
    let schema = metadata.file_metadata().schema_descr_ptr();
    let mut columns: Vec<Column> = schema
        .columns()
        .iter()
        .map(|column| match unsupported(column) {
            Some(kind) => Column::other(column.path().string(), kind),
            None => Column::numbers(column.path().string(), Vec::new()),
        })
        .collect();
    for group in 0..metadata.num_row_groups() {
        let group_reader = reader.get_row_group(group).map_err(|error| file.unreadable(&error))?;
        for (position, column) in columns.iter_mut().enumerate() {
            let Values::Numbers(values) = &mut column.values else { continue };
            let chunk = Chunk { file, name: &column.name, descriptor: &schema.column(position), rows };
            let reader = group_reader.get_column_reader(position).map_err(|error| file.unreadable(&error))?;
            chunk.read(reader, values)?;
        }
    }
    for column in &columns {
        let Values::Numbers(values) = &column.values else { continue };
        if values.len() != rows {
            let (name, read) = (&column.name, values.len());
            return Err(file.unreadable(&format!("column {name:?} has {read} of the {rows} rows the footer states")));
        }
    }
    Ok(columns)
}

/// Says what a column is, unless it is one of numbers.
fn unsupported(column: &ColumnDescriptor) -> Option<String> {
    if column.max_rep_level() > 0 {
        return Some("a list".to_owned());
    }
    if column.path().parts().len() > 1 {
        return Some("part of a structure".to_owned());
    }
    let numeric = match column.physical_type() {
        Type::BOOLEAN | Type::FLOAT | Type::DOUBLE => true,
        Type::INT32 | Type::INT64 => {
            let logical = matches!(column.logical_type_ref(), None | Some(LogicalType::Integer(_)));
            logical
                && matches!(
                    column.converted_type(),
                    ConvertedType::NONE
                        | ConvertedType::INT_8
                        | ConvertedType::INT_16
                        | ConvertedType::INT_32
                        | ConvertedType::INT_64
                        | ConvertedType::UINT_8
                        | ConvertedType::UINT_16
                        | ConvertedType::UINT_32
                        | ConvertedType::UINT_64
                )
        }
        Type::INT96 | Type::BYTE_ARRAY | Type::FIXED_LEN_BYTE_ARRAY => false,
    };
    let kind = || match column.logical_type_ref() {
        Some(logical) => format!("of type {logical:?}"),
        None => format!("of type {}", column.physical_type()),
    };
    (!numeric).then(kind)
}

/// A column's part of a row group.
struct Chunk<'a> {
    file: &'a SourceFile,
    name: &'a str,
    descriptor: &'a ColumnDescriptor,
    /// Rows of the whole file, as its footer states.
    rows: usize,
}

impl Chunk<'_> {
    fn read(&self, reader: ColumnReader, values: &mut Vec<f64>) -> Result<(), ReadError> {
        let unsigned = matches!(
            self.descriptor.converted_type(),
            ConvertedType::UINT_8 | ConvertedType::UINT_16 | ConvertedType::UINT_32 | ConvertedType::UINT_64
        );
        match reader {
            ColumnReader::BoolColumnReader(reader) => self.drain(reader, values, f64::from),
            ColumnReader::FloatColumnReader(reader) => self.drain(reader, values, f64::from),
            ColumnReader::DoubleColumnReader(reader) => self.drain(reader, values, |value| value),
            ColumnReader::Int32ColumnReader(reader) if unsigned => {
                self.drain(reader, values, |value| f64::from(value.cast_unsigned()))
            }
            ColumnReader::Int32ColumnReader(reader) => self.drain(reader, values, f64::from),
            ColumnReader::Int64ColumnReader(reader) if unsigned => {
                self.drain(reader, values, |value| widen_u64(value.cast_unsigned()))
            }
            ColumnReader::Int64ColumnReader(reader) => self.drain(reader, values, widen_i64),
            _ => Err(self.file.unreadable(&format!("column {:?} is not of the type the schema states", self.name))),
        }
    }

    fn drain<T: DataType>(
        &self,
        mut reader: ColumnReaderImpl<T>,
        values: &mut Vec<f64>,
        widen: impl Fn(T::T) -> f64,
    ) -> Result<(), ReadError> {
        let (mut decoded, mut definitions) = (Vec::new(), Vec::new());
        loop {
            decoded.clear();
            definitions.clear();
            let (records, present, _) = reader
                .read_records(RECORDS_A_READ, Some(&mut definitions), None, &mut decoded)
                .map_err(|error| self.file.unreadable(&format!("column {:?}: {error}", self.name)))?;
            if records == 0 {
                return Ok(());
            }
            if present < records {
                let missing = definitions.iter().position(|level| *level < self.descriptor.max_def_level());
                let row = values.len() + missing.unwrap_or(present);
                return Err(ReadError::Null { file: self.file.name.clone(), column: self.name.to_owned(), row });
            }
            if values.len() + records > self.rows {
                let reason = format!("column {:?} has more than the {} rows the footer states", self.name, self.rows);
                return Err(self.file.unreadable(&reason));
            }
            values.extend(decoded.drain(..).map(&widen));
        }
    }
}
