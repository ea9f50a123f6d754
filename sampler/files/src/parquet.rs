//! Flat columns of an Apache Parquet file.

mod footer;
mod pages;
mod thrift;

use std::fs::File;
use std::sync::Arc;

use parquet::basic::{ConvertedType, LogicalType, Type};
use parquet::column::reader::{ColumnReader, ColumnReaderImpl};
use parquet::data_type::DataType;
use parquet::file::metadata::{ParquetMetaData, ParquetMetaDataReader};
use parquet::file::properties::ReaderProperties;
use parquet::file::reader::RowGroupReader;
use parquet::file::serialized_reader::SerializedRowGroupReader;
use parquet::schema::types::ColumnDescriptor;

use crate::column::{BLOCK_ROWS, Block, Column, Emit, widen_i64, widen_u64};
use crate::part::{Fault, Part};
use crate::{Missing, ReadError, SourceFile};

/// A file's footer.
#[derive(Debug)]
pub(crate) struct Layout {
    metadata: ParquetMetaData,
}

/// Reads the footer.
pub(crate) fn describe(file: &SourceFile, rows_max: usize) -> Result<(Vec<Column>, Layout), ReadError> {
    let handle = File::open(&file.path).map_err(|error| file.unreadable(&error))?;
    footer::check(&handle).map_err(|error| file.unreadable(&error))?;
    let metadata = ParquetMetaDataReader::new().parse_and_finish(&handle).map_err(|error| file.unreadable(&error))?;
    let rows = usize::try_from(metadata.file_metadata().num_rows())
        .map_err(|_negative| file.unreadable(&"the number of rows is negative"))?;
    file.check_rows(rows, rows_max)?;
    let layout = Layout { metadata };
    let in_groups = layout.group_rows().try_fold(0usize, |sum, rows| sum.checked_add(rows?));
    if in_groups != Some(rows) {
        return Err(file.unreadable(&format!("its row groups do not have the {rows} rows the footer states")));
    }
    let schema = layout.metadata.file_metadata().schema_descr();
    let column = |column: &Arc<ColumnDescriptor>| match unsupported(column) {
        Some(kind) => Column::other(column.path().string(), kind),
        None => Column::numbers(column.path().string(), rows),
    };
    Ok((schema.columns().iter().map(column).collect(), layout))
}

impl Layout {
    /// Returns the rows of each group; `None` for one that has a negative number of them.
    fn group_rows(&self) -> impl Iterator<Item = Option<usize>> + '_ {
        self.metadata.row_groups().iter().map(|group| usize::try_from(group.num_rows()).ok())
    }

    /// Lists the parts that can be read at the same time: the columns of each row group.
    pub(crate) fn parts(&self, columns: &[Column]) -> Vec<Part> {
        let mut row = 0;
        let mut parts = Vec::new();
        for (group, rows) in self.group_rows().enumerate() {
            parts.extend(Part::columns(columns, group, row));
            row += rows.unwrap_or_default();
        }
        parts
    }

    /// Reads one column of a row group, through a handle of its own: handles cannot be shared at the same time.
    pub(crate) fn read(
        &self,
        file: &SourceFile,
        columns: &[Column],
        part: Part,
        missing: Missing,
        emit: &mut Emit<'_>,
    ) -> Result<(), Fault> {
        let unreadable = |reason: &dyn std::fmt::Display| Fault {
            row: part.row,
            column: part.column,
            error: file.unreadable(reason),
        };
        let handle = File::open(&file.path).map_err(|error| unreadable(&error))?;
        let group = self.metadata.row_group(part.group);
        pages::check(&handle, group.column(part.column))
            .map_err(|error| unreadable(&format_args!("column {:?}: {error}", columns[part.column].name)))?;
        let rows = usize::try_from(group.num_rows()).map_err(|error| unreadable(&error))?;
        let reader = SerializedRowGroupReader::new(
            Arc::new(handle),
            group,
            self.metadata.page_index_for_row_group(part.group),
            // The format's LZ4 alone: what it was taken for before states no size.
            Arc::new(ReaderProperties::builder().set_backward_compatible_lz4(false).build()),
        );
        let reader = reader.and_then(|reader| reader.get_column_reader(part.column));
        let descriptor = self.metadata.file_metadata().schema_descr().column(part.column);
        let mut chunk =
            Chunk { file, part, name: &columns[part.column].name, descriptor: &descriptor, rows, missing, read: 0 };
        let read = reader.map_err(|error| file.unreadable(&error)).and_then(|reader| chunk.read(reader, emit));
        read.map_err(|error| match error {
            ReadError::Null { row, .. } => Fault { row, column: part.column, error },
            error => Fault { row: part.row + chunk.read, column: part.column, error },
        })
    }
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
    part: Part,
    name: &'a str,
    descriptor: &'a ColumnDescriptor,
    /// What becomes of rows without a value.
    missing: Missing,
    /// Rows of the group, as the footer states.
    rows: usize,
    /// Rows read so far.
    read: usize,
}

