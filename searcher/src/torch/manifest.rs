//! The manifest of a work folder: what was prepared there, so that an equal preparation is not done twice.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::{FEATURES_FILE, checkpoint_file};
use crate::target::{Checkpoint, EpochReport, PrepareConfig, TargetError};

const MANIFEST_FILE: &str = "manifest.json";
/// Raised whenever files of an older program must not be reused.
const FORMAT: u32 = 1;

/// What a work folder holds. Written after the files that it speaks of.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Manifest {
    format: u32,
    config: PrepareConfig,
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

impl Manifest {
    pub(super) fn trained(
        config: &PrepareConfig,
        fingerprint: &str,
        epochs: Vec<EpochReport>,
        best_epoch: u32,
    ) -> Self {
        let fingerprint = Some(fingerprint.to_owned());
        Self { format: FORMAT, config: config.clone(), fingerprint, epochs, best_epoch, features_from: None }
    }

    /// Records that the feature file is the one that `config` asks for.
    pub(super) fn with_features_of(mut self, config: &PrepareConfig) -> Self {
        self.config = config.clone();
        self.features_from = Some(config.features_from);
        self
    }

    /// Records that there is no feature file to rely on.
    pub(super) const fn without_features(mut self) -> Self {
        self.features_from = None;
        self
    }

    /// Reads the manifest of `work_dir` if its start network is the one that `config` describes and is still there.
    pub(super) fn matching(config: &PrepareConfig, work_dir: &Path) -> Result<Option<Self>, TargetError> {
        let Some(manifest) = Self::read(work_dir)? else { return Ok(None) };
        let there = |checkpoint| work_dir.join(checkpoint_file(&config.target, checkpoint)).is_file();
        let both = there(Checkpoint::Last) && there(Checkpoint::Best);
        Ok((manifest.trains_as(config) && both).then_some(manifest))
    }

    /// Tells whether the feature file is the one that `config` asks for.
    pub(super) fn has_features_of(&self, config: &PrepareConfig, work_dir: &Path) -> bool {
        let PrepareConfig { extra_features, gradient_norm, .. } = &self.config;
        let same = (extra_features, gradient_norm) == (&config.extra_features, &config.gradient_norm);
        same && self.features_from == Some(config.features_from) && work_dir.join(FEATURES_FILE).is_file()
    }

    pub(super) fn write(&self, work_dir: &Path) -> Result<(), TargetError> {
        let path = work_dir.join(MANIFEST_FILE);
        let error = |reason: String| TargetError::File { path: path.clone(), reason };
        let text = serde_json::to_string_pretty(self).map_err(|source| error(source.to_string()))?;
        let part = work_dir.join("manifest.part.json");
        fs::write(&part, text).and_then(|()| fs::rename(&part, &path)).map_err(|source| error(source.to_string()))
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
    fn trains_as(&self, config: &PrepareConfig) -> bool {
        let ours = PrepareConfig {
            features_from: config.features_from,
            extra_features: config.extra_features.clone(),
            gradient_norm: config.gradient_norm,
            ..self.config.clone()
        };
        self.format == FORMAT && ours == *config
    }
}

/// Refuses a work folder that was prepared for another network, other data or another seed, and returns the fingerprint of the
/// data it was prepared with, where that is known.
pub(super) fn check_prepared_for(config: &PrepareConfig, work_dir: &Path) -> Result<Option<String>, TargetError> {
    match Manifest::read(work_dir)? {
        Some(manifest) if !manifest.trains_as(config) => Err(TargetError::File {
            path: work_dir.join(MANIFEST_FILE),
            reason: "the folder was prepared with other settings: prepare it again or choose another folder".to_owned(),
        }),
        manifest => Ok(manifest.and_then(|manifest| manifest.fingerprint)),
    }
}
