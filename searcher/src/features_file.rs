//! Feature columns as a Parquet file: one row a training example, every column of doubles or floats.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parquet::basic::{Repetition, Type as PhysicalType};
use parquet::column::reader::ColumnReader;
use parquet::data_type::DoubleType;
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::types::Type;
use swift_sampler::{FeatureTable, FeatureTableError};

/// Why a features file cannot be written or read.
#[derive(Debug, thiserror::Error)]
pub enum FeaturesFileError {
    /// The file or its folder.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What went wrong.
        source: std::io::Error,
    },
    /// The file is not Parquet as expected.
    #[error("{}: {source}", path.display())]
    Parquet {
        /// The file.
        path: PathBuf,
        /// What went wrong.
        source: ParquetError,
    },
    /// A column is of another type.
    #[error("{}: column {column:?} is not of doubles or floats", path.display())]
    ColumnType {
        /// The file.
        path: PathBuf,
        /// The column.
        column: String,
    },
    /// The columns do not make a table.
    #[error("{}: {source}", path.display())]
    Table {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: FeatureTableError,
    },
}

/// Writes columns of equal length, replacing the file at once or not at all.
///
/// # Errors
/// [`FeaturesFileError`] naming the file.
pub fn write(path: &Path, columns: &[(&str, &[f64])]) -> Result<(), FeaturesFileError> {
    let io = |source| FeaturesFileError::Io { path: path.to_owned(), source };
    let folder = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
    let file = tempfile::NamedTempFile::new_in(folder).map_err(io)?;
    write_columns(file.as_file(), columns)
        .map_err(|source| FeaturesFileError::Parquet { path: path.to_owned(), source })?;
    file.as_file().sync_all().map_err(io)?;
    file.persist(path).map_err(|error| io(error.error))?;
    Ok(())
}

fn write_columns(file: &File, columns: &[(&str, &[f64])]) -> Result<(), ParquetError> {
    let fields = columns
        .iter()
        .map(|(name, _)| {
            Type::primitive_type_builder(name, PhysicalType::DOUBLE)
                .with_repetition(Repetition::REQUIRED)
                .build()
                .map(Arc::new)
        })
        .collect::<Result<Vec<_>, _>>()?;
    let schema = Type::group_type_builder("features").with_fields(fields).build()?;
    let mut writer = SerializedFileWriter::new(file, Arc::new(schema), Arc::new(WriterProperties::default()))?;
    let mut group = writer.next_row_group()?;
    for (_, values) in columns {
        let mut column =
            group.next_column()?.ok_or_else(|| ParquetError::General("the schema has a column less".to_owned()))?;
        column.typed::<DoubleType>().write_batch(values, None, None)?;
        column.close()?;
    }
    group.close()?;
    writer.close()?;
    Ok(())
}

/// Reads every column.
///
/// # Errors
/// [`FeaturesFileError`] naming file and column.
pub fn read(path: &Path) -> Result<FeatureTable, FeaturesFileError> {
    let file = File::open(path).map_err(|source| FeaturesFileError::Io { path: path.to_owned(), source })?;
    let parquet = |source| FeaturesFileError::Parquet { path: path.to_owned(), source };
    let reader = SerializedFileReader::new(file).map_err(parquet)?;
    let schema = reader.metadata().file_metadata().schema_descr_ptr();
    let mut columns: Vec<(String, Vec<f64>)> =
        schema.columns().iter().map(|column| (column.name().to_owned(), Vec::new())).collect();
    for index in 0..reader.num_row_groups() {
        let group = reader.get_row_group(index).map_err(parquet)?;
        let rows = usize::try_from(group.metadata().num_rows()).unwrap_or(0);
        for (position, (name, values)) in columns.iter_mut().enumerate() {
            match group.get_column_reader(position).map_err(parquet)? {
                ColumnReader::DoubleColumnReader(mut column) => {
                    column.read_records(rows, None, None, values).map_err(parquet)?;
                }
                ColumnReader::FloatColumnReader(mut column) => {
                    let mut floats = Vec::with_capacity(rows);
                    column.read_records(rows, None, None, &mut floats).map_err(parquet)?;
                    values.extend(floats.into_iter().map(f64::from));
                }
                _ => return Err(FeaturesFileError::ColumnType { path: path.to_owned(), column: name.clone() }),
            }
        }
    }
    FeatureTable::new(columns).map_err(|source| FeaturesFileError::Table { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_come_back_to_the_last_bit() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("features.parquet");
        let loss: Vec<f64> = (0..5000).map(|i| 1.0 / f64::from(i + 1)).collect();
        let entropy: Vec<f64> = loss.iter().map(|l| l.sqrt()).collect();
        write(&path, &[("loss", &loss), ("entropy", &entropy)]).unwrap();
        let table = read(&path).unwrap();
        assert_eq!(table.names(), ["loss", "entropy"]);
        assert_eq!(table.column("loss").unwrap(), loss);
        assert_eq!(table.column("entropy").unwrap(), entropy);
    }

    #[test]
    fn a_truncated_file_is_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("features.parquet");
        write(&path, &[("loss", &[1.0, 2.0])]).unwrap();
        let bytes = std::fs::read(&path).unwrap();
        std::fs::write(&path, &bytes[..bytes.len() - 3]).unwrap();
        assert!(read(&path).unwrap_err().to_string().contains("features.parquet"));
    }
}
