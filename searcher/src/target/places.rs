//! Where this machine has what a study names by path.

use std::path::PathBuf;

use super::{HashedFile, Network, PrepareConfig, TargetError};

/// Paths in place of the study's; their content must be the same.
#[derive(Debug, Clone, Default)]
pub struct Places {
    /// The data.
    pub data: Option<PathBuf>,
    /// The TorchScript module.
    pub module: Option<PathBuf>,
    /// The weights that trainings from scratch start from.
    pub weights: Option<PathBuf>,
}

impl Places {
    /// Tells whether the study's paths stand.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.data.is_none() && self.module.is_none() && self.weights.is_none()
    }

    /// Returns `config` with these paths.
    ///
    /// # Errors
    ///
    /// [`TargetError::Module`] when a module is given and the study trains none, [`TargetError::Weights`] likewise.
    pub fn apply(&self, config: &PrepareConfig) -> Result<PrepareConfig, TargetError> {
        let mut placed = config.clone();
        if let Some(path) = &self.data {
            placed.data.path.clone_from(path);
        }
        if let Some(path) = &self.module {
            let Network::Module(HashedFile { sha256, .. }) = &config.target else {
                let reason = format!("the study trains {}, not a module", config.target.name());
                return Err(TargetError::Module { path: path.clone(), reason });
            };
            placed.target = Network::Module(HashedFile { path: path.clone(), sha256: sha256.clone() });
        }
        if let Some(path) = &self.weights {
            let Some(HashedFile { sha256, .. }) = &config.weights else {
                let reason = "the study starts from random weights, not from a file's".to_owned();
                return Err(TargetError::Weights { path: path.clone(), reason });
            };
            placed.weights = Some(HashedFile { path: path.clone(), sha256: sha256.clone() });
        }
        Ok(placed)
    }
}
