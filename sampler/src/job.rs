//! What a job is: how its draws fall into steps, ranks and epochs, and which sampler version is in force when.

use std::ops::Range;

use serde::{Deserialize, Serialize};

/// A rank of a world size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shard {
    rank: u32,
    world_size: u32,
}

/// A rank that its world does not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("rank {rank} of world size {world_size}: ranks go from 0 to one below the world size")]
pub struct ShardError {
    /// The rank.
    pub rank: u32,
    /// The world size.
    pub world_size: u32,
}

impl Shard {
    /// The only rank of a world of one.
    pub const WHOLE: Self = Self { rank: 0, world_size: 1 };

    /// Checks and names a rank.
    ///
    /// # Errors
    /// [`ShardError`] unless `rank < world_size`.
    pub fn new(rank: u32, world_size: u32) -> Result<Self, ShardError> {
        if rank < world_size { Ok(Self { rank, world_size }) } else { Err(ShardError { rank, world_size }) }
    }

    /// Returns the rank's share of a global batch: the rank-th of `world_size` contiguous slices, whose sizes differ by
    /// at most one and which together are the batch.
    #[must_use]
    pub fn slice(self, batch_size: u32) -> Range<u32> {
        #[allow(clippy::cast_possible_truncation, reason = "an edge is at most the batch size")]
        let edge = |rank: u32| (u64::from(batch_size) * u64::from(rank) / u64::from(self.world_size)) as u32;
        edge(self.rank)..edge(self.rank + 1)
    }
}

/// The arithmetic of steps, draws and epochs: global batch `step` covers draws `[step · B, (step + 1) · B)`, and epoch
/// `e` covers draws `[e · E, (e + 1) · E)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Steps {
    /// B, the global batch size; positive.
    pub batch_size: u32,
    /// E, the draws of an epoch; positive. By default as many as there are examples.
    pub epoch_draws: u64,
}

impl Steps {
    /// Returns the first draw of a step.
    #[must_use]
    pub fn first_draw(self, step: u64) -> u64 {
        step.saturating_mul(u64::from(self.batch_size))
    }

    /// Returns the draws of one rank at `step`.
    #[must_use]
    pub fn draws(self, step: u64, shard: Shard) -> Range<u64> {
        let first = self.first_draw(step);
        let slice = shard.slice(self.batch_size);
        first.saturating_add(u64::from(slice.start))..first.saturating_add(u64::from(slice.end))
    }

    /// Returns the epoch of a step: that of its first draw.
    #[must_use]
    pub fn epoch(self, step: u64) -> u64 {
        let draw = u128::from(step) * u128::from(self.batch_size);
        u64::try_from(draw / u128::from(self.epoch_draws)).unwrap_or(u64::MAX)
    }

    /// Returns the first step of an epoch.
    #[must_use]
    pub fn first_step(self, epoch: u64) -> u64 {
        let draw = u128::from(epoch) * u128::from(self.epoch_draws);
        u64::try_from(draw.div_ceil(u128::from(self.batch_size))).unwrap_or(u64::MAX)
    }
}

/// When a job takes up a newly activated sampler version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Follow {
    /// At its horizon.
    Step,
    /// At the first epoch that starts at or above its horizon.
    Epoch,
    /// Never: this version throughout.
    Pinned(u64),
}

/// From this step on, draws follow this sampler version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct VersionChange {
    /// First step.
    pub from_step: u64,
    /// Sampler version.
    pub version: u64,
}

/// Which sampler version is in force at every step below a horizon; those steps are frozen.
///
/// The log only grows, and only at its horizon, so whatever was computed from it stays true.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobLog {
    changes: Vec<VersionChange>,
    horizon: u64,
}

impl JobLog {
    /// Starts a log at step 0 with nothing frozen, or, for a pinned job, everything.
    #[must_use]
    pub fn new(version: u64, follow: Follow) -> Self {
        let (version, horizon) = match follow {
            Follow::Pinned(pinned) => (pinned, u64::MAX),
            Follow::Step | Follow::Epoch => (version, 0),
        };
        Self { changes: vec![VersionChange { from_step: 0, version }], horizon }
    }

    /// Restores a log, or returns `None` where the changes do not start at step 0 or do not ascend.
    #[must_use]
    pub fn from_changes(changes: Vec<VersionChange>, horizon: u64) -> Option<Self> {
        let starts = changes.first().is_some_and(|first| first.from_step == 0);
        let ascends = changes.windows(2).all(|pair| pair[0].from_step < pair[1].from_step);
        (starts && ascends).then_some(Self { changes, horizon })
    }

    /// Returns the changes, ascending in step; the first is at step 0.
    #[must_use]
    pub fn changes(&self) -> &[VersionChange] {
        &self.changes
    }

    /// Returns the horizon: the first step that is not frozen.
    #[must_use]
    pub fn horizon(&self) -> u64 {
        self.horizon
    }

    /// Returns the version in force at `step`, or `None` where that is not decided yet.
    #[must_use]
    pub fn version_at(&self, step: u64) -> Option<u64> {
        if step >= self.horizon {
            return None;
        }
        let after = self.changes.partition_point(|change| change.from_step <= step);
        Some(self.changes[after - 1].version)
    }

    /// Returns the end of the run of steps, starting at `step` and below the horizon, that follow one version.
    #[must_use]
    pub fn run_end(&self, step: u64) -> u64 {
        let after = self.changes.partition_point(|change| change.from_step <= step);
        self.changes.get(after).map_or(self.horizon, |change| change.from_step.min(self.horizon))
    }

