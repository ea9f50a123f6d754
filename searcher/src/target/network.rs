//! Which network a target trains: a built-in architecture or the user's own TorchScript module.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{Architecture, Recipe, Schedule, TargetError};

/// Bytes that are hashed at once.
const HASH_BLOCK_BYTES: usize = 1 << 20;

/// A network by name or by file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Network {
    /// One of the built-in architectures.
    BuiltIn(Architecture),
    /// The user's own.
    Module(ModuleConfig),
}

/// A TorchScript module, as `torch.jit.script(model).save("model.pt")` writes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModuleConfig {
    /// The file.
    pub path: PathBuf,
    /// SHA-256 of the file's bytes, in hexadecimal: another file is another study.
    pub sha256: String,
}

impl Network {
    /// Returns the name that studies and reports show: the architecture's, or the file's without its extension.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::BuiltIn(architecture) => architecture.name(),
            Self::Module(module) => module.path.file_stem().and_then(|stem| stem.to_str()).unwrap_or("module"),
        }
    }

    /// Returns the optimiser settings unless told otherwise.
    #[must_use]
    pub const fn recipe(&self) -> Recipe {
        match self {
            Self::BuiltIn(architecture) => architecture.recipe(),
            Self::Module(_) => {
                Recipe { learning_rate: 0.01, schedule: Schedule::Cosine, momentum: 0.9, weight_decay: 5e-4 }
            }
        }
    }

    /// Tells whether a target of this name on the command line is a file, and not the name of an architecture.
    #[must_use]
    pub fn is_file_name(name: &str) -> bool {
        let extension = Path::new(name).extension().and_then(|extension| extension.to_str());
        name.contains('/') || matches!(extension, Some("pt" | "pth" | "ts"))
    }
}

impl From<Architecture> for Network {
    fn from(architecture: Architecture) -> Self {
        Self::BuiltIn(architecture)
    }
}

impl ModuleConfig {
    /// Reads and hashes the module's file.
    ///
    /// # Errors
    ///
    /// [`TargetError::File`] if it cannot be read.
    pub fn of_file(path: impl Into<PathBuf>) -> Result<Self, TargetError> {
        let path = path.into();
        let sha256 = sha256_of_file(&path)
            .map_err(|source| TargetError::File { path: path.clone(), reason: source.to_string() })?;
        Ok(Self { path, sha256 })
    }

    /// Checks that the file still is the one that was hashed.
    ///
    /// # Errors
    ///
    /// [`TargetError::File`] if it cannot be read, [`TargetError::OtherModule`] if it is another.
    pub fn check_file(&self) -> Result<(), TargetError> {
        let found = Self::of_file(&self.path)?.sha256;
        if found == self.sha256 {
            return Ok(());
        }
        Err(TargetError::OtherModule { path: self.path.clone(), expected: self.sha256.clone(), found })
    }
}

fn sha256_of_file(path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    let mut hash = Sha256::new();
    let mut block = vec![0; HASH_BLOCK_BYTES];
    loop {
        match file.read(&mut block)? {
            0 => break,
            length => hash.update(&block[..length]),
        }
    }
    Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

/// How values of the data become a network's input.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InputScale {
    /// Less the mean, divided by the standard deviation, of each channel (or feature of a vector) over the training set.
    #[default]
    Standardised,
    /// As they are: bytes divided by 255, floats unchanged. For networks that scale their input themselves.
    Stored,
}

impl InputScale {
    pub(super) fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_of_before_modules_are_read_and_built_in_targets_are_written_as_ever() {
        let network: Network = serde_json::from_str("\"cnn\"").unwrap();
        assert_eq!(network, Network::BuiltIn(Architecture::Cnn));
        assert_eq!(serde_json::to_string(&network).unwrap(), "\"cnn\"");
        let module = Network::Module(ModuleConfig { path: "a/b.pt".into(), sha256: "00".to_owned() });
        let json = serde_json::to_string(&module).unwrap();
        assert_eq!(json, r#"{"path":"a/b.pt","sha256":"00"}"#);
        assert_eq!(serde_json::from_str::<Network>(&json).unwrap(), module);
        assert_eq!(module.name(), "b");
    }

    #[test]
    fn a_file_that_changed_is_refused_by_its_hash() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.pt");
        std::fs::write(&path, "abc").unwrap();
        let module = ModuleConfig::of_file(&path).unwrap();
        // The digest that FIPS 180-2 gives for these three bytes.
        assert_eq!(module.sha256, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        module.check_file().unwrap();
        std::fs::write(&path, "abd").unwrap();
        assert!(matches!(module.check_file(), Err(TargetError::OtherModule { .. })));
        std::fs::remove_file(&path).unwrap();
        assert!(module.check_file().unwrap_err().to_string().contains("model.pt"));
    }

    #[test]
    fn names_with_an_extension_or_a_folder_are_files() {
        assert!(Network::is_file_name("model.pt") && Network::is_file_name("./model"));
        assert!(!Network::is_file_name("resnet18") && !Network::is_file_name("simulated"));
    }
}
