//! The plans that a job's draws come from.

use std::ops::Range;
use std::sync::Arc;

use swift_sampler::{Plan, Replacement, Sampler, Seed, Segment};

use crate::daemon::Daemon;
use crate::error::Error;
use crate::loaded::{LoadError, SegmentSpec};
use crate::registry::JobRecord;

/// Hands out the plans of a job's segments, in order, and keeps the present one.
#[derive(Debug, Clone)]
pub(super) struct Plans {
    daemon: Arc<Daemon>,
    present: Option<Arc<Plan>>,
}

impl Plans {
    pub(super) fn new(daemon: Arc<Daemon>) -> Self {
        Self { daemon, present: None }
    }

    /// Returns the plan of the segment that `draw`, of a frozen step, lies in. `sampler` is that of its version. May block
    /// in mode [`Replacement::Distinct`], where the segment is another than the last one's.
    pub(super) fn plan(&mut self, job: &JobRecord, draw: u64, sampler: &Arc<Sampler>) -> Result<Arc<Plan>, Error> {
        let segment = job.log.segment(draw, job.steps()).segment;
        if !self.is_present(segment) {
            self.present = Some(match job.mode {
                Replacement::Independent | Replacement::Stratified => {
                    let plan = Plan::new(Arc::clone(sampler), Seed(job.seed), job.mode, segment, None);
                    Arc::new(plan.map_err(LoadError::from)?)
                }
                Replacement::Distinct => distinct(&self.daemon, job, draw)?,
            });
        }
        Ok(Arc::clone(self.present.as_ref().expect("it was just made")))
    }

    /// Tells whether all of `draws`, of frozen steps, come from the present plan.
    pub(super) fn cover(&self, job: &JobRecord, draws: Range<u64>) -> bool {
        [draws.start, draws.end - 1].iter().all(|&draw| self.is_present(job.log.segment(draw, job.steps()).segment))
    }

    /// Tells whether the segment's plan is the present one. A job's log says which version a segment follows.
    fn is_present(&self, segment: Segment) -> bool {
        self.present.as_ref().is_some_and(|plan| plan.segment() == segment)
    }
}

/// Loads the samplers of an epoch's segments, and plans up to the one that `draw` lies in. Blocks.
fn distinct(daemon: &Daemon, job: &JobRecord, draw: u64) -> Result<Arc<Plan>, Error> {
    let segments = job.log.segments(draw, job.steps()).into_iter().map(|in_force| {
        let sampler = daemon.registry.sampler(&job.dataset, in_force.version)?;
        let hash = sampler.content(&job.dataset_hash).to_owned();
        Ok::<_, Error>(SegmentSpec { segment: in_force.segment, hash, spec_json: sampler.spec_json })
    });
    let segments = segments.collect::<Result<Vec<_>, _>>()?;
    Ok(daemon.loaded.distinct_plan(Seed(job.seed), &segments)?)
}
