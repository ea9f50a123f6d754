//! A cluster in one process: hosts that hold a shard each, the registry they share, and trainers that ask them.

use std::collections::BTreeMap;
use std::error::Error;
use std::ops::Range;
use std::sync::Arc;

use swift_sampler::job::{Follow, JobLog, Shard, Steps};
use swift_sampler::{JobParameters, SamplerSpec, Seed, ShardedPlan, ShardedSampler, VersionSegment};

use super::set_up::Rows;

/// Steps a commit freezes.
const LEASE_STEPS: u64 = 16;
/// Bytes of a request: rank, world size, first step and number of steps.
const REQUEST_BYTES: u64 = 4 + 4 + 8 + 4;
/// Bytes that a step has in an answer: version, and how many draws follow.
const STEP_BYTES: u64 = 8 + 4;
/// Bytes of a draw in an answer: which of the rank's it is, its row in the shard, and its probability.
const DRAW_BYTES: u64 = 4 + 4 + 4;

/// What the hosts agree on: one job's log, and the samplers put so far.
#[derive(Debug)]
pub(crate) struct Registry {
    pub(crate) log: JobLog,
    pub(crate) specs: Vec<SamplerSpec>,
    /// Compare-and-set operations so far.
    pub(crate) commits: u64,
    steps: Steps,
}

impl Registry {
    fn active(&self) -> u64 {
        self.specs.len() as u64
    }

    fn spec(&self, version: u64) -> &SamplerSpec {
        &self.specs[usize::try_from(version - 1).expect("versions count from 1")]
    }

    /// Freezes a step, and a lease of those after it.
    fn freeze(&mut self, step: u64) {
        if step >= self.log.horizon() {
            self.log.extend(step, LEASE_STEPS, self.active(), Follow::Step, self.steps);
            self.commits += 1;
        }
    }
}

/// What went through one host.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Traffic {
    pub(crate) requests: u64,
    pub(crate) bytes_received: u64,
    pub(crate) bytes_sent: u64,
    /// Draws looked at, and those whose rows it holds.
    pub(crate) draws: u64,
    pub(crate) draws_held: u64,
}

/// One replica of one shard.
#[derive(Debug)]
pub(crate) struct Host {
    /// Rows by the cells of the features, and as one cell for the uniform sampler.
    rows: Arc<Rows>,
    samplers: BTreeMap<u64, Arc<ShardedSampler>>,
    pub(crate) lost: bool,
    pub(crate) traffic: Traffic,
}

/// A host's part of one rank's batch.
struct Part {
    version: u64,
    /// Which of the rank's draws, row in the shard, probability.
    draws: Vec<(u32, u32, f32)>,
}

/// A batch, whatever hosts its parts came from.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct MergedBatch {
    pub(crate) version: u64,
    pub(crate) indices: Vec<u64>,
    pub(crate) probabilities: Vec<f32>,
}

/// All of it.
#[derive(Debug)]
pub(crate) struct Cluster {
    pub(crate) registry: Registry,
    parameters: JobParameters,
    first_rows: Vec<u64>,
    /// Of each shard, its replicas.
    pub(crate) hosts: Vec<Vec<Host>>,
}

impl Cluster {
    /// Starts `replicas` hosts for each shard, and a job under the sampler of `spec`.
    pub(crate) fn new(shards: Vec<Rows>, replicas: usize, spec: SamplerSpec, parameters: JobParameters) -> Self {
        let shared = Arc::clone(shards[0].by_cell.shared());
        let epoch_draws = parameters.epoch_draws.unwrap_or(shared.rows());
        let steps = Steps { batch_size: parameters.batch_size, epoch_draws };
        let registry = Registry { log: JobLog::new(1, Follow::Step), specs: vec![spec], commits: 0, steps };
        let host = |rows: &Arc<Rows>| Host {
            rows: Arc::clone(rows),
            samplers: BTreeMap::new(),
            lost: false,
            traffic: Traffic::default(),
        };
        let replicas_of = |rows: Rows| {
            let rows = Arc::new(rows);
            (0..replicas).map(|_| host(&rows)).collect()
        };
        let first_rows = (0..shared.shards()).map(|shard| shared.first_row(shard)).collect();
        Self { registry, parameters, first_rows, hosts: shards.into_iter().map(replicas_of).collect() }
    }

