//! Some of the crops that a trainer proposes are selected.

use std::sync::Arc;
use std::time::Instant;

use swift_sampler::job::Shard;
use swift_sampler::{Proposals, Sampler, Seed, Selection};
use swift_sampler_proto::columns::{ColumnError, pack_f32, pack_u32, unpack_f32, unpack_f64};
use swift_sampler_proto::v1;
use swift_sampler_proto::v1::feature_column::Values;

use crate::batches::{JobReader, Reading};
use crate::daemon::{Daemon, FETCH_WAIT_MAX};
use crate::error::{Error, off_runtime};

/// Most crops of one request.
pub(crate) const CROPS_MAX: usize = 65_536;
/// Steps that a request freezes, its own among them, so that not every step waits for a commit.
const STEPS_FROZEN: u64 = 8;

/// Selects as the request says.
pub(super) async fn select(
    daemon: &Arc<Daemon>,
    request: v1::SelectCropsRequest,
) -> Result<v1::SelectCropsResponse, Error> {
    let started = Instant::now();
    let proposals = proposals(&request.features)?;
    let crops = proposals.len();
    let chosen =
        if request.job.is_empty() { by_dataset(daemon, &request).await? } else { by_job(daemon, &request).await? };
    let Chosen { dataset, version, sampler, seed } = chosen;
    let keep = usize::try_from(request.keep).unwrap_or(usize::MAX);
    let selection = Selection { seed: Seed(seed), step: request.step, rank: request.rank, keep, fill: request.fill };
    let select = move || {
        let refused = |source| Error::Selection { dataset, version, source };
        sampler.select(&proposals, &selection).map_err(refused)
    };
    let selected = off_runtime(select).await?;
    daemon.metrics.note_selection(crops, selected.positions.len(), started.elapsed());
    Ok(v1::SelectCropsResponse {
        version,
        positions: pack_u32(&selected.positions),
        weights: pack_f32(&selected.weights),
    })
}

/// What weighs the crops of a step.
struct Chosen {
    dataset: String,
    version: u64,
    sampler: Arc<Sampler>,
    seed: u64,
}

/// Takes the version asked for, else the active one.
async fn by_dataset(daemon: &Arc<Daemon>, request: &v1::SelectCropsRequest) -> Result<Chosen, Error> {
    let (dataset, version, seed) = (request.dataset.clone(), request.version, request.seed);
    daemon
        .with_dataset(FETCH_WAIT_MAX, move |daemon| {
            let record = daemon.registry.dataset(&dataset)?;
            let version = version.map_or_else(|| daemon.registry.active(&dataset).map(|active| active.version), Ok)?;
            let stored = daemon.registry.sampler(&dataset, version)?;
            let sampler = daemon.loaded.sampler(record.kept(stored.revision)?, &stored.spec_json)?;
            Ok::<_, Error>(Chosen { dataset: record.name, version, sampler, seed })
        })
        .await
}

/// Takes the version that the job's log has for the step, freezing it if it is open.
async fn by_job(daemon: &Arc<Daemon>, request: &v1::SelectCropsRequest) -> Result<Chosen, Error> {
    if !request.dataset.is_empty() || request.version.is_some() || request.seed != 0 {
        let job = &request.job;
        let message = format!("job {job:?} says which dataset, seed and version: give it, or them, not both");
        return Err(Error::Invalid(message));
    }
    let reading = Reading {
        job: request.job.clone(),
        steps: request.step..request.step.saturating_add(STEPS_FROZEN),
        shard: Shard::WHOLE,
        seek: request.seek,
        probabilities: false,
        crops: false,
    };
    let mut reader = JobReader::open(daemon, reading).await?;
    let (version, sampler) = reader.first_sampler().await?;
    let job = reader.job();
    Ok(Chosen { dataset: job.dataset.clone(), version, sampler, seed: job.seed })
}

fn proposals(features: &[v1::FeatureColumn]) -> Result<Proposals, Error> {
    let feature = |column: &v1::FeatureColumn| {
        let torn = |error: ColumnError| Error::Invalid(format!("feature {:?}: {error}", column.name));
        let mut wide = Vec::new();
        match &column.values {
            Some(Values::F64(bytes)) => unpack_f64(bytes, &mut wide).map_err(torn)?,
            Some(Values::F32(bytes)) => {
                let mut narrow = Vec::new();
                unpack_f32(bytes, &mut narrow).map_err(torn)?;
                wide.extend(narrow.into_iter().map(f64::from));
            }
            None => return Err(Error::Invalid(format!("feature {:?} has no values", column.name))),
        }
        if wide.len() > CROPS_MAX {
            return Err(Error::Exhausted(format!("{} crops: propose at most {CROPS_MAX} at once", wide.len())));
        }
        Ok((column.name.clone(), wide))
    };
    Ok(Proposals::new(features.iter().map(feature).collect::<Result<_, Error>>()?)?)
}
