//! A target that a user's command trains: all that is known of it is the dataset that its indices are about.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use swift_sampler::FeatureTable;
use swift_sampler_files::{FeatureColumns, Selection, SourceFile};

use crate::error::SearcherError;
use crate::features_file;

/// The column of gradient norms of a prepared features file.
const GRADIENT_NORM: &str = "grad_norm";

/// What a command trains.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CommandTarget {
    /// Started by a shell, once a trial; see `searcher --help` and the README for what it is told and what it answers.
    pub command: String,
    /// Files with the examples' features; none: the dataset is at the daemon already.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub features: Vec<PathBuf>,
}

impl CommandTarget {
    /// Reads the features and writes them to `features.parquet` in the work folder, whose path it returns.
    ///
    /// # Errors
    /// [`SearcherError::Data`] naming the file, column and row that are wrong.
    pub fn write_features(&self, work_dir: &Path) -> Result<PathBuf, SearcherError> {
        write_features(&self.features, &Selection::default(), work_dir)
    }
}

/// Writes feature columns of any format to `features.parquet` in the work folder, and returns its path. Where the gradient
/// norm is another column, it is `grad_norm` there.
///
/// # Errors
/// [`SearcherError::Data`] naming the file, column and row that are wrong.
pub fn write_features(files: &[PathBuf], selection: &Selection, work_dir: &Path) -> Result<PathBuf, SearcherError> {
    let data = |error: &dyn std::fmt::Display| SearcherError::Data(error.to_string());
    let files: Vec<SourceFile> =
        files.iter().map(|file| SourceFile::at(file)).collect::<Result<_, _>>().map_err(|error| data(&error))?;
    let read = swift_sampler_files::read(&files, selection, swift_sampler_files::ROWS_MAX);
    let FeatureColumns { mut columns, gradient_norm, .. } = read.map_err(|error| data(&error))?;
    if let Some(gradient_norm) = gradient_norm.filter(|name| name != GRADIENT_NORM) {
        columns.retain(|(name, _)| name != GRADIENT_NORM);
        columns
            .iter_mut()
            .filter(|(name, _)| *name == gradient_norm)
            .for_each(|(name, _)| *name = GRADIENT_NORM.into());
    }
    let table = FeatureTable::new(columns).map_err(|error| data(&error))?;
    let columns: Vec<(&str, &[f64])> = table.columns().collect();
    let path = work_dir.join("features.parquet");
    features_file::write(&path, &columns).map_err(|error| data(&error))?;
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn features_of_any_format_are_prepared_and_bad_ones_named() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("mine.csv");
        std::fs::write(&file, "loss,entropy,norm\n0.1,1.5,2\n2.0,0.2,3\n").unwrap();
        let selection = Selection { gradient_norm: Some("norm".to_owned()), ..Selection::default() };
        let path = write_features(std::slice::from_ref(&file), &selection, folder.path()).unwrap();
        let table = features_file::read(&path).unwrap();
        assert_eq!(table.column("loss").unwrap(), [0.1, 2.0]);
        assert_eq!(table.column("grad_norm").unwrap(), [2.0, 3.0]);

        std::fs::write(&file, "loss,entropy\n0.1,much\n").unwrap();
        let target = CommandTarget { command: "true".to_owned(), features: vec![file] };
        let error = target.write_features(folder.path()).unwrap_err();
        assert!(matches!(&error, SearcherError::Data(said) if said.contains("mine.csv")), "{error}");
    }
}
