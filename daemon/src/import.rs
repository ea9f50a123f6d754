//! Reading feature columns out of users' files.
//!
//! Files follow each other; the row number over all of them is the example's index. A column that is not numeric is left
//! out unless it is a feature or the gradient norm; every other doubt is an error that names file, column and row.

mod column;
mod csv;
mod error;
mod npz;
mod parquet;
mod safetensors;

use std::fmt::Display;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

pub use column::{Column, Values};
pub use error::ImportError;

/// The features a dataset has unless its import says otherwise.
const FEATURES_DEFAULT: [&str; 2] = ["loss", "entropy"];
/// The column of gradient norms unless the import says otherwise; it may be missing.
const GRADIENT_NORM_DEFAULT: &str = "grad_norm";

/// A format that columns are read from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Apache Parquet, flat columns.
    Parquet,
    /// safetensors, one-dimensional tensors.
    Safetensors,
    /// NumPy's archive of one-dimensional arrays.
    Npz,
    /// Comma-separated values with a header line.
    Csv,
}

impl Format {
    /// Tells the format by a file name's extension.
    ///
    /// # Errors
    /// [`ImportError::UnknownFormat`].
    pub fn of_file_name(name: &str) -> Result<Self, ImportError> {
        let extension = Path::new(name).extension().and_then(|extension| extension.to_str()).unwrap_or_default();
        match extension.to_ascii_lowercase().as_str() {
            "parquet" | "pq" => Ok(Self::Parquet),
            "safetensors" => Ok(Self::Safetensors),
            "npz" => Ok(Self::Npz),
            "csv" => Ok(Self::Csv),
            _ => Err(ImportError::UnknownFormat { file: name.to_owned() }),
        }
    }

    /// Returns the format's name, for messages.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Parquet => "Parquet",
            Self::Safetensors => "safetensors",
            Self::Npz => "npz",
            Self::Csv => "CSV",
        }
    }
}

/// A file to read.
#[derive(Debug, Clone)]
pub struct SourceFile {
    /// The user's name for it, for messages.
    pub name: String,
    /// Where it lies.
    pub path: PathBuf,
    /// How it is to be read.
    pub format: Format,
}

/// Which columns have a meaning.
#[derive(Debug, Clone, Default)]
pub struct Selection {
    /// Columns that the sampler's coefficients refer to; empty: loss and entropy.
    pub features: Vec<String>,
    /// Column of gradient norms; absent: `grad_norm`, where there is one.
    pub gradient_norm: Option<String>,
}

/// What was read.
#[derive(Debug, Clone)]
pub struct Imported {
    /// The numeric columns, of equal length.
    pub columns: Vec<(String, Vec<f64>)>,
    /// The features.
    pub features: Vec<String>,
    /// The column of gradient norms.
    pub gradient_norm: Option<String>,
    /// Columns left out because they are not numeric.
    pub skipped: Vec<String>,
}

/// Reads files one after another. Blocks, for as long as parsing takes.
///
/// # Errors
/// [`ImportError`] naming the file, column and row that are wrong.
pub fn read(files: &[SourceFile], selection: &Selection, rows_max: usize) -> Result<Imported, ImportError> {
    let Some((first, rest)) = files.split_first() else { return Err(ImportError::NoFiles) };
    let mut columns = read_file(first, rows_max)?;
    let rows = check_file(first, &columns)?;
    let mut rows_left = rows_max - rows;
    for file in rest {
        let more = read_file(file, rows_left)?;
        rows_left -= check_file(file, &more)?;
        append(&mut columns, more, &first.name, &file.name)?;
    }
    select(&first.name, columns, selection)
}

fn read_file(file: &SourceFile, rows_max: usize) -> Result<Vec<Column>, ImportError> {
    let parse = || match file.format {
        Format::Parquet => parquet::read(file, rows_max),
        Format::Safetensors => safetensors::read(file, rows_max),
        Format::Npz => npz::read(file, rows_max),
        Format::Csv => csv::read(file, rows_max),
    };
    // Parsers of damaged files may panic; nothing of theirs outlives the call.
    catch_unwind(AssertUnwindSafe(parse)).unwrap_or_else(|panic| {
        let reason = panic
            .downcast_ref::<String>()
            .cloned()
            .or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string))
            .unwrap_or_else(|| "the parser failed".to_owned());
        Err(file.unreadable(&reason))
    })
}

