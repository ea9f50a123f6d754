//! A dataset that is at the daemon already: its columns are fetched, since the search needs to know what samplers do to it.

use std::path::Path;

use swift_sampler_client::blocking::Client;
use swift_sampler_client::{ClientError, proto};
use swift_sampler_files::Selection;

use super::SearchConfig;
use crate::command_target::write_features;
use crate::error::SearcherError;
use crate::preparation::Preparation;

/// The columns as the daemon keeps them.
const COLUMNS_FILE: &str = "columns.safetensors";

/// Fetches the columns of the search's dataset into the work folder.
pub(super) fn fetch(
    client: &Client,
    config: &SearchConfig,
    work_dir: &Path,
) -> Result<(Preparation, proto::Dataset), SearcherError> {
    let dataset = match client.get_dataset(&config.dataset) {
        Ok(dataset) => dataset,
        Err(ClientError::NotFound(reason)) => {
            return Err(SearcherError::Config(format!(
                "{reason}: import it, or give the files with the examples' features as --data"
            )));
        }
        Err(error) => return Err(error.into()),
    };
    let wanted = &config.plan.space.features;
    if *wanted != dataset.features {
        return Err(SearcherError::Config(format!(
            "dataset {:?} has the features {}, and the search is over {}",
            dataset.name,
            dataset.features.join(", "),
            wanted.join(", ")
        )));
    }
    let path = work_dir.join(COLUMNS_FILE);
    client.fetch_columns(&dataset.hash, &path)?;
    let gradient_norm = Some(dataset.gradient_norm.clone()).filter(|name| !name.is_empty());
    let selection = Selection { features: dataset.features.clone(), gradient_norm };
    let features = write_features(std::slice::from_ref(&path), &selection, work_dir)?;
    std::fs::remove_file(&path).map_err(SearcherError::file(&path))?;
    Ok((Preparation { features, start_epochs: 0, reused: false }, dataset))
}