    /// Puts a sampler and activates it: the next steps to be frozen follow it.
    pub(crate) fn activate(&mut self, spec: SamplerSpec) {
        self.registry.specs.push(spec);
        self.registry.commits += 1;
    }

    /// A rank asks every shard for a window of steps, once, and merges what it is told.
    pub(crate) fn pull(
        &mut self,
        rank: Shard,
        window: Range<u64>,
        number: usize,
    ) -> Result<Vec<MergedBatch>, Box<dyn Error>> {
        let share = rank.slice(self.parameters.batch_size).len();
        let empty = MergedBatch { version: 0, indices: vec![u64::MAX; share], probabilities: vec![0.0; share] };
        let mut merged: Vec<MergedBatch> = window.clone().map(|_| empty.clone()).collect();
        let mut draws = 0;
        for (shard, replicas) in self.hosts.iter_mut().enumerate() {
            // Replicas answer alike: readers spread over those that are there.
            let well = replicas.iter_mut().filter(|host| !host.lost);
            let mut well: Vec<&mut Host> = well.collect();
            let count = well.len();
            let host = well.get_mut(number % count.max(1)).ok_or(format!("shard {shard} has no host left"))?;
            let parts = host.answer(&mut self.registry, self.parameters, rank, window.clone())?;
            for (batch, part) in merged.iter_mut().zip(parts) {
                batch.version = part.version;
                for (offset, row, probability) in part.draws {
                    batch.indices[offset as usize] = self.first_rows[shard] + u64::from(row);
                    batch.probabilities[offset as usize] = probability;
                    draws += 1;
                }
            }
        }
        if draws == share * merged.len() { Ok(merged) } else { Err("a draw has two rows, or none".into()) }
    }

    /// Returns what went through all hosts.
    pub(crate) fn traffic(&self) -> impl Iterator<Item = Traffic> {
        self.hosts.iter().flatten().map(|host| host.traffic)
    }
}

impl Host {
    /// Answers with the part of a rank's batches whose rows it holds.
    fn answer(
        &mut self,
        registry: &mut Registry,
        parameters: JobParameters,
        rank: Shard,
        window: Range<u64>,
    ) -> Result<Vec<Part>, Box<dyn Error>> {
        self.traffic.requests += 1;
        self.traffic.bytes_received += REQUEST_BYTES;
        let mut parts = Vec::new();
        for step in window {
            registry.freeze(step);
            let mut draws = registry.steps.draws(step, rank);
            let first = draws.start;
            let version = registry.log.version_at(step).ok_or("the step was frozen")?;
            let mut part = Part { version, draws: Vec::new() };
            while !draws.is_empty() {
                let VersionSegment { version, segment } = registry.log.segment(draws.start, registry.steps);
                let end = draws.end.min(segment.end);
                let sampler = self.sampler(registry, version)?;
                let rows = self.rows.of_spec(sampler.spec());
                let plan = ShardedPlan::new(sampler, Seed(parameters.seed), parameters.replacement, segment)?;
                for held in plan.held(draws.start..end, rows) {
                    let offset = u32::try_from(held.draw - first)?;
                    part.draws.push((offset, u32::try_from(held.index - rows.first_row())?, held.probability));
                }
                self.traffic.draws += end - draws.start;
                draws.start = end;
            }
            self.traffic.draws_held += part.draws.len() as u64;
            self.traffic.bytes_sent += STEP_BYTES + DRAW_BYTES * part.draws.len() as u64;
            parts.push(part);
        }
        Ok(parts)
    }

    /// Returns the sampler of a version, which every host builds for itself.
    fn sampler(&mut self, registry: &Registry, version: u64) -> Result<Arc<ShardedSampler>, Box<dyn Error>> {
        if let Some(sampler) = self.samplers.get(&version) {
            return Ok(Arc::clone(sampler));
        }
        let spec = registry.spec(version);
        let sampler = Arc::new(ShardedSampler::build(spec, self.rows.of_spec(spec).shared())?);
        self.samplers.insert(version, Arc::clone(&sampler));
        Ok(sampler)
    }
}
