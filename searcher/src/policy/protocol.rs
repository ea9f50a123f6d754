//! How a study's trials are run, so that they can be compared and cost little.

use serde::{Deserialize, Serialize};
use swift_sampler::{Replacement, SamplerSpec};

use super::TrialRecord;
use crate::target::Start;

/// The column of the dataset that is 1 where a label is right and 0 where it is wrong; datasets of studies that ask for
/// [`Protocol::exact_labels`] have it.
pub const LABEL_IS_RIGHT: &str = "label_is_right";

/// Returns the sampler that knows which labels are wrong.
#[must_use]
pub fn exact_labels() -> SamplerSpec {
    SamplerSpec::Column { column: LABEL_IS_RIGHT.to_owned() }
}

/// How a study's trials are run. The default is that of studies that were stored before there was a choice: independent
/// draws, a seed a trial, nothing stopped early, finalists tried again as they were in the search.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Protocol {
    /// How the draws of an epoch of a short trial relate to each other. A retraining's are independent.
    pub draws: Replacement,
    /// All trials of the search but the replicates of the uniform sampler train under one seed: what chance gives or takes,
    /// it gives or takes of all.
    pub common_seed: bool,
    /// When a hopeless trial is ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stopping: Option<Stopping>,
    /// How finalists are tried again; absent: like a trial of the search.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub confirmation: Option<Confirmation>,
    /// The uniform sampler is tried again beside the finalists, under their fresh seeds.
    pub paired_uniform: bool,
    /// Samplers that an earlier study found.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub warm_start: Option<WarmStart>,
    /// Networks are also retrained under the sampler that knows which labels are right: what a perfect sampler would reach.
    pub exact_labels: bool,
    /// Samplers of the search, from the worst to the best, that networks are also retrained under, once each: whether short
    /// trials rank samplers as training from scratch does.
    pub rank_check: usize,
}

/// How finalists are tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Confirmation {
    /// Epochs.
    pub epochs: u32,
    /// Weights to start from.
    pub start: Start,
}

/// What an earlier study found, to begin with.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WarmStart {
    /// The earlier study.
    pub study: String,
    /// Its best samplers, best first; they are tried before the initial design.
    pub samplers: Vec<SamplerSpec>,
}

/// The rule by which a hopeless trial is ended: after an epoch but its last, if its accuracy is more than
/// `margin` below the one that a share `keep` of the finished trials had there.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stopping {
    /// Trials of the search that must have finished an epoch before others are measured by it.
    pub after_trials: usize,
    /// Where the bar stands among the finished trials, from the best: 0.5 is their median.
    pub keep: f64,
    /// Accuracy, as a share, that a trial may be below that.
    pub margin: f64,
}

impl Stopping {
    /// The rule of `--stop-early`: below the median of at least 8 trials by more than a point. With half a point it would have
    /// ended, after its first epoch, one of the five best of ten samplers on Fashion-MNIST with 40% wrong labels.
    pub const DEFAULT: Self = Self { after_trials: 8, keep: 0.5, margin: 0.01 };

    /// Returns the least accuracies of a trial of `epochs` epochs after each but the last, as far as the trials so far
    /// can tell.
    ///
    /// Stopped trials count at the epochs they finished, so that the bar does not rise because the weak are missing.
    pub(super) fn stop_below(&self, records: &[TrialRecord], epochs: u32) -> Vec<f64> {
        let mut least = Vec::new();
        for epoch in 0..epochs.saturating_sub(1) as usize {
            let mut finished: Vec<f64> = records
                .iter()
                .filter(|record| record.parameters.purpose.is_search() && record.objective().is_some())
                .filter_map(|record| record.accuracies.get(epoch).copied())
                .collect();
            if finished.len() < self.after_trials {
                break;
            }
            finished.sort_by(|a, b| b.total_cmp(a));
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of a length")]
            let rank = ((finished.len() as f64 * self.keep) as usize).min(finished.len() - 1);
            least.push(finished[rank] - self.margin);
        }
        least
    }
}
