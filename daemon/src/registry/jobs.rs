//! Jobs: which sampler version is in force at which step.
//!
//! Steps below a job's horizon are frozen. Whoever needs a step at or above it extends the horizon by a lease, in one
//! compare-and-set that also notes the active version if it changed. So every rank, wherever it reads, switches at the
//! same step.

use std::ops::RangeInclusive;

use swift_sampler::job::{Follow, JobLog, Steps};
use swift_sampler::{BATCH_SIZE_MAX, Replacement};

use super::error::check_job_name;
use super::owner::Owner;
use super::records::{DatasetRecord, JobRecord, SamplerRecord};
use super::{Decision, Read, Registry, RegistryError, dataset_key, job_key, sampler_key};

/// Steps by which a horizon is extended at once: fewer commits, against a later switch after an activation.
pub const LEASE_STEPS: u64 = 64;
/// Most steps by which a fast reader may extend it.
pub const LEASE_STEPS_MAX: u64 = 16_384;
/// How far beyond the horizon a request may reach, in steps, unless it says that it is a seek. A reader of an unfrozen
/// step freezes all before it, so one that is far off by mistake would hold back activations.
pub const STEPS_BEYOND_HORIZON_MAX: u64 = 4096;
/// Range of the global batch size.
const BATCH_SIZE_RANGE: RangeInclusive<u32> = 1..=BATCH_SIZE_MAX;

/// What a job is opened with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobParameters {
    /// Its name.
    pub name: String,
    /// Its dataset.
    pub dataset: String,
    /// Key of its random draws.
    pub seed: u64,
    /// Global batch size.
    pub batch_size: u32,
    /// Draws of an epoch; `None`: as many as examples.
    pub epoch_draws: Option<u64>,
    /// Replacement mode.
    pub mode: Replacement,
    /// When it takes up an activated version.
    pub follow: Follow,
}

/// A job of which the steps asked for are frozen.
#[derive(Debug, Clone)]
pub struct Frozen {
    /// The job.
    pub job: JobRecord,
    /// Changes of version that this call added to its log.
    pub changes_added: usize,
}

impl Registry {
    /// Opens a job, creating it if it is new.
    ///
    /// # Errors
    /// [`RegistryError::Differs`] when it exists with other parameters, [`RegistryError::NoDataset`],
    /// [`RegistryError::NoSampler`] for a pinned version that is not there, [`RegistryError::Invalid`] for a field out
    /// of range, [`RegistryError::Full`].
    pub fn open_job(&self, parameters: &JobParameters) -> Result<JobRecord, RegistryError> {
        self.open_job_of(parameters, &Owner::default())
    }

    /// As [`Self::open_job`], for a tenant, if it is new.
    ///
    /// # Errors
    /// As [`Self::open_job`], and [`RegistryError::Quota`].
    pub fn open_job_of(&self, parameters: &JobParameters, owner: &Owner) -> Result<JobRecord, RegistryError> {
        check_job_name(&parameters.name)?;
        if !BATCH_SIZE_RANGE.contains(&parameters.batch_size) {
            return Err(RegistryError::Invalid(format!(
                "batch_size is {}: it must be from {} to {}",
                parameters.batch_size,
                BATCH_SIZE_RANGE.start(),
                BATCH_SIZE_RANGE.end()
            )));
        }
        self.decide(|| {
            let job: Read<JobRecord> = self.read(job_key(&parameters.name))?;
            if let Some(stored) = job.record {
                check_equal(&stored, parameters)?;
                return Ok(Decision::Answer(stored));
            }
            self.check_room(&self.limits.jobs())?;
            self.check_quota::<JobRecord>(owner)?;
            let read: Read<DatasetRecord> = self.read(dataset_key(&parameters.dataset))?;
            let Some(dataset) = read.record.clone() else { return Err(self.no_dataset(&parameters.dataset)) };
            let epoch_draws = parameters.epoch_draws.unwrap_or(dataset.rows);
            let steps = Steps { batch_size: parameters.batch_size, epoch_draws };
            let fits = parameters.mode.check(steps, dataset.rows);
            fits.map_err(|error| RegistryError::Invalid(error.to_string()))?;
            let active = self.read_active(&parameters.dataset)?;
            let Some(active_record) = &active.record else { return Err(self.no_dataset(&parameters.dataset)) };
            // Written, though unchanged: whoever removes the dataset, or collects the sampler, having seen no job refer
            // to it, then finds another revision and looks again.
            let mut writes = vec![read.keep(), active.put(active_record)];
            if let Follow::Pinned(version) = parameters.follow {
                let sampler: Read<SamplerRecord> = self.read(sampler_key(&parameters.dataset, version))?;
                let Some(sampler_record) = &sampler.record else {
                    return Err(RegistryError::NoSampler { dataset: parameters.dataset.clone(), version });
                };
                dataset.kept(sampler_record.revision)?;
                writes.push(sampler.put(sampler_record));
            }
            let record = JobRecord {
                name: parameters.name.clone(),
                dataset: parameters.dataset.clone(),
                dataset_hash: dataset.hash,
                rows: dataset.rows,
                seed: parameters.seed,
                batch_size: parameters.batch_size,
                epoch_draws: Some(epoch_draws),
                mode: parameters.mode,
                follow: parameters.follow,
                log: JobLog::new(active_record.version, parameters.follow),
                created_at_ms: self.now_ms(),
                tenant: owner.tenant.clone(),
            };
            writes.push(job.put(&record));
            Ok(Decision::Commit(writes, record))
        })
    }

