//! How long a study will still take.

use std::time::Duration;

use crate::policy::{Plan, Purpose};
use crate::study::{StoredTrial, TrainingConfig};

/// What is known beforehand of how a study goes.
#[derive(Debug, Clone, PartialEq)]
pub struct Course {
    /// What is searched, and how long.
    pub plan: Plan,
    /// How trials are trained.
    pub training: TrainingConfig,
    /// Trials at once.
    pub jobs: usize,
    /// Attempts of a trial, at most.
    pub attempts_max: u32,
}

impl Course {
    /// Returns how many trials there will be: those planned, or those there are if that is more.
    #[must_use]
    pub fn total(&self, trials: &[StoredTrial]) -> u64 {
        (self.planned().iter().map(|(_, count)| count).sum::<usize>().max(trials.len())) as u64
    }

    /// Returns how long the rest will take; `None` before the first trial has ended, and when nothing is left.
    ///
    /// Every epoch still to come counts as long as those so far did on average, and as many trials run at once as may.
    /// Of short trials as many epochs are expected as they had on average, since some are stopped early.
    #[must_use]
    pub fn left(&self, trials: &[StoredTrial]) -> Option<Duration> {
        let ended: Vec<&StoredTrial> = trials.iter().filter(|trial| trial.is_over()).collect();
        let seconds: f64 = ended.iter().map(|trial| trial.report.seconds).sum();
        let epochs: f64 = ended.iter().map(|trial| self.epochs(trial)).sum();
        if seconds <= 0.0 || epochs <= 0.0 {
            return None;
        }
        let mut epochs_left = 0.0;
        for (short, count) in self.planned() {
            let alike = |trial: &&StoredTrial| is_short(trial) == short;
            let done: Vec<&&StoredTrial> = ended.iter().filter(|trial| alike(trial)).collect();
            let an_epoch_count = if done.is_empty() {
                f64::from(if short { self.training.epochs } else { self.training.retrain_epochs })
            } else {
                done.iter().map(|trial| self.epochs(trial)).sum::<f64>() / done.len() as f64
            };
            epochs_left += count.saturating_sub(done.len()) as f64 * an_epoch_count;
        }
        let under_way = trials.iter().filter(|trial| !trial.is_over());
        let had: f64 = under_way.map(|trial| trial.report.epochs.len() as f64).sum();
        let at_once = self.jobs.max(1) as f64;
        let left = epochs_left - had;
        (left > 0.0).then(|| Duration::from_secs_f64(left * seconds / epochs / at_once))
    }

    /// How many short trials and how many retrainings there will be.
    fn planned(&self) -> [(bool, usize); 2] {
        let plan = &self.plan;
        let retrainings = plan.retrained_samplers() * plan.retrain_seeds + plan.protocol.rank_check;
        [(true, plan.trials_in_all() - retrainings), (false, retrainings)]
    }

    /// Epochs an ended trial had; a program that reports none had those it was to have.
    fn epochs(&self, trial: &StoredTrial) -> f64 {
        match trial.report.epochs.len() {
            0 => f64::from(self.training.run(&trial.record.parameters).epochs),
            epochs => epochs as f64,
        }
    }
}

fn is_short(trial: &StoredTrial) -> bool {
    trial.record.parameters.purpose != Purpose::Retrain
}
