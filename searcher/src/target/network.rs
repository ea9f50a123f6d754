//! Which network a target trains: a built-in architecture or the user's own TorchScript module.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::{Architecture, HashedFile, Recipe};

/// A network by name or by file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Network {
    /// One of the built-in architectures.
    BuiltIn(Architecture),
    /// The user's own, a TorchScript module as `torch.jit.script(model).save("model.pt")` writes it.
    Module(HashedFile),
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
    pub fn recipe(&self) -> Recipe {
        match self {
            Self::BuiltIn(architecture) => architecture.recipe(),
            Self::Module(_) => Recipe::sgd(0.01, 5e-4),
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
        let module = Network::Module(HashedFile { path: "a/b.pt".into(), sha256: "00".to_owned() });
        let json = serde_json::to_string(&module).unwrap();
        assert_eq!(json, r#"{"path":"a/b.pt","sha256":"00"}"#);
        assert_eq!(serde_json::from_str::<Network>(&json).unwrap(), module);
        assert_eq!(module.name(), "b");
    }

    #[test]
    fn names_with_an_extension_or_a_folder_are_files() {
        assert!(Network::is_file_name("model.pt") && Network::is_file_name("./model"));
        assert!(!Network::is_file_name("resnet18") && !Network::is_file_name("simulated"));
    }
}
