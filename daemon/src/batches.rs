//! Batches of one job for one rank, computed.

mod plans;

use std::ops::{Range, RangeInclusive};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use swift_sampler::job::Shard;
use swift_sampler::{Indices, Plan, Replacement, Sampler};
use swift_sampler_proto::v1;

use self::plans::Plans;
use crate::daemon::{Daemon, FETCH_WAIT_MAX};
use crate::error::{Error, off_runtime};
use crate::registry::{JobRecord, LEASE_STEPS, LEASE_STEPS_MAX};

/// Up to so many independent draws are computed in place: well under half a millisecond at 45 ns each.
const DRAWS_ON_RUNTIME_MAX: u64 = 8192;
/// Up to so many draws of a plan, which search for their cell.
const PLANNED_DRAWS_ON_RUNTIME_MAX: u64 = 2048;

/// A reader that uses up a lease faster than this gets longer ones, so that it does not wait for a commit every few
/// milliseconds; an activation is then later by about as much.
const LEASE_SHORT: Duration = Duration::from_millis(20);

/// What a reader wants.
#[derive(Debug, Clone)]
pub struct Reading {
    /// The job's name.
    pub job: String,
    /// The steps, in order.
    pub steps: Range<u64>,
    /// Whose share.
    pub shard: Shard,
    /// The first step may be far beyond the horizon.
    pub seek: bool,
    /// Whether the probabilities go along.
    pub probabilities: bool,
}

/// A position in a job, moving forward.
#[derive(Debug)]
pub struct JobReader {
    daemon: Arc<Daemon>,
    reading: Reading,
    job: JobRecord,
    /// Where the next batch comes from; steps before `next` were read.
    next: u64,
    run: Option<Run>,
    plans: Plans,
    lease: Lease,
}

/// How far this reader extends the horizon at once.
#[derive(Debug, Default)]
struct Lease {
    steps: u64,
    extended: Option<Instant>,
}

impl Lease {
    /// Returns the steps of the next extension: twice the last one's if that was used up at once.
    fn next(&mut self) -> u64 {
        let used_up_at_once = self.extended.is_some_and(|at| at.elapsed() < LEASE_SHORT);
        self.steps = if used_up_at_once { (self.steps * 2).min(LEASE_STEPS_MAX) } else { LEASE_STEPS };
        self.steps
    }
}

/// Consecutive frozen steps that follow one version.
#[derive(Debug, Clone)]
struct Run {
    version: u64,
    sampler: Arc<Sampler>,
    end: u64,
}

impl JobReader {
    /// Opens a job for reading. Freezes nothing yet.
    ///
    /// # Errors
    /// [`Error`] when there is no such job, or the steps are out of range.
    pub async fn open(daemon: &Arc<Daemon>, reading: Reading) -> Result<Self, Error> {
        let Range { start, end } = reading.steps;
        if start > end {
            return Err(Error::Invalid(format!("from_step {start} is beyond to_step {end}")));
        }
        let name = reading.job.clone();
        let job = daemon.with_registry(move |daemon| daemon.registry.job(&name)).await?;
        // Draws are numbered with 64 bits, and a batch must end below that.
        let steps_max = u64::MAX / u64::from(job.batch_size);
        if start > steps_max {
            return Err(Error::Invalid(format!("step {start} is beyond the last, {steps_max}")));
        }
        let mut reader = Self {
            daemon: Arc::clone(daemon),
            next: start,
            reading,
            job,
            run: None,
            plans: Plans::new(Arc::clone(daemon)),
            lease: Lease::default(),
        };
        reader.reading.steps.end = end.min(steps_max);
        Ok(reader)
    }

    /// Freezes the first step, if there is one to read, so that what refuses it is known before a batch is due.
    ///
    /// # Errors
    /// [`Error`] when the step is far beyond the horizon, or its sampler cannot be served.
    pub async fn freeze_first(&mut self) -> Result<(), Error> {
        if !self.is_done() {
            self.run(self.next).await?;
        }
        Ok(())
    }

