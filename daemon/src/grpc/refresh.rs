//! New values of a dataset's features take over under running jobs.

use std::sync::Arc;
use std::time::Instant;

use swift_sampler::{CropColumn, Dataset};
use swift_sampler_files::{Missing, SourceFile};
use swift_sampler_proto::v1;
use swift_sampler_proto::v1::refresh_features_request::Part;
use tonic::{Status, Streaming};

use super::control::figures;
use super::upload::{receive, source_files};
use super::{contents, convert};
use crate::access::Tenant;
use crate::daemon::{Daemon, FETCH_WAIT_MAX};
use crate::error::Error;
use crate::parsing::{Description, Target, Upload};
use crate::registry::{ActiveRecord, DatasetRecord, NewRevision, RegistryError};
use crate::store::{Built, NewColumns, Progress};

/// How often the active sampler is built over new values while others are activated, before the caller is told to come again.
const BUILDS_MAX: u32 = 10;

/// Refreshes. What is made is thrown away when this is dropped before it is registered.
pub(super) async fn refresh(
    daemon: &Arc<Daemon>,
    tenant: Option<Tenant>,
    mut parts: Streaming<v1::RefreshFeaturesRequest>,
) -> Result<v1::RefreshedFeatures, Status> {
    let started = Instant::now();
    let header = match parts.message().await?.and_then(|request| request.part) {
        Some(Part::Header(header)) => header,
        _ => return Err(Error::Invalid("the first message of a refresh must be its header".into()).into()),
    };
    let stop = daemon.shutdown.child_token();
    let progress = Arc::new(Progress::new(stop.clone()));
    let _stop_when_dropped = stop.drop_guard();
    let permit = daemon.admit_import().await?;
    // Told before anything is sent.
    let name = header.dataset.clone();
    let base = daemon.with_dataset(FETCH_WAIT_MAX, move |daemon| Base::of(daemon, &name)).await?;
    let scratch = daemon.with_registry(|daemon| daemon.loaded.store().scratch()).await?;
    let files = source_files(&header.files, scratch.path())?;
    receive(daemon, tenant.as_ref(), &mut parts, &files).await?;
    let (maker, from) = (Arc::clone(daemon), base.clone());
    let built = contents::make(move || {
        let made = make(&maker, &from, files, header.first_row, &progress);
        // Held to the end of the work, also where nobody waits for it any more.
        drop((scratch, permit));
        made
    })
    .await?;
    let (publisher, name) = (Arc::clone(daemon), base.record.name.clone());
    // To its end, also if the client is gone by then: half of it would leave columns that no record names.
    let published = tokio::spawn(async move {
        let published = publish(&publisher, base, built).await;
        contents::drop_revisions(&publisher, name).await;
        published
    });
    let refreshed = published.await.map_err(Error::from)??;
    daemon.metrics.swap_duration.observe(started.elapsed().as_secs_f64());
    Ok(refreshed)
}

/// What new values are put into: the values that the active sampler weighs by.
#[derive(Debug, Clone)]
struct Base {
    record: DatasetRecord,
    active: ActiveRecord,
    hash: String,
    dataset: Arc<Dataset>,
}

impl Base {
    /// Blocks.
    fn of(daemon: &Daemon, name: &str) -> Result<Self, Error> {
        let active = daemon.registry.active(name)?;
        let record = daemon.registry.dataset(name)?;
        let hash = record.kept(active.revision)?.to_owned();
        let dataset = daemon.loaded.dataset(&hash)?;
        Ok(Self { record, active, hash, dataset })
    }

    /// Returns the position of a column that files bring new values of.
    fn position(&self, column: &str) -> Result<usize, Error> {
        let (name, names) = (&self.record.name, self.dataset.table().names());
        if self.dataset.crop_bank().is_some() && CropColumn::of_name(column).is_some() {
            return Err(Error::Invalid(format!(
                "column {column:?} says where the crops of dataset {name:?} lie, which a refresh does not change: leave it \
                 out, or import another dataset"
            )));
        }
        names.iter().position(|known| known == column).ok_or_else(|| {
            let known = names.join(", ");
            Error::Invalid(format!(
                "column {column:?} is none of dataset {name:?}: a refresh brings new values of its columns, {known}"
            ))
        })
    }

