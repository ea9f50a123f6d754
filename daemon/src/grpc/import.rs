//! Receives files, and makes a dataset of them.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use swift_sampler::Dataset;
use swift_sampler_files::{Format, Selection, SourceFile};
use swift_sampler_proto::v1;
use swift_sampler_proto::v1::import_dataset_request::Part;
use tonic::{Status, Streaming};

use super::convert;
use crate::daemon::Daemon;
use crate::error::{Error, off_runtime};
use crate::registry::{NewDataset, Registry};
use crate::store::StoreError;

/// Largest chunk, in bytes.
const CHUNK_BYTES_MAX: usize = 1 << 20;
/// How long an import waits for its next chunk: others may be waiting for it to end.
const CHUNK_WAIT_MAX: Duration = Duration::from_secs(60);
/// Most files of one import.
const FILES_MAX: usize = 4096;

pub(super) async fn import(
    daemon: &Arc<Daemon>,
    mut parts: Streaming<v1::ImportDatasetRequest>,
) -> Result<v1::Dataset, Status> {
    let header = match parts.message().await?.and_then(|request| request.part) {
        Some(Part::Header(header)) => header,
        _ => return Err(Error::Invalid("the first message of an import must be its header".into()).into()),
    };
    Registry::check_dataset_name(&header.name).map_err(Error::from)?;
    let _permit = daemon.admit_import().await?;
    let scratch = daemon.with_registry(|daemon| daemon.loaded.store().scratch()).await?;
    let files = source_files(&header, scratch.path())?;
    receive(daemon, &mut parts, &files).await?;
    let selection = Selection {
        features: header.features,
        gradient_norm: (!header.gradient_norm.is_empty()).then_some(header.gradient_norm),
    };
    let (name, rows_max) = (header.name.clone(), daemon.limits.rows_max);
    let made = off_runtime(move || {
        let made = make(&name, &files, &selection, rows_max);
        drop(scratch);
        made
    });
    // To its end, also if the client is gone by then: half of it would leave columns that no record names.
    let kept = tokio::spawn(keep(Arc::clone(daemon), header.name, made.await?));
    let dataset = kept.await.map_err(Error::from)??;
    tracing::info!(dataset = dataset.name, rows = dataset.rows, hash = dataset.hash, "imported a dataset");
    Ok(dataset)
}

fn source_files(header: &v1::ImportHeader, directory: &Path) -> Result<Vec<SourceFile>, Error> {
    if header.files.len() > FILES_MAX {
        return Err(Error::Invalid(format!("{} files: one import takes at most {FILES_MAX}", header.files.len())));
    }
    let source_file = |(position, file): (usize, &v1::ImportFile)| {
        let format = match v1::FileFormat::try_from(file.format) {
            Ok(v1::FileFormat::Unspecified) => Format::of_file_name(&file.name)?,
            Ok(v1::FileFormat::Parquet) => Format::Parquet,
            Ok(v1::FileFormat::Safetensors) => Format::Safetensors,
            Ok(v1::FileFormat::Npz) => Format::Npz,
            Ok(v1::FileFormat::Csv) => Format::Csv,
            Err(_) => return Err(Error::Invalid(format!("format {} of file {:?} is none", file.format, file.name))),
        };
        Ok(SourceFile { name: file.name.clone(), path: directory.join(position.to_string()), format })
    };
    header.files.iter().enumerate().map(source_file).collect()
}

