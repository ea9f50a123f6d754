//! Receives files, and makes a dataset of them.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use swift_sampler_files::{ColumnSink, FeatureFiles, Format, ReadIntoError, Selection, SourceFile};
use swift_sampler_proto::v1;
use swift_sampler_proto::v1::import_dataset_progress::State;
use swift_sampler_proto::v1::import_dataset_request::Part;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};

use super::convert;
use crate::daemon::Daemon;
use crate::error::{Error, off_runtime};
use crate::registry::{NewDataset, Registry};
use crate::store::{Building, Built, NewColumns, Phase, Progress, StoreError};

/// Largest chunk, in bytes.
const CHUNK_BYTES_MAX: usize = 1 << 20;
/// How long an import waits for its next chunk: others may be waiting for it to end.
const CHUNK_WAIT_MAX: Duration = Duration::from_secs(60);
/// Most files of one import.
const FILES_MAX: usize = 4096;
/// How often a caller is told how far its import is.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(200);

/// Imports a dataset. What is made is thrown away when this is dropped before it is registered.
pub(super) async fn import(
    daemon: &Arc<Daemon>,
    parts: Streaming<v1::ImportDatasetRequest>,
) -> Result<v1::Dataset, Status> {
    let stop = daemon.shutdown.child_token();
    let progress = Arc::new(Progress::new(stop.clone()));
    let _stop_when_dropped = stop.drop_guard();
    import_telling(daemon, parts, &progress).await
}

/// As [`import`], telling how far it is. It is dropped when the caller goes away.
pub(super) fn import_with_progress(
    daemon: &Arc<Daemon>,
    parts: Streaming<v1::ImportDatasetRequest>,
) -> ReceiverStream<Result<v1::ImportDatasetProgress, Status>> {
    let (sender, receiver) = mpsc::channel(1);
    let daemon = Arc::clone(daemon);
    tokio::spawn(async move {
        let stop = daemon.shutdown.child_token();
        let progress = Arc::new(Progress::new(stop.clone()));
        let _stop_when_dropped = stop.drop_guard();
        let import = import_telling(&daemon, parts, &progress);
        tokio::pin!(import);
        let mut due = tokio::time::interval(PROGRESS_INTERVAL);
        let imported = loop {
            tokio::select! {
                biased;
                imported = &mut import => break imported,
                () = sender.closed() => return,
                _ = due.tick() => {
                    let work = State::Work(work(&progress));
                    // A caller that has not read the last one yet misses this one.
                    sender.try_send(Ok(v1::ImportDatasetProgress { state: Some(work) })).ok();
                }
            }
        };
        let last = imported.map(|dataset| v1::ImportDatasetProgress { state: Some(State::Dataset(dataset)) });
        // If the caller is gone by now, there is nobody to tell.
        sender.send(last).await.ok();
    });
    ReceiverStream::new(receiver)
}

fn work(progress: &Progress) -> v1::ImportWork {
    let (phase, done, total) = progress.now();
    let phase = match phase {
        Phase::Receiving => v1::ImportPhase::Receiving,
        Phase::Reading => v1::ImportPhase::Reading,
        Phase::Grouping => v1::ImportPhase::Grouping,
        Phase::Writing => v1::ImportPhase::Writing,
    };
    v1::ImportWork { phase: phase.into(), done, total }
}

