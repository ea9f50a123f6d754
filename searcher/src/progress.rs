//! What a person sees while a search runs: a bar on a terminal, plain lines elsewhere, both on standard error.

mod course;
mod fate;

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::io::{IsTerminal, Write};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use swift_sampler_client::proto::TrialState;

use crate::study::StoredTrial;
use crate::target::{Metric, OtherClasses, PrepareProgress};

pub use course::Course;
pub use fate::Best;

/// Progress of a search.
pub struct Progress {
    out: RefCell<Box<dyn Write>>,
    terminal: bool,
    bar: Option<ProgressBar>,
    /// Trials whose end was shown.
    shown: HashSet<u64>,
    /// Lost attempts that were shown, by trial.
    lost: HashMap<u64, u32>,
    best: Option<Best>,
    /// What objectives measure.
    metric: Metric,
    began: bool,
}

impl Progress {
    /// Shows progress on standard error.
    #[must_use]
    pub fn new() -> Self {
        Self::on(Box::new(std::io::stderr()), std::io::stderr().is_terminal())
    }

    /// Shows progress elsewhere: as lines, with a bar below them where that is a terminal.
    #[must_use]
    pub fn on(out: Box<dyn Write>, terminal: bool) -> Self {
        Self {
            out: RefCell::new(out),
            terminal,
            bar: None,
            shown: HashSet::new(),
            lost: HashMap::new(),
            best: None,
            metric: Metric::default(),
            began: false,
        }
    }

    /// Shows objectives as `metric` from now on.
    pub const fn measure(&mut self, metric: Metric) {
        self.metric = metric;
    }

    /// Shows a line.
    pub fn say(&self, line: &str) {
        match &self.bar {
            Some(bar) => bar.println(line),
            // With nobody reading there is nobody to tell.
            None => drop(writeln!(self.out.borrow_mut(), "{line}")),
        }
    }

    /// Shows what a preparation is doing.
    pub fn prepare(&mut self, step: &PrepareProgress) {
        match step {
            PrepareProgress::Epoch { report, epochs } => self.say(&format!(
                "start network: epoch {}/{epochs}, training loss {:.3}, validation {} ({:.1} s)",
                report.epoch,
                report.training_loss,
                self.metric.show(report.validation_accuracy),
                report.seconds
            )),
            PrepareProgress::GradientNormOfLogits => self.say(
                "grad_norm is taken from the logits alone: no last linear layer was found in the module \
                 (let forward return (logits, h) with that layer's input h to have it in full)",
            ),
            PrepareProgress::NewClassifier(OtherClasses { in_file, in_data }) => self.say(&format!(
                "the weights tell {in_file} classes apart, the data has {in_data}: the last layer starts from random weights"
            )),
            PrepareProgress::Features { done, total } if done == total => {
                self.say(&format!("features of {total} examples extracted"));
            }
            PrepareProgress::Features { .. } => {}
        }
    }

    /// Shows what became of trials since the last call: which ended, and which attempts were lost.
    pub fn update(&mut self, course: &Course, trials: &[StoredTrial]) {
        let ended = trials.iter().filter(|trial| trial.is_over()).count();
        if !self.began {
            self.began = true;
            self.bar = self.terminal.then(bar);
            self.pass_over(course, trials, ended);
        }
        for trial in trials {
            self.show_lost_attempts(course, trial);
            if trial.is_over() && self.shown.insert(trial.record.number) {
                Best::note(&mut self.best, trial);
                let (done, total) = (self.shown.len(), course.total(trials));
                let best = self.best.map_or_else(String::new, |best| format!(", best {}", best.text(self.metric)));
                let left =
                    course.left(trials).map_or_else(String::new, |left| format!(", about {} left", duration(left)));
                self.say(&format!("[{done}/{total}] {}{best}{left}", fate::ended(course, trial, self.metric)));
            }
        }
        if let Some(bar) = &self.bar {
            bar.set_length(course.total(trials));
            bar.set_position(ended as u64);
            let best = self.best.map_or_else(String::new, |best| format!("best {}", best.text(self.metric)));
            let left = course.left(trials).map_or_else(String::new, |left| format!(", about {} left", duration(left)));
            bar.set_message(best + &left);
        }
    }

    /// Removes the bar.
    pub fn finish(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }

    /// Sums up what ended before this process began.
    fn pass_over(&mut self, course: &Course, trials: &[StoredTrial], ended: usize) {
        for trial in trials {
            self.lost.insert(trial.record.number, lost_attempts(trial));
            if trial.is_over() {
                self.shown.insert(trial.record.number);
                Best::note(&mut self.best, trial);
            }
        }
        if ended > 0 {
            let best = self.best.map_or_else(String::new, |best| format!(", best {}", best.text(self.metric)));
            self.say(&format!("going on: {ended} of {} trials are done{best}", course.total(trials)));
        }
    }

    fn show_lost_attempts(&mut self, course: &Course, trial: &StoredTrial) {
        let lost = lost_attempts(trial);
        let shown = self.lost.get(&trial.record.number).copied().unwrap_or(0);
        if lost <= shown {
            return;
        }
        self.lost.insert(trial.record.number, lost);
        // Once the next attempt has begun, the reason of the one before is gone.
        let waits = trial.state == TrialState::Pending;
        let reason = if waits { trial.reason.as_str() } else { "" };
        self.say(&fate::lost(course, trial, lost, reason));
    }
}

impl Default for Progress {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.finish();
    }
}

/// Attempts that came to nothing: those before the present one, and the present one where the trial waits for another.
fn lost_attempts(trial: &StoredTrial) -> u32 {
    if trial.state == TrialState::Pending { trial.attempts() } else { trial.attempts().saturating_sub(1) }
}

fn bar() -> ProgressBar {
    let style = ProgressStyle::with_template("{bar:32} {pos}/{len} trials  {msg}  {elapsed_precise}")
        .unwrap_or_else(|_malformed| ProgressStyle::default_bar());
    ProgressBar::new(0).with_style(style)
}

/// A duration in its largest units: 45 s, 12 min, 3 h 20 min.
fn duration(time: Duration) -> String {
    match time.as_secs() {
        seconds @ 0..100 => format!("{} s", seconds.max(1)),
        seconds @ 100..5400 => format!("{} min", (seconds + 30) / 60),
        seconds => format!("{} h {} min", seconds / 3600, seconds / 60 % 60),
    }
}

#[cfg(test)]
mod tests;
