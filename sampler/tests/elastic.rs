//! Whatever the world size, and wherever it changes, the ranks' shares together are the global sequence.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;

use proptest::prelude::*;
use swift_sampler::job::{Follow, JobLog, Shard, Steps};
use swift_sampler::{Dataset, FeatureTable, Plan, Replacement, Sampler, SamplerSpec, Seed, VersionSegment};

const ROWS: u32 = 211;
const WORLD_SIZE_MAX: u32 = 18;

fn samplers() -> Vec<Arc<Sampler>> {
    let weights = (0..ROWS).map(|row| f64::from(row % 5 * (row % 3))).collect();
    let table = FeatureTable::new(vec![("w".into(), weights)]).unwrap();
    let dataset = Dataset::new(table, vec!["w".into()], None).unwrap();
    [SamplerSpec::Uniform {}, SamplerSpec::Column { column: "w".into() }]
        .map(|spec| Arc::new(Sampler::build(&spec, &dataset).unwrap()))
        .into()
}

/// A job as any process computes it, from its parameters and its log alone.
struct Job {
    mode: Replacement,
    steps: Steps,
    log: JobLog,
    samplers: Vec<Arc<Sampler>>,
}

impl Job {
    fn plan(&self, draw: u64) -> Plan {
        let plan = |before: Option<Plan>, VersionSegment { version, segment }: VersionSegment| {
            let sampler = Arc::clone(&self.samplers[usize::try_from(version).unwrap()]);
            Some(Plan::new(sampler, Seed(11), self.mode, segment, before.as_ref()).unwrap())
        };
        self.log.segments(draw, self.steps).into_iter().fold(None, plan).unwrap()
    }

    /// The draws of one rank at one step, planned anew: nothing is remembered from step to step.
    fn share(&self, step: u64, shard: Shard) -> Vec<u64> {
        let mut draws = self.steps.draws(step, shard);
        let mut rows = Vec::new();
        while !draws.is_empty() {
            let plan = self.plan(draws.start);
            let end = draws.end.min(plan.segment().end);
            rows.extend((draws.start..end).map(|draw| plan.draw(draw).index));
            draws.start = end;
        }
        rows
    }

    /// The global sequence, draw by draw.
    fn sequence(&self, steps: u64) -> Vec<u64> {
        let mut plan = self.plan(0);
        let mut rows = Vec::new();
        for draw in 0..self.steps.first_draw(steps) {
            if self.log.segment(draw, self.steps).segment != plan.segment() {
                plan = self.plan(draw);
            }
            rows.push(plan.draw(draw).index);
        }
        rows
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn the_shares_of_1_to_18_ranks_are_the_global_sequence_in_every_mode(
        batch_size in 1u32..60,
        epoch_draws in 60..=u64::from(ROWS),
        swaps in prop::collection::vec(1u64..12, 0..4),
        (first_world, second_world) in (1..=WORLD_SIZE_MAX, 1..=WORLD_SIZE_MAX),
        changes_at in 0u64..30,
    ) {
        let steps = Steps { batch_size, epoch_draws };
        let mut log = JobLog::new(0, Follow::Step);
        for (number, run) in (0u64..).zip(swaps) {
            log.extend(log.horizon() + run - 1, 1, number % 2, Follow::Step, steps);
        }
        log.extend(40, 1, 0, Follow::Step, steps);
        for mode in [Replacement::Independent, Replacement::Stratified, Replacement::Distinct] {
            mode.check(steps, u64::from(ROWS)).unwrap();
            let job = Job { mode, steps, log: log.clone(), samplers: samplers() };
            let mut together = Vec::new();
            for step in 0..30 {
                // A rank of the first world does not know that it will be another of the second.
                let world_size = if step < changes_at { first_world } else { second_world };
                for rank in 0..world_size {
                    together.extend(job.share(step, Shard::new(rank, world_size).unwrap()));
                }
            }
            prop_assert_eq!(together, job.sequence(30), "{:?}", mode);
        }
    }
}

#[test]
fn every_world_size_gives_one_sequence_and_its_hash_is_frozen() {
    let steps = Steps { batch_size: 37, epoch_draws: 150 };
    let mut log = JobLog::new(0, Follow::Step);
    log.extend(1, 1, 0, Follow::Step, steps);
    log.extend(20, 1, 1, Follow::Step, steps);
    let hashes = [Replacement::Independent, Replacement::Stratified, Replacement::Distinct].map(|mode| {
        let job = Job { mode, steps, log: log.clone(), samplers: samplers() };
        let sequence = job.sequence(20);
        for world_size in 1..=WORLD_SIZE_MAX {
            let shares = (0..20).flat_map(|step| {
                let job = &job;
                (0..world_size).flat_map(move |rank| job.share(step, Shard::new(rank, world_size).unwrap()))
            });
            assert_eq!(shares.collect::<Vec<_>>(), sequence, "{mode:?} at world size {world_size}");
        }
        sequence.iter().fold(0xcbf2_9ce4_8422_2325u64, |hash, row| (hash ^ row).wrapping_mul(0x0100_0000_01b3))
    });
    assert_eq!(hashes, [0x20dc_7302_21a9_c7ce, 0xba70_7b1c_fe34_c8a6, 0x50be_3ccb_680c_cb10], "{hashes:#018x?}");
}
