//! New values of a dataset's features, under running jobs.

use std::path::PathBuf;

use bytes::Bytes;
use swift_sampler_proto::v1;
use swift_sampler_proto::v1::refresh_features_request::Part;

use crate::client::{Limit, Repeat};
use crate::upload::{Source, described, upload};
use crate::{Client, ClientError};

/// New values of some columns of a dataset.
#[derive(Debug, Clone, PartialEq)]
pub struct RefreshRequest {
    /// The dataset's name.
    pub dataset: String,
    /// The values; columns that are left out keep theirs.
    pub values: NewValues,
    /// Index of the example of the first value, where there are values of only some; `None`: of all examples.
    pub first_row: Option<u64>,
}

/// Where new values are.
#[derive(Debug, Clone, PartialEq)]
pub enum NewValues {
    /// In files whose rows follow each other; all have the same columns.
    Files {
        /// The files.
        files: Vec<PathBuf>,
        /// Their format; `Unspecified`: told by their extensions.
        format: v1::FileFormat,
    },
    /// In memory: columns of equal length, by name.
    Columns(Vec<(String, Vec<f64>)>),
}

impl RefreshRequest {
    /// New values in memory, of all examples.
    #[must_use]
    pub fn new(dataset: &str, columns: Vec<(String, Vec<f64>)>) -> Self {
        Self { dataset: dataset.into(), values: NewValues::Columns(columns), first_row: None }
    }
}

impl Client {
    /// Replaces values of a dataset's features, and makes the active sampler over them the active version: jobs take it up
    /// at their horizon, steps that are decided stay what they are. The values become a revision of the features, which is
    /// kept as long as a job's log refers to it.
    ///
    /// # Errors
    /// [`ClientError::File`] when a file cannot be read here; [`ClientError::Invalid`] when the values are refused: their
    /// number is not that of the examples, a column is none of the dataset's, or one is not finite. The present values keep
    /// serving then.
    pub async fn refresh_features(&self, request: &RefreshRequest) -> Result<v1::RefreshedFeatures, ClientError> {
        let (sources, files) = match &request.values {
            NewValues::Files { files, format } => {
                let described = files.iter().map(|path| described(path, *format)).collect();
                (files.iter().cloned().map(Source::File).collect(), described)
            }
            NewValues::Columns(columns) => {
                let file = v1::ImportFile { name: "columns".into(), format: v1::FileFormat::Safetensors.into() };
                (vec![Source::Memory(safetensors(columns)?)], vec![file])
            }
        };
        let header = v1::RefreshHeader { dataset: request.dataset.clone(), files, first_row: request.first_row };
        // An upload takes as long as the values are many; a dead connection is noticed by its keep-alive.
        let answer = self.unary(Limit::None, Repeat::Safe, |call| {
            let (header, sources, mut service) = (header.clone(), sources.clone(), call.control());
            upload(
                sources,
                v1::RefreshFeaturesRequest { part: Some(Part::Header(header)) },
                |_sent| {},
                async move |parts| Ok(service.refresh_features(parts).await?.into_inner()),
            )
        });
        answer.await?
    }
}

/// Writes columns as a safetensors file: the length of the header, the header, the values.
fn safetensors(columns: &[(String, Vec<f64>)]) -> Result<Bytes, ClientError> {
    let rows = columns.first().map_or(0, |(_, values)| values.len());
    let mut header = serde_json::Map::new();
    for (number, (name, values)) in columns.iter().enumerate() {
        if values.len() != rows {
            let (first, len) = (&columns[0].0, values.len());
            return Err(ClientError::Invalid(format!("column {name:?} has {len} values, column {first:?} has {rows}")));
        }
        let offsets = [number * rows * size_of::<f64>(), (number + 1) * rows * size_of::<f64>()];
        let tensor = serde_json::json!({ "dtype": "F64", "shape": [rows], "data_offsets": offsets });
        if header.insert(name.clone(), tensor).is_some() {
            return Err(ClientError::Invalid(format!("column {name:?} is given twice")));
        }
    }
    let header = serde_json::Value::Object(header).to_string();
    let mut file = Vec::with_capacity(size_of::<u64>() + header.len() + columns.len() * rows * size_of::<f64>());
    file.extend_from_slice(&(header.len() as u64).to_le_bytes());
    file.extend_from_slice(header.as_bytes());
    for value in columns.iter().flat_map(|(_, values)| values) {
        file.extend_from_slice(&value.to_le_bytes());
    }
    Ok(file.into())
}
