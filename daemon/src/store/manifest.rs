//! What a stored dataset consists of.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use swift_sampler::DatasetContent;

/// Version of the layout on disk.
const FORMAT: u32 = 2;
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
    /// SHA-256 of the file of cells, hexadecimal. Cells follow from the columns, so this is no part of the hash.
    pub cells_sha256: String,
}

impl Manifest {
    /// Describes what is stored.
    #[must_use]
    pub fn new(content: DatasetContent, cells_sha256: String) -> Self {
        Self { format: FORMAT, content, cells_sha256 }
    }

    /// Returns the manifest as JSON text.
    pub(super) fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).expect("a manifest is plain data, whose serialisation cannot fail")
    }

    /// Parses JSON text; a sentence says what is wrong.
    pub(super) fn parse(text: &[u8]) -> Result<Self, String> {
        let manifest: Self = serde_json::from_slice(text).map_err(|error| error.to_string())?;
        match manifest.format {
            FORMAT | FORMAT_QUANTILES_OF_CELLS => Ok(manifest),
            format => Err(format!(
                "format {format} is not known to this samplerd, which knows {FORMAT_QUANTILES_OF_CELLS} to {FORMAT}"
            )),
        }
    }
}

/// Returns the SHA-256 of bytes, hexadecimal.
pub(super) fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}