    /// Freezes steps up to and including `step`, and the rest of a lease of `lease` steps after it. Newly frozen steps
    /// follow `active`; under [`Follow::Epoch`] they do so from the next epoch's start, and no lease reaches beyond the
    /// epoch of `step`, so that the next one is decided when it comes. Does nothing where `step` is frozen already.
    pub fn extend(&mut self, step: u64, lease: u64, active: u64, follow: Follow, steps: Steps) {
        if step < self.horizon {
            return;
        }
        let leased = step.saturating_add(lease.max(1));
        let next_epoch = |step: u64| steps.first_step(steps.epoch(step) + 1);
        match follow {
            Follow::Pinned(_) => self.horizon = leased,
            Follow::Step => {
                self.change(self.horizon, active);
                self.horizon = leased;
            }
            Follow::Epoch => {
                let inside_epoch = self.horizon != steps.first_step(steps.epoch(self.horizon));
                let start = if inside_epoch { next_epoch(self.horizon) } else { self.horizon };
                if start <= step {
                    self.change(start, active);
                }
                self.horizon = leased.min(next_epoch(step));
            }
        }
    }

    /// Decides all steps, where no daemon does: those from `step` on follow `version`, those before it what they follow
    /// or, above the horizon, the last version. Returns the earliest step at which this can be where `step` is before it.
    pub(crate) fn decide(&mut self, step: u64, version: u64) -> Result<(), u64> {
        let last = self.changes.last().expect("a log starts with a change at step 0").from_step;
        let earliest = if self.horizon < u64::MAX { self.horizon } else { last };
        if step < earliest {
            return Err(earliest);
        }
        self.change(step, version);
        self.horizon = u64::MAX;
        Ok(())
    }

    fn change(&mut self, from_step: u64, version: u64) {
        let last = self.changes.last_mut().expect("a log starts with a change at step 0");
        if last.version == version {
            return;
        }
        if last.from_step == from_step {
            // Nothing was drawn from it: only step 0 of a job that has not begun.
            last.version = version;
        } else {
            self.changes.push(VersionChange { from_step, version });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn ranks_partition_every_batch(batch_size in 1u32..2000, world_size in 1u32..40, step in 0u64..1_000_000) {
            let steps = Steps { batch_size, epoch_draws: 1000 };
            let mut next = step * u64::from(batch_size);
            for rank in 0..world_size {
                let shard = Shard::new(rank, world_size).unwrap();
                let draws = steps.draws(step, shard);
                prop_assert_eq!(draws.start, next);
                let fair = u64::from(batch_size) / u64::from(world_size);
                prop_assert!((fair..=fair + 1).contains(&(draws.end - draws.start)));
                next = draws.end;
            }
            prop_assert_eq!(next, (step + 1) * u64::from(batch_size));
        }

        #[test]
        fn epochs_partition_the_steps(batch_size in 1u32..300, epoch_draws in 1u64..1000, step in 0u64..10_000) {
            let steps = Steps { batch_size, epoch_draws };
            let epoch = steps.epoch(step);
            prop_assert!(steps.first_step(epoch) <= step && step < steps.first_step(epoch + 1));
        }

        /// Steps are asked for in any order while versions are activated: what was answered never changes, a step's
        /// version was active when it was frozen, and epoch jobs change at epoch starts only.
        #[test]
        fn frozen_steps_keep_their_version(
            events in prop::collection::vec((any::<bool>(), 0u64..40), 1..60),
            batch_size in 1u32..50,
            epoch_draws in 1u64..400,
            lease in 1u64..20,
            by_epoch: bool,
        ) {
            let steps = Steps { batch_size, epoch_draws };
            let follow = if by_epoch { Follow::Epoch } else { Follow::Step };
            let mut active = 1;
            let mut log = JobLog::new(active, follow);
            let mut answered = std::collections::BTreeMap::new();
            for (activates, ahead) in events {
                if activates {
                    active += 1;
                    continue;
                }
                let (before, step) = (log.horizon(), log.horizon().saturating_sub(20) + ahead);
                log.extend(step, lease, active, follow, steps);
                let version = log.version_at(step).expect("the step is frozen now");
                prop_assert_eq!(*answered.entry(step).or_insert(version), version);
                if step >= before && !by_epoch {
                    prop_assert_eq!(version, active);
                }
                prop_assert!(log.horizon() >= before && log.horizon() <= before.max(step + lease));
                for (&step, &version) in &answered {
                    prop_assert_eq!(log.version_at(step), Some(version));
                }
                let run_end = log.run_end(step);
                prop_assert!(run_end > step && run_end <= log.horizon());
                prop_assert_eq!(log.version_at(run_end - 1), Some(version));
            }
            prop_assert!(log.changes().windows(2).all(|pair| pair[0].from_step < pair[1].from_step));
            prop_assert!(log.changes().windows(2).all(|pair| pair[0].version < pair[1].version));
            if by_epoch {
                for change in log.changes() {
                    prop_assert_eq!(change.from_step, steps.first_step(steps.epoch(change.from_step)));
                }
            }
        }
    }

    #[test]
    fn a_pinned_job_is_frozen_throughout() {
        let mut log = JobLog::new(3, Follow::Pinned(2));
        log.extend(1 << 40, 64, 9, Follow::Pinned(2), Steps { batch_size: 8, epoch_draws: 80 });
        assert_eq!(log.version_at(1 << 41), Some(2));
        assert_eq!(log.changes().len(), 1);
    }

    #[test]
    fn a_rank_beyond_its_world_is_refused() {
        assert_eq!(Shard::new(3, 3), Err(ShardError { rank: 3, world_size: 3 }));
        assert!(Shard::new(0, 0).is_err());
    }
}