    /// Tells whether all steps were read.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.next >= self.reading.steps.end
    }

    /// Returns the draws a batch has for this rank.
    #[must_use]
    pub fn draws_a_batch(&self) -> u32 {
        let slice = self.reading.shard.slice(self.job.batch_size);
        slice.end - slice.start
    }

    /// Returns the next batches, at least one and at most `batches_max`: fewer where steps end, and, in mode distinct,
    /// where an epoch ends, as each epoch may take long to plan.
    ///
    /// # Errors
    /// [`Error`] when the registry cannot be reached, or the job was removed.
    pub async fn next_block(&mut self, batches_max: u64) -> Result<v1::BatchBlock, Error> {
        let from = self.next;
        let mut to = from.saturating_add(batches_max.max(1)).min(self.reading.steps.end);
        if self.job.mode == Replacement::Distinct {
            let steps = self.job.steps();
            to = to.min(steps.first_step(steps.epoch(from) + 1));
        }
        let mut runs = Vec::new();
        while self.next < to {
            let run = self.run(to - 1).await?;
            let end = run.end.min(to);
            runs.push((self.next..end, run));
            self.next = end;
        }
        let on_runtime = self.draws_are_quick(from..to);
        let mut block = Block {
            job: self.job.clone(),
            shard: self.reading.shard,
            probabilities: self.reading.probabilities,
            plans: self.plans.clone(),
        };
        let draw = move || Ok::<_, Error>((block.draw(&runs)?, block.plans));
        let (drawn, plans) = if on_runtime { draw()? } else { off_runtime(draw).await? };
        self.plans = plans;
        Ok(drawn)
    }

    /// Tells whether the draws of frozen steps take well under half a millisecond.
    fn draws_are_quick(&self, steps: Range<u64>) -> bool {
        let draws = (steps.end - steps.start).saturating_mul(u64::from(self.draws_a_batch()));
        match self.job.mode {
            Replacement::Independent => draws <= DRAWS_ON_RUNTIME_MAX,
            Replacement::Stratified => draws <= PLANNED_DRAWS_ON_RUNTIME_MAX,
            Replacement::Distinct => {
                let all = self.job.steps().first_draw(steps.start)..self.job.steps().first_draw(steps.end);
                draws <= PLANNED_DRAWS_ON_RUNTIME_MAX && self.plans.cover(&self.job, all)
            }
        }
    }

    /// Returns the run that `next` lies in, freezing up to `last` if need be.
    async fn run(&mut self, last: u64) -> Result<Run, Error> {
        if let Some(run) = &self.run
            && self.next < run.end
        {
            return Ok(run.clone());
        }
        let (steps, known, seek) = (self.next..=last, self.job.clone(), self.reading.seek);
        let frozen = last < self.job.log.horizon();
        let lease_steps = if frozen { 0 } else { self.lease.next() };
        let (job, run) = self
            .daemon
            .with_dataset(FETCH_WAIT_MAX, move |daemon| freeze(daemon, &known, &steps, lease_steps, seek))
            .await?;
        if !frozen {
            self.lease.extended = Some(Instant::now());
        }
        if !job.log.changes().starts_with(self.job.log.changes()) {
            // The registry was away, and took up another log than was served here meanwhile.
            self.plans = Plans::new(Arc::clone(&self.daemon));
        }
        self.job = job;
        self.run = Some(run.clone());
        Ok(run)
    }
}

/// Freezes steps, and loads the sampler of the first. Blocks.
fn freeze(
    daemon: &Daemon,
    known: &JobRecord,
    steps: &RangeInclusive<u64>,
    lease_steps: u64,
    seek: bool,
) -> Result<(JobRecord, Run), Error> {
    let step = *steps.start();
    let mut job = known.clone();
    if *steps.end() >= job.log.horizon() {
        let frozen = daemon.registry.freeze(&job.name, steps.clone(), lease_steps, seek)?;
        if !frozen.job.is_same_job(&job) {
            return Err(Error::JobReplaced(job.name));
        }
        daemon.metrics.swaps.inc_by(frozen.changes_added as u64);
        job = frozen.job;
    }
    let version = job.log.version_at(step).expect("the step was just frozen");
    let sampler = daemon.registry.sampler(&job.dataset, version)?;
    let sampler = daemon.loaded.sampler(&job.dataset_hash, &sampler.spec_json)?;
    let run = Run { version, sampler, end: job.log.run_end(step) };
    Ok((job, run))
}

/// What does not change within a block.
struct Block {
    job: JobRecord,
    shard: Shard,
    probabilities: bool,
    plans: Plans,
}

impl Block {
    fn draw(&mut self, runs: &[(Range<u64>, Run)]) -> Result<v1::BatchBlock, Error> {
        let steps = self.job.steps();
        let slice = self.shard.slice(self.job.batch_size);
        let draws_a_batch = (slice.end - slice.start) as usize;
        let batches: usize = runs.iter().map(|(steps, _)| usize::try_from(steps.end - steps.start).unwrap_or(0)).sum();
        let mut headers = Vec::with_capacity(batches);
        let mut rows = vec![0u32; batches * draws_a_batch];
        let mut probabilities = vec![0f32; batches * draws_a_batch];
        let mut at = 0;
        for (step, run) in runs.iter().flat_map(|(steps, run)| steps.clone().map(move |step| (step, run))) {
            headers.push(v1::BatchHeader {
                step,
                epoch: steps.epoch(step),
                version: run.version,
                draws: slice.end - slice.start,
            });
            let to = at + draws_a_batch;
            let plan_of = |draw| self.plans.plan(&self.job, draw, &run.sampler);
            let draws = steps.draws(step, self.shard);
            Plan::draw_across(draws, &mut rows[at..to], &mut probabilities[at..to], plan_of)?;
            at = to;
        }
        let (first_row, dataset_rows) =
            runs.first().map_or((0, 0), |(_, run)| (run.sampler.first_row(), run.sampler.rows()));
        let (index_type, indices) = match Indices::of_rows(rows, first_row, dataset_rows) {
            Indices::U32(indices) => (v1::IndexType::U32, Bytes::from_owner(Packed(indices.into_vec()))),
            Indices::U64(indices) => (v1::IndexType::U64, Bytes::from_owner(Packed(indices.into_vec()))),
        };
        Ok(v1::BatchBlock {
            batches: headers,
            index_type: index_type.into(),
            indices,
            probabilities: if self.probabilities { Bytes::from_owner(Packed(probabilities)) } else { Bytes::new() },
        })
    }
}

/// A column as it goes on the wire, without a copy; the machine is little-endian as the wire is.
struct Packed<T>(Vec<T>);

impl<T: bytemuck::NoUninit> AsRef<[u8]> for Packed<T> {
    fn as_ref(&self) -> &[u8] {
        bytemuck::cast_slice(&self.0)
    }
}
