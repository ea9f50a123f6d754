//! The plans of distinct segments, which take long to make.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use crate::plan::{Plan, PlanError};
use crate::segment::VersionSegment;

/// Plans held at once: a batch at the end of an epoch needs those of two.
const PLANS_MAX: usize = 2;

/// The plans that one job's draws came from last. Its log says what a segment follows, so a segment names its plan.
#[derive(Debug, Default)]
pub(super) struct Plans {
    /// The latest last.
    held: Mutex<VecDeque<Arc<Plan>>>,
}

impl Plans {
    /// Returns the plan of the last of an epoch's segments; `make` plans a segment, given the plan of the one before
    /// it. Others who want a plan meanwhile wait.
    pub(super) fn last_of(
        &self,
        segments: &[VersionSegment],
        make: impl Fn(&VersionSegment, Option<&Plan>) -> Result<Arc<Plan>, PlanError>,
    ) -> Result<Arc<Plan>, PlanError> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        // What is held need not be planned again, nor what comes before it.
        let known = segments.iter().enumerate().rev().find_map(|(number, segment)| {
            let position = held.iter().position(|plan| plan.segment() == segment.segment)?;
            Some((number, held.remove(position).expect("it was just found")))
        });
        let (first, mut plan) = known.map_or((0, None), |(number, plan)| (number + 1, Some(plan)));
        for segment in &segments[first..] {
            plan = Some(make(segment, plan.as_deref())?);
        }
        let plan = plan.expect("an epoch has a segment");
        held.push_back(Arc::clone(&plan));
        if held.len() > PLANS_MAX {
            held.pop_front();
        }
        Ok(plan)
    }
}
