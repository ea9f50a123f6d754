//! A job without a daemon: its dataset, its parameters and its log of samplers make its batches.

mod error;
mod parameters;
mod plans;
mod served_job;
mod version;

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::ops::Range;
use std::sync::Arc;

use crate::batch::{Batch, Indices};
use crate::dataset::Dataset;
use crate::job::{Follow, JobLog, Shard, Steps, VersionChange};
use crate::philox::Seed;
use crate::plan::{Plan, PlanError};
use crate::replacement::Replacement;
use crate::sampler::Sampler;
use crate::segment::VersionSegment;
use crate::selection::{Proposals, Selected, Selection};
use crate::spec::SamplerSpec;
use plans::Plans;

pub use error::EngineError;
pub use parameters::{BATCH_SIZE_MAX, JobParameters};
pub use served_job::ServedJob;
pub use version::SamplerVersion;

/// The version of the sampler that an engine starts under.
const VERSION_FIRST: u64 = 1;

/// Computes the batches that a daemon serves for the same dataset, parameters and log of samplers, to the last bit.
///
/// Cloning is cheap: the dataset and the samplers are shared.
#[derive(Debug, Clone)]
pub struct Engine {
    dataset: Arc<Dataset>,
    /// What the latest sampler weighs examples by: the dataset, or a later revision of its features.
    features: Arc<Dataset>,
    parameters: JobParameters,
    /// Which version is in force when. Only a replayed job's log has a horizon.
    log: JobLog,
    samplers: BTreeMap<u64, Arc<Sampler>>,
    /// Of this log and these parameters.
    plans: Arc<Plans>,
}

impl Engine {
    /// Starts a job under one sampler, version 1.
    ///
    /// # Errors
    /// [`EngineError`] when the sampler cannot be built or a parameter is out of range.
    pub fn new(
        dataset: impl Into<Arc<Dataset>>,
        spec: &SamplerSpec,
        parameters: JobParameters,
    ) -> Result<Self, EngineError> {
        let log = JobLog::new(VERSION_FIRST, Follow::Pinned(VERSION_FIRST));
        Self::with_log(dataset, parameters, log, |_first| Some(spec.clone()))
    }

    /// Repeats a job that a daemon served: below its horizon every batch is the daemon's. Reads all of the dataset, to
    /// compare its content with that of the job's. `version` returns what a version is: its spec, with the
    /// [revision of the features](SamplerVersion::over) that it weighs examples by where that is not the dataset's.
    ///
    /// # Errors
    /// [`EngineError`] when the dataset is another, or a version is not known.
    pub fn replay<V: Into<SamplerVersion>>(
        dataset: impl Into<Arc<Dataset>>,
        job: &ServedJob,
        version: impl Fn(u64) -> Option<V>,
    ) -> Result<Self, EngineError> {
        let dataset = dataset.into();
        let given = dataset.hash();
        if given != job.dataset_hash {
            return Err(EngineError::OtherDataset { given, served: job.dataset_hash.clone() });
        }
        let log = JobLog::from_changes(job.log.clone(), job.horizon).ok_or(EngineError::Log)?;
        Self::with_log(dataset, job.parameters(), log, version)
    }

    /// Takes up a log. `version` returns what a version is, and is asked once.
    ///
    /// # Errors
    /// [`EngineError`] when a version is not known or cannot be built, or a parameter is out of range.
    pub fn with_log<V: Into<SamplerVersion>>(
        dataset: impl Into<Arc<Dataset>>,
        parameters: JobParameters,
        log: JobLog,
        version: impl Fn(u64) -> Option<V>,
    ) -> Result<Self, EngineError> {
        let dataset = dataset.into();
        parameters.check(dataset.rows())?;
        let mut samplers = BTreeMap::new();
        let mut refreshed = BTreeMap::new();
        for &VersionChange { version: number, .. } in log.changes() {
            if let Entry::Vacant(vacant) = samplers.entry(number) {
                let SamplerVersion { spec, features } =
                    version(number).ok_or(EngineError::NoSpec { version: number })?.into();
                let features = features.unwrap_or_else(|| Arc::clone(&dataset));
                check_examples(&dataset, &features)?;
                vacant.insert(Arc::new(Sampler::build(&spec, &features)?));
                refreshed.insert(number, features);
            }
        }
        let features = refreshed.pop_last().map_or_else(|| Arc::clone(&dataset), |(_, features)| features);
        Ok(Self { dataset, features, parameters, log, samplers, plans: Arc::default() })
    }

    /// Swaps the sampler: batches from `step` on follow `spec`, those before it stay what they are. Returns its version,
    /// one more than the largest so far. In a replayed job, steps from its horizon up to `step` keep its last version.
    ///
    /// # Errors
    /// [`EngineError::Decided`] when `step` lies before the last swap or below a replayed job's horizon;
    /// [`EngineError::Sampler`] when the sampler cannot be built.
    pub fn activate_at(&mut self, step: u64, spec: &SamplerSpec) -> Result<u64, EngineError> {
        self.take_up(step, spec, Arc::clone(&self.features))
    }

    /// Replaces the features: batches from `step` on follow the latest sampler's spec over the values of `features`, and so
    /// do later swaps; those before it stay what they are. Returns the version of that sampler, as a daemon's refresh makes
    /// one.
    ///
    /// # Errors
    /// As [`Self::activate_at`]; [`EngineError::OtherExamples`] when `features` is not of the same examples.
    pub fn refresh_at(&mut self, step: u64, features: impl Into<Arc<Dataset>>) -> Result<u64, EngineError> {
        let features = features.into();
        check_examples(&self.dataset, &features)?;
        let latest = self.samplers.last_key_value().map(|(_, sampler)| sampler.spec().clone());
        self.take_up(step, &latest.ok_or(EngineError::Log)?, features)
    }

