//! The manifest of a work folder: what was prepared there, so that an equal preparation is not done twice.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::{FEATURES_FILE, checkpoint_file};
use crate::target::{Checkpoint, EpochReport, PrepareConfig, TargetError};

const MANIFEST_FILE: &str = "manifest.json";
/// Raised whenever files of an older program must not be reused.
const FORMAT: u32 = 1;

/// What a preparation is asked for.
pub(super) trait Prepares: Clone + PartialEq + Serialize + DeserializeOwned {
    /// Returns the file in the work folder that holds the start network as it was at a checkpoint.
    fn checkpoint_file(&self, checkpoint: Checkpoint) -> &'static str;

    /// Returns the checkpoint that the features come from.
    fn features_from(&self) -> Checkpoint;

    /// Returns this, with the features that `other` asks for: the same start network.
    fn with_features_of(&self, other: &Self) -> Self;
}

impl Prepares for PrepareConfig {
    fn checkpoint_file(&self, checkpoint: Checkpoint) -> &'static str {
        checkpoint_file(&self.target, checkpoint)
    }

    fn features_from(&self) -> Checkpoint {
        self.features_from
    }

    fn with_features_of(&self, other: &Self) -> Self {
        Self {
            features_from: other.features_from,
            extra_features: other.extra_features.clone(),
            gradient_norm: other.gradient_norm,
            ..self.clone()
        }
    }
}

/// What a work folder holds. Written after the files that it speaks of.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(bound(serialize = "C: Serialize", deserialize = "C: DeserializeOwned"))]
pub(super) struct Manifest<C = PrepareConfig> {
    format: u32,
    config: C,
    /// Fingerprint of the data, [`crate::data::Split::fingerprint`]; `None` in folders of before it was taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    fingerprint: Option<String>,
    /// The epochs of the start network.
    pub(super) epochs: Vec<EpochReport>,
    /// The epoch of the best validation accuracy.
    pub(super) best_epoch: u32,
    /// The checkpoint that the feature file came from, if it is finished.
    features_from: Option<Checkpoint>,
}

impl<C: Prepares> Manifest<C> {
    pub(super) fn trained(config: &C, fingerprint: &str, epochs: Vec<EpochReport>, best_epoch: u32) -> Self {
        let fingerprint = Some(fingerprint.to_owned());
        Self { format: FORMAT, config: config.clone(), fingerprint, epochs, best_epoch, features_from: None }
    }

    /// Records that the feature file is the one that `config` asks for.
    pub(super) fn with_features_of(mut self, config: &C) -> Self {
        self.config = config.clone();
        self.features_from = Some(config.features_from());
        self
    }

    /// Records that there is no feature file to rely on.
    pub(super) fn without_features(mut self) -> Self {
        self.features_from = None;
        self
    }

    /// Reads the manifest of `work_dir` if its start network is the one that `config` describes and is still there.
    pub(super) fn matching(config: &C, work_dir: &Path) -> Result<Option<Self>, TargetError> {
        let Some(manifest) = Self::read(work_dir)? else { return Ok(None) };
        let there = |checkpoint| work_dir.join(config.checkpoint_file(checkpoint)).is_file();
        let both = there(Checkpoint::Last) && there(Checkpoint::Best);
        Ok((manifest.trains_as(config) && both).then_some(manifest))
    }

    /// Tells whether the feature file is the one that `config` asks for.
    pub(super) fn has_features_of(&self, config: &C, work_dir: &Path) -> bool {
        let same = self.config.with_features_of(config) == self.config;
        same && self.features_from == Some(config.features_from()) && work_dir.join(FEATURES_FILE).is_file()
    }

    pub(super) fn write(&self, work_dir: &Path) -> Result<(), TargetError> {
        let path = work_dir.join(MANIFEST_FILE);
        let error = |reason: String| TargetError::File { path: path.clone(), reason };
        let text = serde_json::to_string_pretty(self).map_err(|source| error(source.to_string()))?;
        let part = work_dir.join("manifest.part.json");
        fs::write(&part, text).and_then(|()| fs::rename(&part, &path)).map_err(|source| error(source.to_string()))
    }

    fn read(work_dir: &Path) -> Result<Option<Self>, TargetError> {
        let path = work_dir.join(MANIFEST_FILE);
        match fs::read(&path) {
            // A manifest of another format or program says nothing about the files: they are made again.
            Ok(bytes) => Ok(serde_json::from_slice(&bytes).ok()),
            Err(source) if source.kind() == ErrorKind::NotFound => Ok(None),
            Err(source) => Err(TargetError::File { path, reason: source.to_string() }),
        }
    }

    /// Tells whether `config` would train the same start network, wherever its features come from.
    fn trains_as(&self, config: &C) -> bool {
        self.format == FORMAT && self.config.with_features_of(config) == *config
    }
}

/// Removes the manifest before the files that it speaks of change.
pub(super) fn remove(work_dir: &Path) -> Result<(), TargetError> {
    let path = work_dir.join(MANIFEST_FILE);
    match fs::remove_file(&path) {
        Err(source) if source.kind() != ErrorKind::NotFound => {
            Err(TargetError::File { path, reason: source.to_string() })
        }
        _ => Ok(()),
    }
}

/// Refuses a work folder that was prepared for another network, other data or another seed, and returns the fingerprint of the
/// data it was prepared with, where that is known.
pub(super) fn check_prepared_for<C: Prepares>(config: &C, work_dir: &Path) -> Result<Option<String>, TargetError> {
    match Manifest::<C>::read(work_dir)? {
        Some(manifest) if !manifest.trains_as(config) => Err(TargetError::File {
            path: work_dir.join(MANIFEST_FILE),
            reason: "the folder was prepared with other settings: prepare it again or choose another folder".to_owned(),
        }),
        manifest => Ok(manifest.and_then(|manifest| manifest.fingerprint)),
    }
}