impl Chunk<'_> {
    fn read(&mut self, reader: ColumnReader, emit: &mut Emit<'_>) -> Result<(), ReadError> {
        let unsigned = matches!(
            self.descriptor.converted_type(),
            ConvertedType::UINT_8 | ConvertedType::UINT_16 | ConvertedType::UINT_32 | ConvertedType::UINT_64
        );
        match reader {
            ColumnReader::BoolColumnReader(reader) => self.drain(reader, emit, f64::from),
            ColumnReader::FloatColumnReader(reader) => self.drain(reader, emit, f64::from),
            ColumnReader::DoubleColumnReader(reader) => self.drain(reader, emit, |value| value),
            ColumnReader::Int32ColumnReader(reader) if unsigned => {
                self.drain(reader, emit, |value| f64::from(value.cast_unsigned()))
            }
            ColumnReader::Int32ColumnReader(reader) => self.drain(reader, emit, f64::from),
            ColumnReader::Int64ColumnReader(reader) if unsigned => {
                self.drain(reader, emit, |value| widen_u64(value.cast_unsigned()))
            }
            ColumnReader::Int64ColumnReader(reader) => self.drain(reader, emit, widen_i64),
            _ => Err(self.file.unreadable(&format!("column {:?} is not of the type the schema states", self.name))),
        }
    }

    fn drain<T: DataType>(
        &mut self,
        mut reader: ColumnReaderImpl<T>,
        emit: &mut Emit<'_>,
        widen: impl Fn(T::T) -> f64,
    ) -> Result<(), ReadError> {
        let (mut decoded, mut definitions, mut values) = (Vec::new(), Vec::new(), Vec::new());
        loop {
            decoded.clear();
            definitions.clear();
            values.clear();
            let (records, present, _) = reader
                .read_records(BLOCK_ROWS, Some(&mut definitions), None, &mut decoded)
                .map_err(|error| self.file.unreadable(&format!("column {:?}: {error}", self.name)))?;
            let Self { name, rows, .. } = *self;
            if records == 0 {
                return if self.read == rows {
                    Ok(())
                } else {
                    let reason =
                        format!("column {name:?} has {} of the {rows} rows the footer states for a group", self.read);
                    Err(self.file.unreadable(&reason))
                };
            }
            if records > rows - self.read {
                let reason = format!("column {name:?} has more than the {rows} rows the footer states for a group");
                return Err(self.file.unreadable(&reason));
            }
            let missing = (present < records)
                .then(|| definitions.iter().position(|level| *level < self.descriptor.max_def_level()))
                .map(|missing| missing.unwrap_or(present));
            let missing = if self.missing == Missing::Impute {
                // Where no level says which rows have a value, the last ones have none.
                let mut decoded = decoded.drain(..).map(&widen);
                let has_value = |row: usize| {
                    definitions.get(row).map_or(row < present, |level| *level == self.descriptor.max_def_level())
                };
                let value = |row| if has_value(row) { decoded.next() } else { None };
                values.extend((0..records).map(value).map(|value| value.unwrap_or(f64::NAN)));
                None
            } else {
                // Those before a missing value may hold one that is refused in an earlier row.
                values.extend(decoded.drain(..).take(missing.unwrap_or(records)).map(&widen));
                missing
            };
            let row = self.part.row + self.read;
            if emit(Block { column: self.part.column, row, values: &values }).is_break() {
                return Ok(());
            }
            if let Some(missing) = missing {
                let (file, column) = (self.file.name.clone(), name.to_owned());
                return Err(ReadError::Null { file, column, row: row + missing });
            }
            self.read += records;
        }
    }
}
