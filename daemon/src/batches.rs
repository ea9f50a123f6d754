//! Batches of one job for one rank, computed.

mod block;
mod buffers;
mod drawing;
mod lease;
mod plans;

use std::ops::{Range, RangeInclusive};
use std::sync::Arc;
use std::time::{Duration, Instant};

use swift_sampler::job::{Follow, Shard};
use swift_sampler::{CropBank, Replacement, Sampler};
use swift_sampler_proto::v1;
use tokio::task::JoinHandle;

use self::block::Block;
use self::lease::Lease;
use self::plans::Plans;
use crate::budget::Reservation;
use crate::connections::Peer;
use crate::daemon::{Daemon, FETCH_WAIT_MAX};
use crate::error::{Error, off_runtime};
use crate::registry::JobRecord;

pub use buffers::Buffers;
pub use drawing::Drawing;
pub use lease::CommitTime;

/// Draws that are expected to take no longer than this are made in place.
const ON_RUNTIME_MAX: Duration = Duration::from_micros(100);
/// How long an independent draw takes until some were measured.
const DRAW_TIME_INDEPENDENT: Duration = Duration::from_nanos(45);
/// How long a draw of a plan takes until some were measured: it searches for its cell.
const DRAW_TIME_PLANNED: Duration = Duration::from_nanos(180);

/// Bytes a draw: index and probability.
const DRAW_BYTES: u64 = 8;
/// Bytes that a draw's crop adds.
const CROP_BYTES: u64 = 21;

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
    /// Whether the crops go along, where the dataset is a crop bank.
    pub crops: bool,
}

/// A position in a job, moving forward.
#[derive(Debug)]
pub struct JobReader {
    daemon: Arc<Daemon>,
    reading: Reading,
    job: Arc<JobRecord>,
    /// Where the next batch comes from; steps before `next` were read.
    next: u64,
    run: Option<Run>,
    plans: Plans,
    /// How many times a dataset had been found to be damaged when `run` and `plans` were taken up.
    times_found_damaged: u64,
    lease: Lease,
    /// The extension of the horizon that is under way while steps below it are read.
    renewal: Option<JoinHandle<Result<JobRecord, Error>>>,
    /// How long a draw takes.
    draw_time: Duration,
    /// Memory for what is drawn, held by every drawing as well: it goes on where nobody waits for it any more.
    reservation: Option<Reservation>,
}

