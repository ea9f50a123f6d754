//! What a dataset consists of, and the hash that names it.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::dataset::Dataset;

/// Version of what is hashed, and how.
const FORMAT: u32 = 1;
/// The type that columns have.
const F64: &str = "F64";
/// The version of cells that contents had before they named it.
const CELLS_VERSION_FIRST: u32 = 1;
/// Values that are hashed at once.
const VALUES_A_BLOCK: usize = 1024;

/// A description of a dataset by checksums: two datasets of equal content draw equal batches.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DatasetContent {
    /// Number of examples.
    pub rows: u64,
    /// Index of the first example; left out where it is 0.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub first_row: u64,
    /// The features samplers combine by default.
    pub features: Vec<String>,
    /// The column of gradient norms.
    pub gradient_norm: Option<String>,
    /// Version of the rules by which the examples were grouped into cells; left out where it is 1.
    #[serde(default = "cells_version_first", skip_serializing_if = "is_cells_version_first")]
    pub cells_version: u32,
    /// The columns, ascending in name, whatever order they came in.
    pub columns: Vec<ColumnContent>,
}

/// One column.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ColumnContent {
    /// Its name.
    pub name: String,
    /// Type of its values.
    pub dtype: String,
    /// SHA-256 of its values, little-endian, hexadecimal.
    pub sha256: String,
}

impl ColumnContent {
    /// Describes a column of f64 by the checksum of its values.
    #[must_use]
    pub fn of_f64(name: &str, sha256: &str) -> Self {
        Self { name: name.to_owned(), dtype: F64.to_owned(), sha256: sha256.to_owned() }
    }
}

impl DatasetContent {
    /// Describes a dataset, reading all of it.
    #[must_use]
    pub fn of(dataset: &Dataset) -> Self {
        let column = |(name, values): (&str, &[f64])| ColumnContent::of_f64(name, &column_sha256(values));
        let mut columns: Vec<ColumnContent> = dataset.table().columns().map(column).collect();
        columns.sort_by(|a, b| a.name.cmp(&b.name));
        Self {
            rows: dataset.rows() as u64,
            first_row: dataset.first_row(),
            features: dataset.features().to_vec(),
            gradient_norm: dataset.gradient_norm().map(ToOwned::to_owned),
            cells_version: dataset.cells().version(),
            columns,
        }
    }

    /// Returns the dataset's hash: SHA-256 over rows, features, gradient norm and, for each column, name, type and
    /// checksum, each preceded by its length; and the first row where it is not 0, the cells' version where it is not 1.
    /// File names and the order of columns do not enter.
    #[must_use]
    pub fn hash(&self) -> String {
        let mut hasher = Sha256::new();
        let mut text = |field: &str| {
            hasher.update((field.len() as u64).to_le_bytes());
            hasher.update(field.as_bytes());
        };
        text("swift-sampler dataset");
        text(&FORMAT.to_string());
        text(&self.rows.to_string());
        text(&self.features.len().to_string());
        self.features.iter().for_each(|feature| text(feature));
        text(&usize::from(self.gradient_norm.is_some()).to_string());
        text(self.gradient_norm.as_deref().unwrap_or_default());
        for column in &self.columns {
            text(&column.name);
            text(&column.dtype);
            text(&column.sha256);
        }
        if self.first_row != 0 {
            text("first row");
            text(&self.first_row.to_string());
        }
        if self.cells_version != CELLS_VERSION_FIRST {
            text("cells version");
            text(&self.cells_version.to_string());
        }
        hexadecimal(&hasher.finalize())
    }
}

/// Returns the SHA-256 of a column's values, little-endian, hexadecimal.
#[must_use]
pub fn column_sha256(values: &[f64]) -> String {
    let mut hasher = Sha256::new();
    let mut block = Vec::with_capacity(VALUES_A_BLOCK * size_of::<f64>());
    for values in values.chunks(VALUES_A_BLOCK) {
        block.clear();
        block.extend(values.iter().flat_map(|value| value.to_le_bytes()));
        hasher.update(&block);
    }
    hexadecimal(&hasher.finalize())
}

fn cells_version_first() -> u32 {
    CELLS_VERSION_FIRST
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes fields by reference")]
fn is_cells_version_first(version: &u32) -> bool {
    *version == CELLS_VERSION_FIRST
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes fields by reference")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