/// Checks one file by itself, and returns its number of rows.
fn check_file(file: &SourceFile, columns: &[Column]) -> Result<usize, ImportError> {
    let mut first: Option<(&str, usize)> = None;
    for (position, column) in columns.iter().enumerate() {
        if columns[..position].iter().any(|other| other.name == column.name) {
            return Err(ImportError::RepeatedColumn { file: file.name.clone(), column: column.name.clone() });
        }
        let Values::Numbers(values) = &column.values else { continue };
        if let Some(row) = values.iter().position(|value| !value.is_finite()) {
            let (file, column, value) = (file.name.clone(), column.name.clone(), values[row]);
            return Err(ImportError::NotFinite { file, column, row, value });
        }
        match first {
            None => first = Some((&column.name, values.len())),
            Some((_, rows)) if rows == values.len() => {}
            Some((name, rows)) => {
                return Err(ImportError::UnequalRows {
                    file: file.name.clone(),
                    column: column.name.clone(),
                    rows: values.len(),
                    first: name.to_owned(),
                    expected: rows,
                });
            }
        }
    }
    match first {
        Some((_, rows)) if rows > 0 => Ok(rows),
        _ => Err(ImportError::Empty { file: file.name.clone() }),
    }
}

fn append(columns: &mut [Column], more: Vec<Column>, first: &str, file: &str) -> Result<(), ImportError> {
    let unequal = |column: &str| ImportError::UnequalColumns {
        file: file.to_owned(),
        first: first.to_owned(),
        column: column.to_owned(),
    };
    if let Some(extra) = more.iter().find(|column| columns.iter().all(|known| known.name != column.name)) {
        return Err(unequal(&extra.name));
    }
    let mut more: Vec<Option<Column>> = more.into_iter().map(Some).collect();
    for column in columns {
        let found = more.iter_mut().find(|other| other.as_ref().is_some_and(|other| other.name == column.name));
        match (&mut column.values, found.and_then(Option::take).map(|other| other.values)) {
            (Values::Numbers(values), Some(Values::Numbers(more))) => values.extend(more),
            (Values::Other(_), Some(Values::Other(_))) => {}
            _ => return Err(unequal(&column.name)),
        }
    }
    Ok(())
}

fn select(file: &str, columns: Vec<Column>, selection: &Selection) -> Result<Imported, ImportError> {
    let find = |wanted: &str| match columns.iter().find(|column| column.name == wanted) {
        Some(Column { values: Values::Numbers(_), .. }) => Ok(wanted.to_owned()),
        Some(Column { values: Values::Other(kind), .. }) => {
            Err(ImportError::Unsupported { file: file.to_owned(), column: wanted.to_owned(), kind: kind.clone() })
        }
        None => Err(ImportError::MissingColumn {
            file: file.to_owned(),
            column: wanted.to_owned(),
            available: columns.iter().map(|column| column.name.as_str()).collect::<Vec<_>>().join(", "),
        }),
    };
    let features: Vec<String> = if selection.features.is_empty() {
        FEATURES_DEFAULT.iter().map(|feature| find(feature)).collect::<Result<_, _>>()?
    } else {
        selection.features.iter().map(|feature| find(feature)).collect::<Result<_, _>>()?
    };
    if let Some((_, repeated)) =
        features.iter().enumerate().find(|(position, name)| features[..*position].contains(name))
    {
        return Err(ImportError::RepeatedFeature(repeated.clone()));
    }
    let gradient_norm = match &selection.gradient_norm {
        Some(column) => Some(find(column)?),
        None => columns
            .iter()
            .any(|column| column.name == GRADIENT_NORM_DEFAULT)
            .then(|| find(GRADIENT_NORM_DEFAULT))
            .transpose()?,
    };
    let mut imported = Imported { columns: Vec::new(), features, gradient_norm, skipped: Vec::new() };
    for column in columns {
        match column.values {
            Values::Numbers(values) => imported.columns.push((column.name, values)),
            Values::Other(_) => imported.skipped.push(column.name),
        }
    }
    Ok(imported)
}

impl SourceFile {
    fn unreadable(&self, reason: &dyn Display) -> ImportError {
        ImportError::Unreadable { file: self.name.clone(), format: self.format.name(), reason: reason.to_string() }
    }

    fn check_rows(&self, rows: usize, rows_max: usize) -> Result<(), ImportError> {
        if rows <= rows_max { Ok(()) } else { Err(ImportError::TooManyRows { file: self.name.clone(), rows_max }) }
    }
}