/// Consecutive frozen steps that follow one version.
#[derive(Debug, Clone)]
struct Run {
    version: u64,
    sampler: Arc<Sampler>,
    crop_bank: Option<CropBank>,
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
            draw_time: match job.mode {
                Replacement::Independent => DRAW_TIME_INDEPENDENT,
                Replacement::Stratified | Replacement::Distinct => DRAW_TIME_PLANNED,
            },
            job: Arc::new(job),
            run: None,
            plans: Plans::new(Arc::clone(daemon)),
            times_found_damaged: daemon.loaded.store().times_found_damaged(),
            lease: Lease::default(),
            renewal: None,
            reservation: None,
        };
        reader.reading.steps.end = end.min(steps_max);
        Ok(reader)
    }

    /// Reserves memory for `batches` at once, until this and what it has drawn from is dropped; known once the
    /// [first step](Self::freeze_first) is frozen.
    ///
    /// # Errors
    /// [`Error::Busy`] when others have too much of it.
    pub fn reserve(&mut self, peer: Peer, batches: u64) -> Result<Reservation, Error> {
        let reservation = self.daemon.reserve_answer(peer, self.bytes(batches))?;
        self.reservation = Some(reservation.clone());
        Ok(reservation)
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

    /// Freezes the first step and returns its sampler, with its version.
    ///
    /// # Errors
    /// As [`Self::freeze_first`].
    pub async fn first_sampler(&mut self) -> Result<(u64, Arc<Sampler>), Error> {
        if self.is_done() {
            return Err(Error::Invalid(format!("step {} is beyond the last", self.next)));
        }
        let run = self.run(self.next).await?;
        Ok((run.version, run.sampler))
    }

    /// Returns the job, as it was last seen.
    #[must_use]
    pub fn job(&self) -> &JobRecord {
        &self.job
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

    /// Tells whether crops go along with the draws; known once the [first step](Self::freeze_first) is frozen.
    #[must_use]
    pub fn sends_crops(&self) -> bool {
        self.reading.crops && self.run.as_ref().is_some_and(|run| run.crop_bank.is_some())
    }

    /// Returns how many bytes the columns of so many batches have; known once the [first step](Self::freeze_first) is frozen.
    #[must_use]
    pub fn bytes(&self, batches: u64) -> u64 {
        let draw_bytes = DRAW_BYTES + if self.sends_crops() { CROP_BYTES } else { 0 };
        batches * u64::from(self.draws_a_batch()) * draw_bytes
    }

    /// Returns the next batches, at least one and at most `batches_max`: fewer where steps end or are not frozen yet,
    /// and, in mode distinct, where an epoch ends, as each epoch may take long to plan.
    ///
    /// # Errors
    /// [`Error`] when the registry cannot be reached, the job was removed, or its dataset is found to be damaged: nothing is
    /// returned that was drawn from one.
    pub async fn next_block(&mut self, batches_max: u64) -> Result<v1::BatchBlock, Error> {
        loop {
            let from = self.next;
            let times = self.daemon.loaded.store().times_found_damaged();
            if times != self.times_found_damaged {
                // What is held may be of the damaged dataset: it is asked for again, and refused if it is.
                self.times_found_damaged = times;
                self.run = None;
                self.plans = Plans::new(Arc::clone(&self.daemon));
            }
            let drawn = self.draw_block(batches_max).await?;
            if self.daemon.loaded.store().times_found_damaged() == times {
                return Ok(drawn);
            }
            self.next = from;
        }
    }

    async fn draw_block(&mut self, batches_max: u64) -> Result<v1::BatchBlock, Error> {
        let from = self.next;
        let mut to = from.saturating_add(batches_max.max(1)).min(self.reading.steps.end);
        if self.job.mode == Replacement::Distinct {
            let steps = self.job.steps();
            to = to.min(steps.first_step(steps.epoch(from) + 1));
        }
        if from < self.job.log.horizon() {
            to = to.min(self.job.log.horizon());
        }
        let mut runs = Vec::new();
        while self.next < to {
            let run = self.run(to - 1).await?;
            let end = run.end.min(to);
            runs.push((self.next..end, run));
            self.next = end;
        }
        self.renew_if_due();
        let on_runtime = self.draws_are_quick(from..to);
        let mut block = Block {
            job: Arc::clone(&self.job),
            shard: self.reading.shard,
            probabilities: self.reading.probabilities,
            crop_bank: runs.first().and_then(|(_, run)| run.crop_bank.clone()).filter(|_| self.reading.crops),
            plans: self.plans.clone(),
        };
        let (daemon, reservation) = (Arc::clone(&self.daemon), self.reservation.clone());
        let draw = move || {
            let _reservation = reservation;
            let start = Instant::now();
            let drawn = block.draw(&runs, &daemon.buffers, (!on_runtime).then_some(&daemon.drawing))?;
            Ok::<_, Error>((drawn, block.plans, start.elapsed()))
        };
        let (drawn, plans, took) = if on_runtime { draw()? } else { off_runtime(draw).await? };
        self.plans = plans;
        if let Ok(draws @ 1..) = u32::try_from(drawn.indices.len() / size_of::<u32>()) {
            self.draw_time = (self.draw_time * 3 + took / draws) / 4;
        }
        Ok(drawn)
    }

    /// Tells whether the draws of frozen steps take well under half a millisecond.
    fn draws_are_quick(&self, steps: Range<u64>) -> bool {
        let draws = (steps.end - steps.start).saturating_mul(u64::from(self.draws_a_batch()));
        let quick = u128::from(draws) * self.draw_time.as_nanos() <= ON_RUNTIME_MAX.as_nanos();
        match self.job.mode {
            Replacement::Independent | Replacement::Stratified => quick,
            Replacement::Distinct => {
                let all = self.job.steps().first_draw(steps.start)..self.job.steps().first_draw(steps.end);
                quick && self.plans.cover(&self.job, all)
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
        if self.next >= self.job.log.horizon()
            && let Some(renewal) = self.renewal.take()
        {
            let job = renewal.await??;
            self.take_up(job);
        }
        if self.next >= self.job.log.horizon() {
            let extension = self.extension(self.next..=last);
            let job = self.daemon.with_registry(move |daemon| extension.commit(daemon)).await?;
            self.take_up(job);
        }
        let log = &self.job.log;
        let (version, end) = (log.version_at(self.next).expect("the step was just frozen"), log.run_end(self.next));
        let (sampler, crop_bank) = match &self.run {
            Some(run) if run.version == version => (Arc::clone(&run.sampler), run.crop_bank.clone()),
            _ => {
                let job = Arc::clone(&self.job);
                self.daemon
                    .with_dataset(FETCH_WAIT_MAX, move |daemon| {
                        let record = daemon.registry.sampler(&job.dataset, version)?;
                        let hash = record.content(&job.dataset_hash);
                        let sampler = daemon.loaded.sampler(hash, &record.spec_json)?;
                        let dataset = daemon.loaded.dataset(hash)?;
                        Ok::<_, Error>((sampler, dataset.crop_bank().cloned()))
                    })
                    .await?
            }
        };
        let run = Run { version, sampler, crop_bank, end };
        self.run = Some(run.clone());
        Ok(run)
    }

    /// Extends the horizon in the background when a good part of the lease is used, so that the reader need not wait for
    /// the commit. Never beyond what is to be read, and, for a job that changes at epochs, not into the next one.
    fn renew_if_due(&mut self) {
        let (horizon, steps) = (self.job.log.horizon(), self.job.steps());
        let is_open = horizon < self.reading.steps.end && self.renewal.is_none();
        let into_epoch = self.job.follow == Follow::Epoch && steps.epoch(horizon) != steps.epoch(self.next);
        if is_open && !into_epoch && self.lease.is_due(horizon.saturating_sub(self.next)) {
            let extension = self.extension(horizon..=horizon);
            let daemon = Arc::clone(&self.daemon);
            let renewal = async move { daemon.with_registry(move |daemon| extension.commit(daemon)).await };
            self.renewal = Some(tokio::spawn(renewal));
        }
    }

    fn extension(&mut self, steps: RangeInclusive<u64>) -> Extension {
        let to_be_read = self.reading.steps.end - steps.end();
        let lease_steps = self.lease.next(&self.daemon.commit_time).min(to_be_read);
        Extension { known: Arc::clone(&self.job), steps, lease_steps, seek: self.reading.seek }
    }

    fn take_up(&mut self, job: JobRecord) {
        if !job.log.changes().starts_with(self.job.log.changes()) {
            // The registry was away, and took up another log than was served here meanwhile.
            self.plans = Plans::new(Arc::clone(&self.daemon));
        }
        self.job = Arc::new(job);
    }
}

/// An extension of a job's horizon.
struct Extension {
    known: Arc<JobRecord>,
    steps: RangeInclusive<u64>,
    lease_steps: u64,
    seek: bool,
}

impl Extension {
    /// Freezes the steps, if nobody has. Blocks.
    fn commit(self, daemon: &Daemon) -> Result<JobRecord, Error> {
        let start = Instant::now();
        let last = *self.steps.end();
        let frozen = daemon.registry.freeze(&self.known.name, self.steps, self.lease_steps, self.seek)?;
        if !frozen.job.is_same_job(&self.known) {
            return Err(Error::JobReplaced(self.known.name.clone()));
        }
        if frozen.job.log.horizon() == last.saturating_add(self.lease_steps.max(1)) {
            daemon.commit_time.note(start.elapsed());
        }
        daemon.metrics.swaps.inc_by(frozen.changes_added as u64);
        Ok(frozen.job)
    }
}