    /// Returns the row that is the first to get new values, out of how many.
    fn first_row(&self, first_row: Option<u64>, rows: usize) -> Result<usize, Error> {
        let (name, all, first) = (&self.record.name, self.dataset.rows(), self.dataset.first_row());
        let Some(index) = first_row else {
            return if rows == all {
                Ok(0)
            } else {
                Err(Error::Invalid(format!(
                    "the files have {rows} rows, dataset {name:?} has {all}: give every example its values, or say by \
                     first_row which examples these are"
                )))
            };
        };
        let row = index.checked_sub(first).and_then(|row| usize::try_from(row).ok());
        row.filter(|row| row.checked_add(rows).is_some_and(|end| end <= all)).ok_or_else(|| {
            let end = first + all as u64;
            Error::Invalid(format!(
                "{rows} rows from example {index} on: dataset {name:?} has the examples from {first} to below {end}"
            ))
        })
    }
}

/// Reads the new values into a copy of the present ones, checks and groups. Blocks.
fn make(
    daemon: &Daemon,
    base: &Base,
    files: Vec<SourceFile>,
    first_row: Option<u64>,
    progress: &Progress,
) -> Result<Built, Error> {
    let parse = daemon.parsing.open(
        Upload { files, selection: None, missing: Missing::Refuse },
        daemon.parse_limits(),
        progress,
    )?;
    let Description { columns, rows, skipped, .. } = parse.description().clone();
    if let Some(column) = skipped.first() {
        return Err(Error::Invalid(format!("column {column:?} holds no numbers: leave it out")));
    }
    let positions: Vec<usize> = columns.iter().map(|column| base.position(column)).collect::<Result<_, _>>()?;
    let first_row = base.first_row(first_row, rows)?;
    let (dataset, replaced) = (&base.dataset, first_row..first_row + rows);
    let building = daemon.loaded.store().begin(NewColumns::of(dataset))?;
    let written: Result<(), Error> = building.syncing(|| {
        for (column, (_, values)) in dataset.table().columns().enumerate() {
            progress.check()?;
            if positions.contains(&column) {
                building.write(column, 0, &values[..replaced.start])?;
                building.write(column, replaced.end, &values[replaced.end..])?;
            } else {
                building.write(column, 0, values)?;
            }
        }
        let start = |&column: &usize| building.value_position(column, first_row);
        let target = Target { path: building.columns_path().to_owned(), starts: positions.iter().map(start).collect() };
        // None is imputed: what is missing is refused.
        parse.read_into(&target, progress).map(drop)
    });
    written?;
    Ok(building.finish(progress)?)
}

/// Stores the new values and makes the active sampler over them the active version.
async fn publish(daemon: &Arc<Daemon>, base: Base, built: Built) -> Result<v1::RefreshedFeatures, Error> {
    if built.hash() == base.hash {
        // The answer to the same refresh was lost, or nothing has changed.
        return Ok(answer(base.record, &base.active));
    }
    let (hash, cells) = (built.hash().to_owned(), built.cells() as u64);
    contents::keep(daemon, built, move |daemon| {
        // A damaged copy may have been replaced.
        daemon.loaded.forget(&hash);
        let (record, active) = register(daemon, &base, &hash, cells)?;
        daemon.metrics.show_dataset_up(&record.name, true);
        daemon.show_committed();
        tracing::info!(
            dataset = record.name,
            revision = active.revision,
            version = active.version,
            hash,
            "refreshed the features of a dataset"
        );
        Ok(answer(record, &active))
    })
    .await
}

/// Builds the active sampler over the new values, before it is active, and makes it so. Blocks.
fn register(daemon: &Daemon, base: &Base, hash: &str, cells: u64) -> Result<(DatasetRecord, ActiveRecord), Error> {
    let name = &base.record.name;
    for _ in 0..BUILDS_MAX {
        let active = daemon.registry.active(name)?;
        if active.revision != base.active.revision {
            let message = format!("the features of dataset {name:?} were refreshed meanwhile: refresh them again");
            return Err(RegistryError::Precondition(message).into());
        }
        let spec_json = daemon.registry.sampler(name, active.version)?.spec_json;
        let new = NewRevision {
            dataset: name.clone(),
            imported: base.record.hash.clone(),
            over: active.version,
            hash: hash.to_owned(),
            cells,
            figures: figures(daemon, hash, &spec_json)?,
        };
        if let Some(refreshed) = daemon.registry.refresh(&new)? {
            return Ok(refreshed);
        }
    }
    Err(RegistryError::Contended { attempts: BUILDS_MAX }.into())
}

fn answer(record: DatasetRecord, active: &ActiveRecord) -> v1::RefreshedFeatures {
    let present = convert::active(record.name.clone(), active);
    v1::RefreshedFeatures { dataset: Some(convert::dataset(record, active)), active: Some(present) }
}