    fn take_up(&mut self, step: u64, spec: &SamplerSpec, features: Arc<Dataset>) -> Result<u64, EngineError> {
        let sampler = Arc::new(Sampler::build(spec, &features)?);
        let version = self.samplers.last_key_value().map_or(VERSION_FIRST, |(version, _)| version + 1);
        self.log.decide(step, version).map_err(|earliest| EngineError::Decided { step, earliest })?;
        self.samplers.insert(version, sampler);
        self.features = features;
        self.plans = Arc::default();
        Ok(version)
    }

    /// Returns an engine of the same dataset and samplers for a job of other parameters.
    ///
    /// # Errors
    /// [`EngineError`] when a parameter is out of range.
    pub fn with_parameters(&self, parameters: JobParameters) -> Result<Self, EngineError> {
        parameters.check(self.dataset.rows())?;
        Ok(Self { parameters, plans: Arc::default(), ..self.clone() })
    }

    /// Computes one rank's share of a global batch. Takes the same time at any step; in mode [`Replacement::Distinct`] the
    /// first batch of an epoch plans it, in O(n + E log E) for n examples and E draws.
    ///
    /// # Errors
    /// [`EngineError::Undecided`] at and above a replayed job's horizon; [`EngineError::NoSuchStep`] where draws can no
    /// longer be numbered with 64 bits.
    pub fn batch(&self, step: u64, shard: Shard) -> Result<Batch, EngineError> {
        let steps = self.steps();
        let steps_max = u64::MAX / u64::from(steps.batch_size);
        if step >= steps_max {
            return Err(EngineError::NoSuchStep { step, last: steps_max - 1 });
        }
        let version = self.version_at(step)?;
        let count = shard.slice(steps.batch_size).len();
        let (mut rows, mut probabilities) = (vec![0; count], vec![0.0; count]);
        let plan_of = |draw| self.plan(draw);
        Plan::draw_across(steps.draws(step, shard), &mut rows, &mut probabilities, plan_of, Plan::draw_into)?;
        let crops = self.dataset.crop_bank().map(|bank| Box::new(bank.crops(&rows)));
        let indices = Indices::of_rows(rows, self.dataset.first_row(), self.dataset.rows());
        Ok(Batch { step, epoch: steps.epoch(step), version, indices, probabilities: probabilities.into(), crops })
    }

    /// Selects `keep` of a rank's proposals for a step, and returns them with the version that weighed them, as a daemon does
    /// for this job: see [`Sampler::select`].
    ///
    /// # Errors
    /// [`EngineError::Undecided`] at and above a replayed job's horizon; [`EngineError::Selection`] as
    /// [`Sampler::select`].
    pub fn select(
        &self,
        step: u64,
        rank: u32,
        proposals: &Proposals,
        keep: usize,
        fill: bool,
    ) -> Result<(u64, Selected), EngineError> {
        let version = self.version_at(step)?;
        let selection = Selection { seed: Seed(self.parameters.seed), step, rank, keep, fill };
        Ok((version, self.samplers[&version].select(proposals, &selection)?))
    }

    /// Computes one rank's share of the batches of `steps`, one at a time.
    pub fn batches(&self, steps: Range<u64>, shard: Shard) -> impl Iterator<Item = Result<Batch, EngineError>> + '_ {
        steps.map(move |step| self.batch(step, shard))
    }

    /// Returns the dataset, with the features that the job began with.
    #[must_use]
    pub fn dataset(&self) -> &Arc<Dataset> {
        &self.dataset
    }

    /// Returns the job's parameters.
    #[must_use]
    pub fn parameters(&self) -> JobParameters {
        self.parameters
    }

    /// Returns the job's arithmetic of steps and epochs.
    #[must_use]
    pub fn steps(&self) -> Steps {
        self.parameters.steps(self.dataset.rows())
    }

    /// Returns which version is in force when.
    #[must_use]
    pub fn log(&self) -> &JobLog {
        &self.log
    }

    /// Returns the sampler of a version that was in the log.
    #[must_use]
    pub fn sampler(&self, version: u64) -> Option<&Arc<Sampler>> {
        self.samplers.get(&version)
    }

    fn version_at(&self, step: u64) -> Result<u64, EngineError> {
        self.log.version_at(step).ok_or(EngineError::Undecided { step, horizon: self.log.horizon() })
    }

    /// Returns the plan of the segment that a draw lies in.
    fn plan(&self, draw: u64) -> Result<Arc<Plan>, PlanError> {
        let make = |in_force: &VersionSegment, before: Option<&Plan>| {
            let sampler = Arc::clone(&self.samplers[&in_force.version]);
            let JobParameters { seed, replacement, .. } = self.parameters;
            Plan::new(sampler, Seed(seed), replacement, in_force.segment, before).map(Arc::new)
        };
        match self.parameters.replacement {
            Replacement::Independent | Replacement::Stratified => make(&self.log.segment(draw, self.steps()), None),
            Replacement::Distinct => self.plans.last_of(&self.log.segments(draw, self.steps()), make),
        }
    }
}

/// Checks that features are of the same examples as the dataset.
fn check_examples(dataset: &Dataset, features: &Dataset) -> Result<(), EngineError> {
    let examples = |of: &Dataset| (of.first_row(), of.rows());
    if examples(dataset) == examples(features) {
        return Ok(());
    }
    Err(EngineError::OtherExamples { given: examples(features), dataset: examples(dataset) })
}