    /// Returns a job.
    ///
    /// # Errors
    /// [`RegistryError::NoJob`].
    pub fn job(&self, name: &str) -> Result<JobRecord, RegistryError> {
        self.read_job(name)?.record.ok_or_else(|| RegistryError::NoJob(name.to_owned()))
    }

    /// Returns all jobs, ascending in name.
    ///
    /// # Errors
    /// [`RegistryError::Backend`].
    pub fn jobs(&self) -> Result<Vec<JobRecord>, RegistryError> {
        self.records("job/")
    }

    /// Removes a job.
    ///
    /// # Errors
    /// [`RegistryError::NoJob`].
    pub fn remove_job(&self, name: &str) -> Result<(), RegistryError> {
        self.decide(|| {
            let job = self.read_job(name)?;
            if job.record.is_none() {
                return Err(RegistryError::NoJob(name.to_owned()));
            }
            Ok(Decision::Commit(vec![job.delete()], ()))
        })
    }

    /// Freezes `steps`, all before them, and `lease_steps` beyond, where they are not frozen yet.
    ///
    /// # Errors
    /// [`RegistryError::NoJob`], or [`RegistryError::Precondition`] when the first step is far beyond the horizon and
    /// this is not a seek.
    pub fn freeze(
        &self,
        name: &str,
        steps: RangeInclusive<u64>,
        lease_steps: u64,
        seek: bool,
    ) -> Result<Frozen, RegistryError> {
        let lease_steps = lease_steps.min(LEASE_STEPS_MAX);
        let (first, last) = steps.into_inner();
        self.decide(|| {
            let read = self.read_job(name)?;
            let Some(mut job) = read.record.clone() else { return Err(RegistryError::NoJob(name.to_owned())) };
            let horizon = job.log.horizon();
            if last < horizon {
                return Ok(Decision::Answer(Frozen { job, changes_added: 0 }));
            }
            if !seek && first.saturating_sub(horizon) > STEPS_BEYOND_HORIZON_MAX {
                return Err(RegistryError::Precondition(format!(
                    "step {first} of job {name:?} is more than {STEPS_BEYOND_HORIZON_MAX} steps beyond its horizon \
                     {horizon}: set seek if that is meant"
                )));
            }
            let active = self.read_active(&job.dataset)?;
            let Some(active_record) = &active.record else { return Err(self.no_dataset(&job.dataset)) };
            let (follow, steps) = (job.follow, job.steps());
            let before = job.log.changes().to_vec();
            job.log.extend(last, lease_steps, active_record.version, follow, steps);
            let changes_added = job.log.changes().iter().filter(|change| !before.contains(change)).count();
            // The version noted must be the active one at the moment of the commit: an activation that was
            // acknowledged before is taken up by every step frozen after.
            let writes = vec![active.keep(), read.put(&job)];
            // Streams go on while the registry is down, on the version that was active when it was last heard of.
            Ok(Decision::CommitOrHold(writes, Frozen { job, changes_added }))
        })
    }

    fn read_job(&self, name: &str) -> Result<Read<JobRecord>, RegistryError> {
        self.read(job_key(name))
    }
}

fn check_equal(stored: &JobRecord, given: &JobParameters) -> Result<(), RegistryError> {
    let differs = |field, stored_value: String, given_value: String| {
        Err(RegistryError::Differs {
            what: "job",
            name: stored.name.clone(),
            field,
            stored: stored_value,
            given: given_value,
        })
    };
    if stored.dataset != given.dataset {
        return differs("dataset", format!("{:?}", stored.dataset), format!("{:?}", given.dataset));
    }
    if stored.seed != given.seed {
        return differs("seed", stored.seed.to_string(), given.seed.to_string());
    }
    if stored.batch_size != given.batch_size {
        return differs("batch_size", stored.batch_size.to_string(), given.batch_size.to_string());
    }
    let epoch_draws = given.epoch_draws.unwrap_or(stored.rows);
    if stored.epoch_draws() != epoch_draws {
        return differs("epoch_draws", stored.epoch_draws().to_string(), epoch_draws.to_string());
    }
    if stored.mode != given.mode {
        return differs("mode", stored.mode.name().to_owned(), given.mode.name().to_owned());
    }
    if stored.follow != given.follow {
        return differs("follow policy", follow_name(stored.follow), follow_name(given.follow));
    }
    Ok(())
}

fn follow_name(follow: Follow) -> String {
    match follow {
        Follow::Step => "step".to_owned(),
        Follow::Epoch => "epoch".to_owned(),
        Follow::Pinned(version) => format!("version {version}"),
    }
}
