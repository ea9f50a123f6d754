//! What became of a trial, in a line.

use swift_sampler::SamplerSpec;

use super::Course;
use crate::policy::{LABEL_IS_RIGHT, Purpose};
use crate::study::StoredTrial;
use crate::target::Metric;

/// The best search trial so far.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Best {
    /// Its number.
    pub trial: u64,
    /// Its objective, a share.
    pub objective: f64,
}

impl Best {
    /// Replaces `best` by a trial that is better.
    pub(super) fn note(best: &mut Option<Self>, trial: &StoredTrial) {
        if let Some(objective) = trial.record.objective()
            && trial.record.parameters.purpose.is_search()
            && best.is_none_or(|best| objective > best.objective)
        {
            *best = Some(Self { trial: trial.record.number, objective });
        }
    }

    pub(super) fn text(&self, metric: Metric) -> String {
        format!("{} (trial {})", metric.show(self.objective), self.trial)
    }
}

/// How a trial ended.
pub(super) fn ended(course: &Course, trial: &StoredTrial, metric: Metric) -> String {
    let outcome = match trial.record.objective() {
        Some(objective) => metric.show(objective),
        None => format!("{}: {}", trial.state_name(), one_line(&trial.reason)),
    };
    let test = trial.report.test_accuracy.map(|test| format!(", test {}", metric.show(test))).unwrap_or_default();
    let stopped = if trial.report.stopped {
        let planned = course.training.run(&trial.record.parameters).epochs;
        format!(", stopped after {} of {planned} epochs", trial.report.epochs.len())
    } else {
        String::new()
    };
    format!("trial {} {}: {outcome}{test}{stopped} in {:.1} s", trial.record.number, role(trial), trial.report.seconds)
}

/// That attempt `lost` of a trial came to nothing.
pub(super) fn lost(course: &Course, trial: &StoredTrial, lost: u32, reason: &str) -> String {
    let reason = if reason.is_empty() { String::new() } else { format!(": {}", one_line(reason)) };
    format!("trial {} {}: attempt {lost} of {} failed{reason}", trial.record.number, role(trial), course.attempts_max)
}

fn role(trial: &StoredTrial) -> String {
    let parameters = &trial.record.parameters;
    let under = match (parameters.repeats, &parameters.sampler) {
        (Some(repeats), _) => format!("trial {repeats}"),
        (None, SamplerSpec::Column { column }) if column == LABEL_IS_RIGHT => "exact labels".to_owned(),
        (None, SamplerSpec::Column { column }) => column.clone(),
        (None, _) => "uniform".to_owned(),
    };
    match parameters.purpose {
        Purpose::Baseline => "uniform".to_owned(),
        Purpose::Initial => "initial".to_owned(),
        Purpose::Search => "search".to_owned(),
        Purpose::Confirm => format!("confirming {under}"),
        Purpose::Retrain => format!("retraining under {under}"),
    }
}

/// Reasons may hold the last lines of a program's output.
fn one_line(reason: &str) -> String {
    reason.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join(" / ")
}
