//! Segments: the runs of draws that a replacement mode plans at once.

use crate::job::{JobLog, Steps};

/// The draws of one epoch that follow one sampler version, planned up to the end of the epoch. A swap inside the epoch
/// ends the segment early and starts another, which plans the rest anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Segment {
    /// First draw of the epoch.
    pub epoch_start: u64,
    /// First draw of the segment.
    pub start: u64,
    /// End of the epoch.
    pub end: u64,
}

impl Segment {
    /// Returns the segment that is the whole epoch of `draw`, as it is without a swap.
    #[must_use]
    pub fn whole_epoch(draw: u64, steps: Steps) -> Self {
        let start = draw - draw % steps.epoch_draws;
        Self { epoch_start: start, start, end: start.saturating_add(steps.epoch_draws) }
    }

    /// Returns the number of draws planned, of which a swap may leave some undrawn.
    #[must_use]
    pub fn draws(self) -> u64 {
        self.end - self.start
    }
}

/// A segment with the sampler version that its draws follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct VersionSegment {
    /// The version.
    pub version: u64,
    /// The segment.
    pub segment: Segment,
}

impl JobLog {
    /// Returns the segment that `draw` lies in, as [`Self::segments`] does, in O(log changes).
    #[must_use]
    pub fn segment(&self, draw: u64, steps: Steps) -> VersionSegment {
        let epoch = Segment::whole_epoch(draw, steps);
        let last = self.changes()[self.changes_until(draw, steps) - 1];
        let start = steps.first_draw(last.from_step).max(epoch.start);
        VersionSegment { version: last.version, segment: Segment { start, ..epoch } }
    }

    /// Returns the segments of the epoch that `draw` lies in, from the epoch's first to the one that `draw` lies in.
    ///
    /// A change at step k takes effect at draw k·B, where batch k starts. The last batch of an epoch may run into the
    /// next epoch: its draws then lie in two segments, which follow the same version.
    ///
    /// What is returned is final where the step of `draw` is frozen.
    #[must_use]
    pub fn segments(&self, draw: u64, steps: Steps) -> Vec<VersionSegment> {
        let epoch = Segment::whole_epoch(draw, steps);
        let changes = self.changes();
        let (from, until) = (self.changes_until(epoch.start, steps), self.changes_until(draw, steps));
        let mut segments = vec![VersionSegment { version: changes[from - 1].version, segment: epoch }];
        segments.extend(changes[from..until].iter().map(|change| VersionSegment {
            version: change.version,
            segment: Segment { start: steps.first_draw(change.from_step), ..epoch },
        }));
        segments
    }

    /// Returns how many changes took effect up to `draw`, at least one.
    fn changes_until(&self, draw: u64, steps: Steps) -> usize {
        self.changes().partition_point(|change| steps.first_draw(change.from_step) <= draw)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::Follow;
    use proptest::prelude::*;

    proptest! {
        /// Whatever swaps a job saw, every draw lies in one segment, of its own epoch and of its step's version.
        #[test]
        fn segments_partition_the_draws_and_follow_the_log(
            batch_size in 1u32..40,
            epoch_draws in 1u64..120,
            runs in prop::collection::vec(1u64..30, 1..10),
        ) {
            let steps = Steps { batch_size, epoch_draws };
            let mut log = JobLog::new(1, Follow::Step);
            for (version, run) in (1..).zip(runs) {
                log.extend(log.horizon() + run - 1, 1, version, Follow::Step, steps);
            }
            let mut starts = std::collections::BTreeSet::new();
            for draw in 0..log.horizon() * u64::from(batch_size) {
                let step = draw / u64::from(batch_size);
                let segments = log.segments(draw, steps);
                let (epoch_start, last) = (draw - draw % epoch_draws, segments[segments.len() - 1]);
                prop_assert_eq!(log.segment(draw, steps), last);
                prop_assert_eq!(segments[0].segment.start, epoch_start);
                prop_assert!(segments.windows(2).all(|pair| pair[0].segment.start < pair[1].segment.start));
                for VersionSegment { segment, .. } in &segments {
                    prop_assert_eq!((segment.epoch_start, segment.end), (epoch_start, epoch_start + epoch_draws));
                }
                prop_assert!(last.segment.start <= draw && draw < last.segment.end);
                prop_assert_eq!(Some(last.version), log.version_at(step));
                starts.insert(last.segment.start);
            }
            // A segment starts at an epoch or where the version changes, nowhere else.
            for start in starts {
                let changes = log.changes().iter().any(|change| change.from_step * u64::from(batch_size) == start);
                prop_assert!(start % epoch_draws == 0 || changes);
            }
        }
    }

    #[test]
    fn the_last_draws_that_can_be_numbered_have_a_segment() {
        let steps = Steps { batch_size: 7, epoch_draws: 1 << 32 };
        let log = JobLog::new(1, Follow::Pinned(1));
        let segment = log.segments(u64::MAX - 1, steps)[0].segment;
        assert_eq!(segment.end, u64::MAX);
        assert!(segment.draws() <= 1 << 32);
    }
}
