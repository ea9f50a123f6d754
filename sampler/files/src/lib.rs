//! Reads feature columns out of users' files, as `samplerd` and engines without one do.
//!
//! Files follow each other; the row number over all of them is the example's index. A column that is not numeric is left
//! out unless it is a feature or the gradient norm; every other doubt is an error that names file, column and row.
//!
//! ```
//! use swift_sampler::job::Shard;
//! use swift_sampler::{Engine, JobParameters, SamplerSpec};
//! use swift_sampler_files::{Selection, open};
//!
//! # let folder = tempfile::tempdir()?;
//! # let path = folder.path().join("features.csv");
//! # std::fs::write(&path, "loss,entropy\n0.1,1.5\n2.0,0.2\n0.7,1.1\n")?;
//! let dataset = open(&[&path], &Selection::default())?;
//! let engine = Engine::new(dataset, &SamplerSpec::Uniform {}, JobParameters::new(4))?;
//! for batch in engine.batches(0..10, Shard::WHOLE) {
//!     assert_eq!(batch?.indices.len(), 4);
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod column;
mod csv;
mod error;
mod limits;
mod memory;
mod missing;
mod npz;
mod parquet;
mod part;
mod reading;
mod safetensors;
mod selection;
mod source_file;

use std::path::Path;

use swift_sampler::Dataset;

pub use error::ReadError;
pub use memory::read;
pub use missing::{Missing, MissingValues, median};
pub use reading::{ColumnSink, FeatureFiles, ReadIntoError};
pub use selection::{FeatureColumns, Selection};
pub use source_file::{Format, SourceFile};

/// Rows that 32-bit indices name.
pub const ROWS_MAX: usize = u32::MAX as usize;

/// Reads files of formats that their extensions name, and makes the dataset that `samplerd` makes of them. Blocks, for as
/// long as parsing and sorting take.
///
/// # Errors
/// [`ReadError`] naming the file, column and row that are wrong.
pub fn open(files: &[impl AsRef<Path>], selection: &Selection) -> Result<Dataset, ReadError> {
    let files: Vec<SourceFile> =
        files.iter().map(|file| SourceFile::at(file.as_ref())).collect::<Result<_, ReadError>>()?;
    read(&files, selection, ROWS_MAX)?.into_dataset()
}
