//! What a stored dataset consists of.

use serde::{Deserialize, Serialize};
use swift_sampler::DatasetContent;

/// Version of the layout on disk.
pub(super) const FORMAT: u32 = 2;
/// The version before, whose file of cells has the quantiles of each cell instead of its intervals.
pub(super) const FORMAT_QUANTILES_OF_CELLS: u32 = 1;

/// The content of `manifest.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// Version of the layout.
    pub format: u32,
    /// The dataset's content, whose hash names it.
    #[serde(flatten)]
    pub content: DatasetContent,
    /// Checksums of the file of cells.
    #[serde(flatten)]
    pub cells: CellsChecksums,
}

/// Checksums of the file of cells. Cells follow from the columns, so they are no part of a dataset's hash.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CellsChecksums {
    /// SHA-256 of the file, hexadecimal.
    pub cells_sha256: String,
    /// SHA-256 of what comes before the row order, hexadecimal: what is read whole when a dataset is opened. Format 1 has
    /// none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cells_tables_sha256: Option<String>,
}

impl Manifest {
    /// Describes what is stored.
    #[must_use]
    pub fn new(content: DatasetContent, cells: CellsChecksums) -> Self {
        Self { format: FORMAT, content, cells }
    }

    /// Returns the manifest as JSON text.
    #[must_use]
    #[allow(clippy::missing_panics_doc, reason = "plain data is always serialised")]
    pub fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).expect("a manifest is plain data, whose serialisation cannot fail")
    }

    /// Parses JSON text.
    ///
    /// # Errors
    /// A sentence that says what is wrong.
    pub fn parse(text: &[u8]) -> Result<Self, String> {
        let manifest: Self = serde_json::from_slice(text).map_err(|error| error.to_string())?;
        match manifest.format {
            FORMAT if manifest.cells.cells_tables_sha256.is_none() => Err("it has no cells_tables_sha256".to_owned()),
            FORMAT | FORMAT_QUANTILES_OF_CELLS => Ok(manifest),
            format => Err(format!(
                "format {format} is not known to this samplerd, which knows {FORMAT_QUANTILES_OF_CELLS} to {FORMAT}"
            )),
        }
    }
}