async fn import_telling(
    daemon: &Arc<Daemon>,
    mut parts: Streaming<v1::ImportDatasetRequest>,
    progress: &Arc<Progress>,
) -> Result<v1::Dataset, Status> {
    let header = match parts.message().await?.and_then(|request| request.part) {
        Some(Part::Header(header)) => header,
        _ => return Err(Error::Invalid("the first message of an import must be its header".into()).into()),
    };
    Registry::check_dataset_name(&header.name).map_err(Error::from)?;
    let permit = daemon.admit_import().await?;
    let scratch = daemon.with_registry(|daemon| daemon.loaded.store().scratch()).await?;
    let files = source_files(&header, scratch.path())?;
    receive(daemon, &mut parts, &files).await?;
    let new = NewFiles {
        name: header.name.clone(),
        files,
        selection: Selection {
            features: header.features,
            gradient_norm: (!header.gradient_norm.is_empty()).then_some(header.gradient_norm),
        },
        first_row: header.first_row,
    };
    let (maker, progress) = (Arc::clone(daemon), Arc::clone(progress));
    let made = off_runtime(move || {
        let made = make(&maker, &new, &progress);
        // Held to the end of the work, also where nobody waits for it any more.
        drop((scratch, permit));
        made
    });
    let built = made.await.map_err(|error| match error.store() {
        Some(StoreError::Interrupted) => Error::ShuttingDown,
        _ => error,
    })?;
    // To its end, also if the client is gone by then: half of it would leave columns that no record names.
    let kept = tokio::spawn(keep(Arc::clone(daemon), header.name, built));
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

/// Received files that are to be a dataset.
struct NewFiles {
    name: String,
    files: Vec<SourceFile>,
    selection: Selection,
    first_row: u64,
}

/// Reads, checks and groups. Blocks.
fn make(daemon: &Daemon, new: &NewFiles, progress: &Progress) -> Result<Built, Error> {
    progress.begin(Phase::Reading, 0);
    let files = FeatureFiles::open(&new.files, &new.selection, daemon.limits.rows_max)?;
    if !files.skipped().is_empty() {
        tracing::info!(dataset = new.name, columns = ?files.skipped(), "left out columns that are not numeric");
    }
    let building = daemon.loaded.store().begin(NewColumns {
        columns: files.columns().to_vec(),
        rows: files.rows(),
        first_row: new.first_row,
        features: files.features().to_vec(),
        gradient_norm: files.gradient_norm().map(ToOwned::to_owned),
    })?;
    progress.begin(Phase::Reading, files.rows() as u64 * files.columns().len() as u64);
    let paths = new.files.iter().map(|file| file.path.clone()).collect();
    let read = building.syncing(|| files.read_into(&Columns { building: &building, progress, paths }));
    read.map_err(|error| match error {
        ReadIntoError::File(error) => Error::from(error),
        ReadIntoError::Sink(error) => error.into(),
    })?;
    Ok(building.finish(progress)?)
}

/// The columns of a dataset that is being made.
struct Columns<'a> {
    building: &'a Building,
    progress: &'a Progress,
    paths: Vec<PathBuf>,
}

impl ColumnSink for Columns<'_> {
    type Error = StoreError;

    fn take(&self, column: usize, first_row: usize, values: &[f64]) -> Result<(), StoreError> {
        self.progress.check()?;
        self.building.write(column, first_row, values)?;
        self.progress.advance(values.len());
        Ok(())
    }

    /// The disk need not hold the file beside the columns.
    fn file_done(&self, file: usize) -> Result<(), StoreError> {
        let path = &self.paths[file];
        fs::remove_file(path).map_err(|source| StoreError::Io { path: path.display().to_string(), source })
    }
}

/// Stores here and in the shared folder, and registers: what is acknowledged is where other daemons find it.
async fn keep(daemon: Arc<Daemon>, name: String, built: Built) -> Result<v1::Dataset, Error> {
    let _placing = daemon.place().await;
    let new = daemon.with_registry(move |daemon| store(daemon, name, &built)).await?;
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

/// Moves the dataset into this daemon's store. Blocks.
fn store(daemon: &Daemon, name: String, built: &Built) -> Result<NewDataset, StoreError> {
    daemon.loaded.store().keep(built)?;
    let content = built.content();
    Ok(NewDataset {
        name,
        hash: built.hash().to_owned(),
        rows: content.rows,
        first_row: content.first_row,
        features: content.features.clone(),
        gradient_norm: content.gradient_norm.clone(),
        columns: content.columns.iter().map(|column| column.name.clone()).collect(),
        cells: built.cells() as u64,
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
