//! Sending feature files to the daemon.

use std::path::PathBuf;
use std::sync::Arc;

use swift_sampler_proto::v1;
use swift_sampler_proto::v1::control_client::ControlClient;
use swift_sampler_proto::v1::import_dataset_progress::State;
use swift_sampler_proto::v1::import_dataset_request::Part;
use tokio_stream::wrappers::ReceiverStream;

use crate::client::{Limit, Repeat};
use crate::replicas::Line;
use crate::upload::{Source, described, total_bytes, upload};
use crate::{Client, ClientError};

/// A dataset to import.
#[derive(Debug, Clone, PartialEq)]
pub struct ImportRequest {
    /// Its name: 1 to 128 characters of `[A-Za-z0-9._-]`.
    pub name: String,
    /// Files whose rows follow each other; all have the same columns.
    pub files: Vec<PathBuf>,
    /// The files' format; `Unspecified`: told by their extensions.
    pub format: v1::FileFormat,
    /// Columns that samplers combine; empty: loss and entropy.
    pub features: Vec<String>,
    /// Column of gradient norms; `None`: grad_norm where there is one.
    pub gradient_norm: Option<String>,
    /// Index of the first row: where the dataset is a shard of a larger one, that of its first example; else 0.
    pub first_row: u64,
    /// What becomes of missing values; `Unspecified`: they are refused. The answer's `imputed` says which were imputed.
    pub on_missing: v1::OnMissing,
}

impl ImportRequest {
    /// Files with the usual columns, whose extensions tell their format.
    #[must_use]
    pub fn new(name: &str, files: impl IntoIterator<Item = impl Into<PathBuf>>) -> Self {
        Self {
            name: name.into(),
            files: files.into_iter().map(Into::into).collect(),
            format: v1::FileFormat::Unspecified,
            features: Vec::new(),
            gradient_norm: None,
            first_row: 0,
            on_missing: v1::OnMissing::Unspecified,
        }
    }
}

/// What is being done for an import.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ImportPhase {
    /// Files are sent; counted in bytes.
    Sending,
    /// The daemon reads the files; counted in values.
    Reading,
    /// The daemon groups the examples into cells; counted in values.
    Grouping,
    /// The daemon writes what it made to disk.
    Writing,
}

/// How far an import is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ImportProgress {
    /// What is being done.
    pub phase: ImportPhase,
    /// How much of it is done.
    pub done: u64,
    /// How much there is; 0 where that is not known.
    pub total: u64,
}

type Progress = Arc<dyn Fn(ImportProgress) + Send + Sync>;

impl Client {
    /// Imports files as a dataset, telling `progress` after every chunk sent, and a few times a second what the daemon does
    /// then. Dropped before it is done, it ends the import, which leaves nothing behind.
    ///
    /// # Errors
    /// [`ClientError::File`] when a file cannot be read here; [`ClientError::Invalid`] when its content is refused;
    /// [`ClientError::AlreadyExists`] when the name holds other content.
    pub async fn import_dataset(
        &self,
        request: &ImportRequest,
        progress: impl Fn(ImportProgress) + Send + Sync + 'static,
    ) -> Result<v1::Dataset, ClientError> {
        let sources: Vec<Source> = request.files.iter().cloned().map(Source::File).collect();
        let total = total_bytes(&sources)?;
        let header = header(request);
        let progress: Progress = Arc::new(progress);
        // An upload takes as long as the files are large; a dead connection is noticed by its keep-alive.
        let answer = self.unary(Limit::None, Repeat::Safe, |call| {
            let (header, sources, progress) = (header.clone(), sources.clone(), Arc::clone(&progress));
            let service = call.control();
            async move {
                let told = Arc::clone(&progress);
                let sent = move |done| progress(ImportProgress { phase: ImportPhase::Sending, done, total });
                let header = v1::ImportDatasetRequest { part: Some(Part::Header(header)) };
                upload(sources, header, sent, |parts| send(service, parts, told)).await
            }
        });
        answer.await?
    }
}

/// Sends the parts and reads how far the import is, to its end.
async fn send(
    mut service: ControlClient<Line>,
    parts: ReceiverStream<v1::ImportDatasetRequest>,
    progress: Progress,
) -> Result<v1::Dataset, tonic::Status> {
    let mut answers = service.import_dataset_with_progress(parts).await?.into_inner();
    while let Some(answer) = answers.message().await? {
        match answer.state {
            Some(State::Dataset(dataset)) => return Ok(dataset),
            Some(State::Work(v1::ImportWork { phase, done, total })) => {
                let phase = match v1::ImportPhase::try_from(phase) {
                    Ok(v1::ImportPhase::Reading) => ImportPhase::Reading,
                    Ok(v1::ImportPhase::Grouping) => ImportPhase::Grouping,
                    Ok(v1::ImportPhase::Writing) => ImportPhase::Writing,
                    // How much was sent is known better here, and later daemons may have other phases.
                    Ok(v1::ImportPhase::Receiving | v1::ImportPhase::Unspecified) | Err(_) => continue,
                };
                progress(ImportProgress { phase, done, total });
            }
            None => {}
        }
    }
    Err(tonic::Status::internal("the daemon ended the import without saying how"))
}

fn header(request: &ImportRequest) -> v1::ImportHeader {
    v1::ImportHeader {
        name: request.name.clone(),
        features: request.features.clone(),
        gradient_norm: request.gradient_norm.clone().unwrap_or_default(),
        files: request.files.iter().map(|path| described(path, request.format)).collect(),
        first_row: request.first_row,
        on_missing: request.on_missing.into(),
    }
}