/// Writes the chunks to their files, of which none stays open.
async fn receive(
    daemon: &Daemon,
    parts: &mut Streaming<v1::ImportDatasetRequest>,
    files: &[SourceFile],
) -> Result<(), Status> {
    let mut bytes_left = daemon.limits.import_bytes_max;
    let mut last = 0;
    loop {
        let part = tokio::select! {
            part = tokio::time::timeout(CHUNK_WAIT_MAX, parts.message()) => part.map_err(|_elapsed| {
                Error::Invalid(format!("no chunk came for {} s: import again", CHUNK_WAIT_MAX.as_secs()))
            })??,
            () = daemon.shutdown.cancelled() => return Err(Error::ShuttingDown.into()),
        };
        let Some(request) = part else { break };
        let Some(Part::Chunk(chunk)) = request.part else {
            return Err(Error::Invalid("after the header of an import only chunks may follow".into()).into());
        };
        let (position, size) = (chunk.file as usize, chunk.data.len());
        if position < last || position >= files.len() || size > CHUNK_BYTES_MAX {
            return Err(Error::Invalid(format!(
                "chunk of {size} bytes for file {position} after file {last} of {}: files follow in order, chunks have \
                 at most {CHUNK_BYTES_MAX} bytes",
                files.len()
            ))
            .into());
        }
        last = position;
        bytes_left = bytes_left.checked_sub(size as u64).ok_or_else(|| {
            Error::Exhausted(format!("the files have more than {} bytes", daemon.limits.import_bytes_max))
        })?;
        let path = files[position].path.clone();
        off_runtime(move || append(&path, &chunk.data)).await?;
    }
    // Files that no chunk came for are there as well, and empty.
    let paths: Vec<_> = files.iter().map(|file| file.path.clone()).collect();
    Ok(off_runtime(move || paths.iter().try_for_each(|path| append(path, &[]))).await?)
}

/// Blocks.
fn append(path: &Path, data: &[u8]) -> Result<(), Error> {
    let file = File::options().create(true).append(true).open(path);
    file.and_then(|mut file| file.write_all(data)).map_err(|error| io_error(path, error))
}

/// Reads and checks. Blocks.
fn make(name: &str, files: &[SourceFile], selection: &Selection, rows_max: usize) -> Result<Dataset, Error> {
    let columns = swift_sampler_files::read(files, selection, rows_max)?;
    if !columns.skipped.is_empty() {
        tracing::info!(dataset = name, columns = ?columns.skipped, "left out columns that are not numeric");
    }
    Ok(columns.into_dataset()?)
}

/// Stores here and in the shared folder, and registers: what is acknowledged is where other daemons find it.
async fn keep(daemon: Arc<Daemon>, name: String, dataset: Dataset) -> Result<v1::Dataset, Error> {
    let _placing = daemon.place().await;
    let new = daemon.with_registry(move |daemon| store(daemon, name, &dataset)).await?;
    let hash = new.hash.clone();
    if let Err(error) = daemon.replicas.share(&hash, &daemon.loaded.store().place(&hash)).await {
        forget(&daemon, hash).await?;
        return Err(error.into());
    }
    let registered = daemon.with_registry(move |daemon| register(daemon, &new)).await;
    // Where the registry did not answer, it may have the dataset all the same.
    if registered.as_ref().is_err_and(Error::is_refusal) && forget(&daemon, hash.clone()).await? {
        daemon.replicas.unshare(&hash).await?;
    }
    registered
}

/// Writes the dataset to this daemon's store. Blocks.
fn store(daemon: &Daemon, name: String, dataset: &Dataset) -> Result<NewDataset, StoreError> {
    let hash = daemon.loaded.store().put(dataset)?;
    let mut columns = dataset.table().names().to_vec();
    columns.sort_unstable();
    Ok(NewDataset {
        name,
        hash,
        rows: dataset.rows() as u64,
        features: dataset.features().to_vec(),
        gradient_norm: dataset.gradient_norm().map(ToOwned::to_owned),
        columns,
        cells: dataset.cells().len() as u64,
    })
}

/// Blocks.
fn register(daemon: &Daemon, new: &NewDataset) -> Result<v1::Dataset, Error> {
    let (record, active) = daemon.registry.create_dataset(new)?;
    // A damaged copy may have been replaced.
    daemon.loaded.forget(&record.hash);
    daemon.metrics.show_dataset_up(&record.name, true);
    daemon.show_committed();
    Ok(convert::dataset(record, &active))
}

/// Deletes what was stored for a dataset that is in no record, unless another has the same content; tells whether it did.
async fn forget(daemon: &Arc<Daemon>, hash: String) -> Result<bool, Error> {
    let forgotten = daemon.with_registry(move |daemon| {
        let is_needed = daemon.registry.datasets()?.iter().any(|other| other.hash == hash);
        if !is_needed {
            daemon.loaded.store().remove(&hash)?;
        }
        Ok::<_, Error>(!is_needed)
    });
    forgotten.await
}

fn io_error(path: &Path, source: std::io::Error) -> Error {
    StoreError::Io { path: path.display().to_string(), source }.into()
}
