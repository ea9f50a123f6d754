//! What a version in a job's log is.

use std::sync::Arc;

use super::EngineError;
use crate::dataset::Dataset;
use crate::spec::SamplerSpec;

/// A sampler version: a spec, and the features that it weighs examples by.
#[derive(Debug, Clone)]
pub struct SamplerVersion {
    pub(super) spec: SamplerSpec,
    /// Absent: those of the engine's dataset.
    pub(super) features: Option<Arc<Dataset>>,
}

impl SamplerVersion {
    /// A version over a later revision of the dataset's features, which a refresh made: the same examples with other values.
    /// Reads all of `features`, to compare its content with the `served_hash` that the daemon names.
    ///
    /// # Errors
    /// [`EngineError::OtherFeatures`] when the content is another.
    pub fn over(spec: SamplerSpec, features: impl Into<Arc<Dataset>>, served_hash: &str) -> Result<Self, EngineError> {
        let features = features.into();
        let given = features.hash();
        if given != served_hash {
            return Err(EngineError::OtherFeatures { given, served: served_hash.to_owned() });
        }
        Ok(Self { spec, features: Some(features) })
    }
}

impl From<SamplerSpec> for SamplerVersion {
    fn from(spec: SamplerSpec) -> Self {
        Self { spec, features: None }
    }
}
