//! The study's dataset at the daemon.

use std::path::{Path, PathBuf};

use swift_sampler_client::blocking::Client;
use swift_sampler_client::{ClientError, ImportRequest, proto};

use super::SearchConfig;
use crate::error::SearcherError;
use crate::features_file;
use crate::policy::LABEL_IS_RIGHT;
use crate::preparation::{Preparation, TargetConfig};

/// The column of gradient norms that preparations write.
const GRADIENT_NORM: &str = "grad_norm";
/// Features with the column of right labels, in the work folder.
const LABELLED_FILE: &str = "features-and-labels.parquet";

/// Imports the features, with the column [`LABEL_IS_RIGHT`] if the plan retrains under exact labels.
pub(super) fn import(
    client: &Client,
    config: &SearchConfig,
    preparation: &Preparation,
    work_dir: &Path,
) -> Result<proto::Dataset, SearcherError> {
    let features = if config.plan.protocol.exact_labels {
        let wrong = config.target.wrong_labels()?.ok_or_else(|| {
            SearcherError::Config("--exact-labels needs wrong labels to know of: --label-noise above 0".to_owned())
        })?;
        with_labels(&preparation.features, &wrong, work_dir)?
    } else {
        preparation.features.clone()
    };
    let request = ImportRequest {
        features: config.plan.space.features.clone(),
        // A user's own features may be without it.
        gradient_norm: (!matches!(config.target, TargetConfig::Command(_))).then(|| GRADIENT_NORM.to_owned()),
        ..ImportRequest::new(&config.dataset, [features])
    };
    match client.import_dataset(&request, |_| {}) {
        Ok(dataset) => Ok(dataset),
        Err(ClientError::AlreadyExists(reason)) => {
            Err(SearcherError::Config(format!("{reason}: give another --dataset, or remove the old one")))
        }
        Err(error) => Err(error.into()),
    }
}

/// Writes the features again with the column of right labels.
fn with_labels(features: &Path, wrong: &[bool], work_dir: &Path) -> Result<PathBuf, SearcherError> {
    let data = |error: features_file::FeaturesFileError| SearcherError::Data(error.to_string());
    let table = features_file::read(features).map_err(data)?;
    let right: Vec<f64> = wrong.iter().map(|wrong| f64::from(u8::from(!wrong))).collect();
    let mut columns: Vec<(&str, &[f64])> = table.columns().filter(|(name, _)| *name != LABEL_IS_RIGHT).collect();
    columns.push((LABEL_IS_RIGHT, &right));
    let path = work_dir.join(LABELLED_FILE);
    features_file::write(&path, &columns).map_err(data)?;
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn right_labels_are_a_column_beside_the_features() {
        let folder = tempfile::tempdir().unwrap();
        let features = folder.path().join("features.parquet");
        features_file::write(&features, &[("loss", &[0.5, 2.0, 0.1])]).unwrap();
        let labelled = with_labels(&features, &[false, true, false], folder.path()).unwrap();
        let table = features_file::read(&labelled).unwrap();
        assert_eq!(table.column("loss").unwrap(), [0.5, 2.0, 0.1]);
        assert_eq!(table.column(LABEL_IS_RIGHT).unwrap(), [1.0, 0.0, 1.0]);
        assert_eq!(features_file::read(&features).unwrap().names(), ["loss"], "the features file stays as it is");
    }
}
