//! What a stored dataset consists of, and the hash that names it.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use swift_sampler::{Dataset, FeatureTableError};

/// Version of the layout on disk.
const FORMAT: u32 = 1;

/// The content of `manifest.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// Version of the layout.
    pub format: u32,
    /// Number of examples.
    pub rows: u64,
    /// The features samplers combine by default.
    pub features: Vec<String>,
    /// The column of gradient norms.
    pub gradient_norm: Option<String>,
    /// The columns, ascending in name, whatever order they were imported in.
    pub columns: Vec<ColumnEntry>,
    /// SHA-256 of the file of cells, hexadecimal. Cells follow from the columns, so this is no part of the hash.
    pub cells_sha256: String,
}

/// One column.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ColumnEntry {
    /// Its name.
    pub name: String,
    /// Type of its values.
    pub dtype: String,
    /// SHA-256 of its values, little-endian, hexadecimal.
    pub sha256: String,
}

impl Manifest {
    /// Describes a dataset, reading all of it; the file of cells is still to be written.
    ///
    /// # Errors
    /// [`FeatureTableError`] when the table lacks a column that it names.
    pub fn describe(dataset: &Dataset) -> Result<Self, FeatureTableError> {
        let table = dataset.table();
        let entry = |name: &String| {
            let sha256 = checksum(table.column(name)?);
            Ok(ColumnEntry { name: name.clone(), dtype: "F64".to_owned(), sha256 })
        };
        let mut columns: Vec<ColumnEntry> = table.names().iter().map(entry).collect::<Result<_, _>>()?;
        columns.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(Self {
            format: FORMAT,
            rows: dataset.rows() as u64,
            features: dataset.features().to_vec(),
            gradient_norm: dataset.gradient_norm().map(ToOwned::to_owned),
            columns,
            cells_sha256: String::new(),
        })
    }

    /// Returns the dataset's hash: SHA-256 over rows, features, gradient norm and, for each column, name, type and
    /// checksum, each preceded by its length. File names and the order of columns do not enter.
    #[must_use]
    pub fn hash(&self) -> String {
        let mut hasher = Sha256::new();
        let mut text = |field: &str| {
            hasher.update((field.len() as u64).to_le_bytes());
            hasher.update(field.as_bytes());
        };
        text("swift-sampler dataset");
        text(&self.format.to_string());
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
        hexadecimal(&hasher.finalize())
    }

    /// Returns the manifest as JSON text.
    pub(super) fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).expect("a manifest is plain data, whose serialisation cannot fail")
    }

    /// Parses JSON text; a sentence says what is wrong.
    pub(super) fn parse(text: &[u8]) -> Result<Self, String> {
        let manifest: Self = serde_json::from_slice(text).map_err(|error| error.to_string())?;
        if manifest.format == FORMAT {
            Ok(manifest)
        } else {
            Err(format!("format {} is not known to this samplerd, which knows {FORMAT}", manifest.format))
        }
    }
}

/// Returns the SHA-256 of a column's values, hexadecimal.
pub(super) fn checksum(values: &[f64]) -> String {
    sha256(bytemuck::cast_slice(values))
}

/// Returns the SHA-256 of bytes, hexadecimal.
pub(super) fn sha256(bytes: &[u8]) -> String {
    hexadecimal(&Sha256::digest(bytes))
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
