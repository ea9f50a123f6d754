//! What a person sees while a search runs: a bar on a terminal, plain lines elsewhere, both on standard error.

use std::collections::HashSet;
use std::io::{IsTerminal, Write};

use indicatif::{ProgressBar, ProgressStyle};

use crate::policy::{Plan, Purpose, TrialStanding};
use crate::study::StoredTrial;
use crate::target::PrepareProgress;

/// Progress of a search.
pub struct Progress {
    bar: Option<ProgressBar>,
    /// Trials whose end was shown.
    shown: HashSet<u64>,
    best: f64,
    total: u64,
    quiet_about_the_past: bool,
}

impl Progress {
    /// Starts a bar over all trials of a plan if standard error is a terminal.
    #[must_use]
    pub fn new() -> Self {
        Self { bar: None, shown: HashSet::new(), best: f64::NEG_INFINITY, total: 0, quiet_about_the_past: true }
    }

    /// Shows a line.
    pub fn say(&self, line: &str) {
        match &self.bar {
            Some(bar) => bar.println(line),
            None => print_line(line),
        }
    }

    /// Shows what a preparation is doing.
    pub fn prepare(&mut self, step: &PrepareProgress) {
        match step {
            PrepareProgress::Epoch { report, epochs } => self.say(&format!(
                "start network: epoch {}/{epochs}, training loss {:.3}, validation {:.2}% ({:.1} s)",
                report.epoch,
                report.training_loss,
                100.0 * report.validation_accuracy,
                report.seconds
            )),
            PrepareProgress::GradientNormOfLogits => self.say(
                "grad_norm is taken from the logits alone: no last linear layer was found in the module \
                 (let forward return (logits, h) with that layer's input h to have it in full)",
            ),
            PrepareProgress::Features { done, total } if done == total => {
                self.say(&format!("features of {total} examples extracted"));
            }
            PrepareProgress::Features { .. } => {}
        }
    }

    /// Shows the trials that ended since the last call.
    pub fn update(&mut self, plan: &Plan, trials: &[StoredTrial]) {
        if self.total == 0 {
            self.total = plan.trials_in_all() as u64;
            self.bar = std::io::stderr().is_terminal().then(|| bar(self.total));
        }
        let ended: Vec<&StoredTrial> =
            trials.iter().filter(|trial| trial.record.standing != TrialStanding::Pending).collect();
        if self.quiet_about_the_past {
            self.quiet_about_the_past = false;
            self.shown.extend(ended.iter().map(|trial| trial.record.number));
            ended.iter().for_each(|trial| self.note_best(trial));
            if !ended.is_empty() {
                self.say(&format!("going on: {} of {} trials are done", ended.len(), self.total));
            }
        }
        for trial in &ended {
            if self.shown.insert(trial.record.number) {
                self.note_best(trial);
                self.say(&self.line(trial));
            }
        }
        if let Some(bar) = &self.bar {
            bar.set_position(ended.len() as u64);
            if self.best.is_finite() {
                bar.set_message(format!("best {:.2}%", 100.0 * self.best));
            }
        }
    }

    /// Removes the bar.
    pub fn finish(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }

    fn note_best(&mut self, trial: &StoredTrial) {
        if trial.record.parameters.purpose.is_search()
            && let Some(objective) = trial.record.objective()
        {
            self.best = self.best.max(objective);
        }
    }

    fn line(&self, trial: &StoredTrial) -> String {
        let (number, done) = (trial.record.number, self.shown.len());
        let what = describe(trial);
        let outcome = match trial.record.objective() {
            Some(objective) => format!("{:.2}%", 100.0 * objective),
            None => format!("{} ({})", trial.state_name(), trial.reason),
        };
        let test = trial.report.test_accuracy.map(|test| format!(", test {:.2}%", 100.0 * test)).unwrap_or_default();
        let best = if self.best.is_finite() { format!(", best {:.2}%", 100.0 * self.best) } else { String::new() };
        format!("[{done}/{}] trial {number}: {what} {outcome}{test} in {:.1} s{best}", self.total, trial.report.seconds)
    }
}

impl Default for Progress {
    fn default() -> Self {
        Self::new()
    }
}

fn describe(trial: &StoredTrial) -> String {
    match (trial.record.parameters.purpose, trial.record.parameters.repeats) {
        (Purpose::Baseline, _) => "uniform".to_owned(),
        (Purpose::Initial, _) => "Sobol".to_owned(),
        (Purpose::Search, _) => "surrogate".to_owned(),
        (Purpose::Confirm, Some(repeats)) => format!("confirming trial {repeats}"),
        (Purpose::Retrain, Some(repeats)) => format!("retraining under trial {repeats}"),
        (Purpose::Confirm | Purpose::Retrain, None) => "retraining uniformly".to_owned(),
    }
}

fn bar(total: u64) -> ProgressBar {
    let style = ProgressStyle::with_template("{bar:32} {pos}/{len} trials  {msg}  {elapsed_precise} (left {eta})")
        .unwrap_or_else(|_malformed| ProgressStyle::default_bar());
    ProgressBar::new(total).with_style(style)
}

fn print_line(line: &str) {
    // A closed standard error leaves nobody to tell.
    drop(writeln!(std::io::stderr(), "{line}"));
}
