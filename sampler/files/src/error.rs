//! Why a file is refused.

use crate::limits::{COLUMNS_MAX, NAME_BYTES_MAX};
use swift_sampler::{CellKeys, DatasetError, FeatureTableError};

/// Why files do not make a dataset. Rows are counted from 0 within their file.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ReadError {
    /// Nothing to read.
    #[error("no files were given: name at least one")]
    NoFiles,
    /// The extension names no format.
    #[error("file {file:?}: the extension names no format: it must be .parquet, .safetensors, .npz or .csv")]
    UnknownFormat {
        /// The file.
        file: String,
    },
    /// The file is not what it says it is, or damaged.
    #[error("file {file:?} cannot be read as {format}: {reason}")]
    Unreadable {
        /// The file.
        file: String,
        /// The format tried.
        format: &'static str,
        /// What the parser says.
        reason: String,
    },
    /// A feature or the gradient norm is not there.
    #[error("file {file:?} has no column {column:?}: it has columns {available}")]
    MissingColumn {
        /// The file.
        file: String,
        /// The column.
        column: String,
        /// The columns there are.
        available: String,
    },
    /// A feature or the gradient norm is not numeric.
    #[error("file {file:?}, column {column:?} is {kind}: it must hold numbers or booleans")]
    Unsupported {
        /// The file.
        file: String,
        /// The column.
        column: String,
        /// What it holds.
        kind: String,
    },
    /// NaN or an infinity.
    #[error("file {file:?}, column {column:?}, row {row} (counted from 0) is {value}: every value must be finite")]
    NotFinite {
        /// The file.
        file: String,
        /// The column.
        column: String,
        /// The row.
        row: usize,
        /// The value.
        value: f64,
    },
    /// A crop column holds what is no part of a crop.
    #[error("file {file:?}, column {column:?}, row {row} (counted from 0) is {value}: it must be {rule}")]
    Crop {
        /// The file.
        file: String,
        /// The column.
        column: String,
        /// The row.
        row: usize,
        /// The value.
        value: f64,
        /// What would be right.
        rule: &'static str,
    },
    /// A value is missing.
    #[error("file {file:?}, column {column:?}, row {row} (counted from 0) has no value: every row must have one")]
    Null {
        /// The file.
        file: String,
        /// The column.
        column: String,
        /// The row.
        row: usize,
    },
    /// Text in a column of numbers.
    #[error("file {file:?}, column {column:?}, row {row} (counted from 0) is {text:?}: it must be a number")]
    NotANumber {
        /// The file.
        file: String,
        /// The column.
        column: String,
        /// The row.
        row: usize,
        /// What stands there.
        text: String,
    },
    /// Two columns of one name.
    #[error("file {file:?} has two columns named {column:?}: names must differ")]
    RepeatedColumn {
        /// The file.
        file: String,
        /// The name.
        column: String,
    },
    /// More columns than a file of features has.
    #[error("file {file:?} has {columns} columns: it must have at most {COLUMNS_MAX}")]
    TooManyColumns {
        /// The file.
        file: String,
        /// Its columns.
        columns: usize,
    },
    /// A name that nobody would give a column.
    #[error(
        "file {file:?} has a column whose name has {bytes} bytes, {column:?}: it must have at most {NAME_BYTES_MAX}"
    )]
    LongName {
        /// The file.
        file: String,
        /// How the name starts.
        column: String,
        /// Length of the name.
        bytes: usize,
    },
    /// A feature is named twice.
    #[error("feature {0:?} is named twice: name each column once")]
    RepeatedFeature(String),
    /// More features than cells can be told apart by.
    #[error("{0} features are named: a dataset has at most {max}", max = CellKeys::AXES_MAX)]
    TooManyFeatures(usize),
    /// Columns of one file differ in length.
    #[error("file {file:?}, column {column:?} has {rows} rows but {first:?} has {expected}: all must have as many")]
    UnequalRows {
        /// The file.
        file: String,
        /// The column.
        column: String,
        /// Its rows.
        rows: usize,
        /// The first column.
        first: String,
        /// Its rows.
        expected: usize,
    },
    /// A later file has other columns than the first.
    #[error("files {first:?} and {file:?} differ in column {column:?}: all files must have the same columns and types")]
    UnequalColumns {
        /// The later file.
        file: String,
        /// The first file.
        first: String,
        /// A column that one lacks, or that is numeric in one only.
        column: String,
    },
    /// No numeric column, or no row.
    #[error("file {file:?} is empty: it needs at least one row and one column of numbers")]
    Empty {
        /// The file.
        file: String,
    },
    /// More rows than are taken.
    #[error("file {file:?} goes beyond the {rows_max} rows that are left of the limit")]
    TooManyRows {
        /// The file.
        file: String,
        /// Rows that were left.
        rows_max: usize,
    },
    /// More rows than memory holds.
    #[error("{rows} rows do not fit into memory")]
    OutOfMemory {
        /// The rows of all files.
        rows: usize,
    },
    /// The columns do not make a table.
    #[error(transparent)]
    Table(#[from] FeatureTableError),
    /// The columns do not make a dataset.
    #[error(transparent)]
    Dataset(#[from] DatasetError),
}
