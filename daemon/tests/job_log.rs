//! Whatever the order of requests and activations, every step has one version, for ever and for every rank.

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;
use swift_sampler::Replacement;
use swift_sampler::job::{Follow, Steps};
use swift_sampler_daemon::registry::{
    FIRST_REVISION, JobParameters, JobRecord, LEASE_STEPS, NewDataset, OriginRecord, Registry, SamplerFigures,
};

use crate::harness::{ManualClock, new_dataset, registry};

const ROWS: u64 = 1000;
const BATCH_SIZE: u32 = 30;
const STEPS: Steps = Steps { batch_size: BATCH_SIZE, epoch_draws: ROWS };

#[derive(Debug, Clone)]
enum Event {
    /// A rank asks for a step so far beyond the last it asked for.
    Request {
        rank: usize,
        ahead: u64,
    },
    Activate {
        version: u64,
    },
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        3 => (0..2usize, 0..90u64).prop_map(|(rank, ahead)| Event::Request { rank, ahead }),
        1 => (1..4u64).prop_map(|version| Event::Activate { version }),
    ]
}

fn registry_with_dataset(directory: &std::path::Path) -> Registry {
    let registry = registry(directory, ManualClock::at(1));
    let (dataset, _) = registry.create_dataset(&NewDataset { rows: ROWS, ..new_dataset("d", "0") }).unwrap();
    for _ in 0..2 {
        registry
            .put_sampler(&dataset, FIRST_REVISION, "{}", &OriginRecord::default(), SamplerFigures::default())
            .unwrap();
    }
    registry
}

fn parameters(follow: Follow) -> JobParameters {
    JobParameters {
        name: "j".into(),
        dataset: "d".into(),
        seed: 1,
        batch_size: BATCH_SIZE,
        epoch_draws: None,
        mode: Replacement::Independent,
        follow,
    }
}

/// The versions of all frozen steps, as a table: the model that the log is compared with.
#[derive(Debug, Default)]
struct Model(Vec<u64>);

impl Model {
    fn request(&mut self, step: u64, active: u64, follow: Follow) {
        while (self.0.len() as u64) <= step {
            let next = self.0.len() as u64;
            let in_epoch = STEPS.epoch(next);
            let same_epoch = next > 0 && STEPS.epoch(next - 1) == in_epoch;
            match follow {
                Follow::Epoch if same_epoch => self.0.push(*self.0.last().unwrap()),
                _ => self.0.push(active),
            }
        }
    }
}

/// Every version of a frozen step, by the log.
fn frozen(job: &JobRecord, up_to: u64) -> Vec<u64> {
    (0..up_to).map(|step| job.log.version_at(step).expect("steps below the horizon are frozen")).collect()
}

fn check(follow: Follow, events: &[Event]) -> Result<(), TestCaseError> {
    let directory = tempfile::tempdir().unwrap();
    let registry = registry_with_dataset(directory.path());
    registry.open_job(&parameters(follow)).unwrap();
    let (mut next, mut active, mut model) = ([0u64; 2], 1, Model::default());
    let mut before: Vec<u64> = Vec::new();
    for event in events {
        match event {
            Event::Activate { version } => {
                registry.activate("d", *version).unwrap();
                active = *version;
            }
            Event::Request { rank, ahead } => {
                let step = next[*rank] + ahead;
                next[*rank] = step + 1;
                let job = registry.freeze("j", step..=step, LEASE_STEPS, false).unwrap().job;
                let horizon = job.log.horizon();
                prop_assert!(horizon > step, "a step that was asked for is frozen");
                if let Follow::Pinned(version) = follow {
                    prop_assert_eq!(job.log.version_at(step), Some(version));
                    continue;
                }
                prop_assert!(horizon >= before.len() as u64, "a horizon never moves back");
                prop_assert!(horizon <= (before.len() as u64).max(step + LEASE_STEPS), "at most a lease beyond it");
                model.request(horizon - 1, active, follow);
                let now = frozen(&job, horizon);
                prop_assert_eq!(&now[..before.len()], &before[..], "what was frozen stays");
                prop_assert_eq!(&now, &model.0);
                before = now;
                if follow == Follow::Epoch {
                    for change in &job.log.changes()[1..] {
                        let epoch = STEPS.epoch(change.from_step);
                        prop_assert_eq!(
                            STEPS.first_step(epoch),
                            change.from_step,
                            "changes only where an epoch starts"
                        );
                    }
                }
            }
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn a_job_that_follows_steps_agrees_with_the_model(events in prop::collection::vec(event(), 1..25)) {
        check(Follow::Step, &events)?;
    }

    #[test]
    fn a_job_that_follows_epochs_agrees_with_the_model(events in prop::collection::vec(event(), 1..25)) {
        check(Follow::Epoch, &events)?;
    }

    #[test]
    fn a_pinned_job_never_changes(events in prop::collection::vec(event(), 1..15)) {
        check(Follow::Pinned(2), &events)?;
    }
}

#[test]
fn ranks_that_race_with_activations_agree_on_every_step() {
    let directory = tempfile::tempdir().unwrap();
    let registry = Arc::new(registry_with_dataset(directory.path()));
    registry.open_job(&parameters(Follow::Step)).unwrap();
    let ranks: Vec<_> = (0..3)
        .map(|_| {
            let registry = Arc::clone(&registry);
            std::thread::spawn(move || {
                let read = |step| {
                    registry.freeze("j", step..=step, LEASE_STEPS, false).unwrap().job.log.version_at(step).unwrap()
                };
                (0..2000).map(|step| (step, read(step))).collect::<BTreeMap<u64, u64>>()
            })
        })
        .collect();
    for activation in 0..60u64 {
        registry.activate("d", 1 + activation % 3).unwrap();
    }
    let seen: Vec<_> = ranks.into_iter().map(|rank| rank.join().unwrap()).collect();
    assert_eq!(seen[0], seen[1]);
    assert_eq!(seen[0], seen[2]);
}
