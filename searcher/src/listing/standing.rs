//! How a study stands: the uniform sampler, the best so far, the winner and whether it is good enough to be published.

use serde::Serialize;

use super::Listing;
use crate::policy::{self, Purpose, TrialRecord, Verdict, verdict};
use crate::report::Summary;

/// How a study stands. Accuracies are shares.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Standing {
    /// The uniform sampler's short trials; `None` before the first has ended.
    pub(super) uniform: Option<Summary>,
    /// The best search trial so far, by its own objective.
    pub(super) best: Option<Best>,
    /// The sampler the study recommends, once its confirmations have ended.
    pub(super) winner: Option<Confirmed>,
}

/// A trial and its objective.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Best {
    pub(super) trial: u64,
    pub(super) objective: f64,
}

/// The winner and what is to be done with it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Confirmed {
    pub(super) trial: u64,
    /// Mean objective under fresh seeds.
    pub(super) objective: f64,
    pub(super) verdict: Verdict,
}

impl Listing {
    pub(super) fn standing(&self) -> Standing {
        let records = self.records();
        let baselines = records.iter().filter(|record| record.parameters.purpose == Purpose::Baseline);
        // A study in which nothing succeeded has no winner either.
        let winner = policy::standing(&self.config.plan, &records).ok().and_then(|standing| standing.winner);
        Standing {
            uniform: Summary::of(baselines.filter_map(TrialRecord::objective).collect()),
            best: self.best_so_far().last().map(|&trial| Best {
                trial,
                objective: find(&records, trial).and_then(TrialRecord::objective).expect("the best has an objective"),
            }),
            winner: winner.map(|winner| Confirmed {
                trial: winner.trial,
                objective: winner.objective,
                verdict: verdict(&records, winner.trial),
            }),
        }
    }
}

fn find(records: &[TrialRecord], number: u64) -> Option<&TrialRecord> {
    records.iter().find(|record| record.number == number)
}
