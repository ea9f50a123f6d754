//! Where this machine has what a study names by path.

use std::path::PathBuf;

use super::{ModuleConfig, Network, PrepareConfig, TargetError};

/// Paths in place of the study's; their content must be the same.
#[derive(Debug, Clone, Default)]
pub struct Places {
    /// The data.
    pub data: Option<PathBuf>,
    /// The TorchScript module.
    pub module: Option<PathBuf>,
}

impl Places {
    /// Tells whether the study's paths stand.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.data.is_none() && self.module.is_none()
    }

    /// Returns `config` with these paths.
    ///
    /// # Errors
    ///
    /// [`TargetError::Module`] when a module is given and the study trains none.
    pub fn apply(&self, config: &PrepareConfig) -> Result<PrepareConfig, TargetError> {
        let mut placed = config.clone();
        if let Some(path) = &self.data {
            placed.data.path.clone_from(path);
        }
        if let Some(path) = &self.module {
            let Network::Module(ModuleConfig { sha256, .. }) = &config.target else {
                let reason = format!("the study trains {}, not a module", config.target.name());
                return Err(TargetError::Module { path: path.clone(), reason });
            };
            placed.target = Network::Module(ModuleConfig { path: path.clone(), sha256: sha256.clone() });
        }
        Ok(placed)
    }
}
