//! Files to read, and their formats.

use std::fmt::Display;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::ReadError;

/// A format that columns are read from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
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
    /// [`ReadError::UnknownFormat`].
    pub fn of_file_name(name: &str) -> Result<Self, ReadError> {
        let extension = Path::new(name).extension().and_then(|extension| extension.to_str()).unwrap_or_default();
        match extension.to_ascii_lowercase().as_str() {
            "parquet" | "pq" => Ok(Self::Parquet),
            "safetensors" => Ok(Self::Safetensors),
            "npz" => Ok(Self::Npz),
            "csv" => Ok(Self::Csv),
            _ => Err(ReadError::UnknownFormat { file: name.to_owned() }),
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
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SourceFile {
    /// The user's name for it, for messages.
    pub name: String,
    /// Where it lies.
    pub path: PathBuf,
    /// How it is to be read.
    pub format: Format,
}

impl SourceFile {
    /// Names a file by its path, and its format by its extension.
    ///
    /// # Errors
    /// [`ReadError::UnknownFormat`].
    pub fn at(path: &Path) -> Result<Self, ReadError> {
        let name = path.display().to_string();
        Ok(Self { format: Format::of_file_name(&name)?, path: path.to_owned(), name })
    }

    pub(crate) fn unreadable(&self, reason: &dyn Display) -> ReadError {
        ReadError::Unreadable { file: self.name.clone(), format: self.format.name(), reason: reason.to_string() }
    }

    pub(crate) fn check_rows(&self, rows: usize, rows_max: usize) -> Result<(), ReadError> {
        if rows <= rows_max { Ok(()) } else { Err(ReadError::TooManyRows { file: self.name.clone(), rows_max }) }
    }
}
