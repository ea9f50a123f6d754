//! Receives files, and makes a dataset of them.

use std::sync::Arc;
use std::time::Duration;

use swift_sampler_files::{Missing, Selection, SourceFile};
use swift_sampler_proto::v1;
use swift_sampler_proto::v1::import_dataset_progress::State;
use swift_sampler_proto::v1::import_dataset_request::Part;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};

use super::upload::{receive, source_files};
use super::{contents, convert};
use crate::access::Tenant;
use crate::daemon::Daemon;
use crate::error::Error;
use crate::parsing::{Description, Imputed, Target, Upload};
use crate::registry::{NewDataset, Owner, Registry};
use crate::store::{Built, NewColumns, Phase, Progress};

/// How often a caller is told how far its import is.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(200);

/// Imports a dataset. What is made is thrown away when this is dropped before it is registered.
pub(super) async fn import(
    daemon: &Arc<Daemon>,
    tenant: Option<Tenant>,
    parts: Streaming<v1::ImportDatasetRequest>,
) -> Result<v1::Dataset, Status> {
    let stop = daemon.shutdown.child_token();
    let progress = Arc::new(Progress::new(stop.clone()));
    let _stop_when_dropped = stop.drop_guard();
    import_telling(daemon, tenant, parts, &progress).await
}

/// As [`import`], telling how far it is. It is dropped when the caller goes away.
pub(super) fn import_with_progress(
    daemon: &Arc<Daemon>,
    tenant: Option<Tenant>,
    parts: Streaming<v1::ImportDatasetRequest>,
) -> ReceiverStream<Result<v1::ImportDatasetProgress, Status>> {
    let (sender, receiver) = mpsc::channel(1);
    let daemon = Arc::clone(daemon);
    tokio::spawn(async move {
        let stop = daemon.shutdown.child_token();
        let progress = Arc::new(Progress::new(stop.clone()));
        let _stop_when_dropped = stop.drop_guard();
        let import = import_telling(&daemon, tenant, parts, &progress);
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
    tenant: Option<Tenant>,
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
    let files = source_files(&header.files, scratch.path())?;
    receive(daemon, tenant.as_ref(), &mut parts, &files).await?;
    let new = NewFiles {
        name: header.name.clone(),
        files,
        selection: Selection {
            features: header.features,
            gradient_norm: (!header.gradient_norm.is_empty()).then_some(header.gradient_norm),
        },
        first_row: header.first_row,
        missing: convert::missing(header.on_missing)?,
    };
    let (maker, progress) = (Arc::clone(daemon), Arc::clone(progress));
    let (built, imputed) = contents::make(move || {
        let made = make(&maker, new, &progress);
        // Held to the end of the work, also where nobody waits for it any more.
        drop((scratch, permit));
        made
    })
    .await?;
    // To its end, also if the client is gone by then: half of it would leave columns that no record names.
    let owner = Tenant::dataset_owner(tenant.as_ref());
    let kept = tokio::spawn(keep(Arc::clone(daemon), header.name, owner, built));
    let mut dataset = kept.await.map_err(Error::from)??;
    daemon.metrics.note_imputed(imputed.iter().map(|column| column.values).sum());
    dataset.imputed = imputed.into_iter().map(convert::imputed).collect();
    tracing::info!(dataset = dataset.name, rows = dataset.rows, hash = dataset.hash, "imported a dataset");
    Ok(dataset)
}

/// Received files that are to be a dataset.
struct NewFiles {
    name: String,
    files: Vec<SourceFile>,
    selection: Selection,
    first_row: u64,
    missing: Missing,
}

/// Reads, checks and groups. Blocks.
fn make(daemon: &Daemon, new: NewFiles, progress: &Progress) -> Result<(Built, Vec<Imputed>), Error> {
    progress.begin(Phase::Reading, 0);
    let upload = Upload { files: new.files, selection: Some(new.selection), missing: new.missing };
    let parse = daemon.parsing.open(upload, daemon.parse_limits(), progress)?;
    let Description { columns, rows, features, gradient_norm, skipped } = parse.description().clone();
    check_bytes(daemon, columns.len(), rows)?;
    if !skipped.is_empty() {
        tracing::info!(dataset = new.name, columns = ?skipped, "left out columns that are not numeric");
    }
    let values = rows as u64 * columns.len() as u64;
    let places = 0..columns.len();
    let first_row = new.first_row;
    let building = daemon.loaded.store().begin(NewColumns { columns, rows, first_row, features, gradient_norm })?;
    progress.begin(Phase::Reading, values);
    let target = Target {
        path: building.columns_path().to_owned(),
        starts: places.map(|column| building.value_position(column, 0)).collect(),
    };
    let imputed = building.syncing(|| parse.read_into(&target, progress))?;
    if !imputed.is_empty() {
        tracing::info!(dataset = new.name, ?imputed, "missing values were imputed");
    }
    Ok((building.finish(progress)?, imputed))
}

/// Refuses columns that would take more of the disk than an import may bring: a small file may have very many rows.
pub(super) fn check_bytes(daemon: &Daemon, columns: usize, rows: usize) -> Result<(), Error> {
    let bytes_max = daemon.limits.import_bytes_max;
    let bytes = (rows as u64).saturating_mul((columns * size_of::<f64>()) as u64);
    if bytes > bytes_max {
        return Err(Error::Exhausted(format!(
            "{rows} rows of {columns} columns are {bytes} bytes, of at most {bytes_max}: import fewer, or raise \
             --import-bytes-max"
        )));
    }
    Ok(())
}

/// Stores here and in the shared folder, and registers: what is acknowledged is where other daemons find it.
async fn keep(daemon: Arc<Daemon>, name: String, owner: Owner, built: Built) -> Result<v1::Dataset, Error> {
    let content = built.content();
    let new = NewDataset {
        name,
        hash: built.hash().to_owned(),
        rows: content.rows,
        first_row: content.first_row,
        features: content.features.clone(),
        gradient_norm: content.gradient_norm.clone(),
        columns: content.columns.iter().map(|column| column.name.clone()).collect(),
        cells: built.cells() as u64,
    };
    contents::keep(&daemon, built, move |daemon| register(daemon, &new, &owner)).await
}

/// Blocks.
fn register(daemon: &Daemon, new: &NewDataset, owner: &Owner) -> Result<v1::Dataset, Error> {
    let (record, active) = daemon.registry.create_dataset_of(new, owner)?;
    // A damaged copy may have been replaced.
    daemon.loaded.forget(&record.hash);
    daemon.metrics.show_dataset_up(&record.name, true);
    daemon.show_committed();
    Ok(convert::dataset(record, &active))
}
