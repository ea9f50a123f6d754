//! A study as a table.

use std::io::{self, Write};

use swift_sampler_client::proto::TrialState;

use super::{Listing, purpose_name, state_name};
use crate::policy::Verdict;
use crate::report::{Summary, shown};
use crate::study::StoredTrial;
use crate::target::Metric;

impl Listing {
    /// Writes a table of the trials, and how the study stands.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn print(&self, out: &mut dyn Write) -> io::Result<()> {
        let Self { study, trials, .. } = self;
        let count = |state| trials.iter().filter(|trial| trial.state == state).count();
        let (running, pending) = (count(TrialState::Running), count(TrialState::Pending));
        writeln!(
            out,
            "study {} on dataset {}: {}, {} trials, {running} running, {pending} pending",
            study.name,
            study.dataset,
            state_name(study),
            trials.len()
        )?;
        let objective = match self.config.target.metric() {
            Metric::Accuracy => "objective",
            Metric::Perplexity => "perplexity",
        };
        writeln!(
            out,
            "{:>5}  {:<8}  {:>7}  {:<10}  {:>8}  {:>10}  {:>7}  {:>7}  {:>7}  {:<WORKER_WIDTH$}  note",
            "trial", "purpose", "version", "state", "attempts", objective, "test", "seconds", "waiting", "worker"
        )?;
        let best = self.best_so_far();
        for trial in trials {
            let star = if best.contains(&trial.record.number) { "*" } else { " " };
            let line = format!(
                "{:>5}  {:<8}  {:>7}  {:<10}  {:>8}  {:>9}{star}  {:>7}  {:>7.1}  {:>7}  {:<WORKER_WIDTH$}  {}",
                trial.record.number,
                purpose_name(trial.record.parameters.purpose),
                trial.version,
                trial.state_name(),
                format!("{} of {}", trial.attempts(), study.attempts_max),
                self.shown(trial.record.objective()),
                self.shown(trial.report.test_accuracy),
                trial.report.seconds,
                percent(trial.report.waited_share()),
                shortened(&trial.worker),
                self.note(trial),
            );
            writeln!(out, "{}", line.trim_end())?;
        }
        self.print_standing(out)
    }

    /// What cells cannot say: what it repeats, how far it is, why it ended.
    fn note(&self, trial: &StoredTrial) -> String {
        let (parameters, epochs) = (&trial.record.parameters, &trial.report.epochs);
        let planned = self.config.training.run(parameters).epochs;
        let mut notes = Vec::new();
        notes.extend(parameters.repeats.map(|repeats| format!("repeats {repeats}")));
        if trial.state == TrialState::Running
            && let Some(last) = epochs.last()
        {
            notes.push(format!("epoch {} of {planned}: {}", last.epoch, self.shown(Some(last.validation_accuracy))));
        }
        if trial.report.stopped {
            notes.push(format!("stopped after {} of {planned} epochs", epochs.len()));
        }
        if !trial.reason.is_empty() {
            notes.push(trial.reason.lines().collect::<Vec<_>>().join(" / "));
        }
        notes.join(", ")
    }

    fn print_standing(&self, out: &mut dyn Write) -> io::Result<()> {
        let standing = self.standing();
        if let Some(uniform) = &standing.uniform {
            writeln!(
                out,
                "uniform       {} (trials: {})",
                mean_and_sd(self.config.target.metric(), uniform),
                uniform.values.len()
            )?;
        }
        if let Some(best) = &standing.best {
            writeln!(out, "best so far*  {} by trial {}", self.shown(Some(best.objective)), best.trial)?;
        }
        let Some(winner) = &standing.winner else { return Ok(()) };
        writeln!(
            out,
            "winner        {} under fresh seeds: trial {}",
            self.shown(Some(winner.objective)),
            winner.trial
        )?;
        let decision = match winner.verdict {
            Verdict::Publish(_) => "to be active",
            Verdict::WithinError(_) | Verdict::Unconfirmed => "not to be active",
        };
        writeln!(out, "verdict       {decision}: {}", winner.verdict.text(self.config.target.metric()))
    }

    /// An objective as people read it.
    fn shown(&self, objective: Option<f64>) -> String {
        objective.map_or_else(|| "-".to_owned(), |objective| self.config.target.metric().show(objective))
    }
}

/// Widest worker's name that is shown whole, in characters.
const WORKER_WIDTH: usize = 16;

/// A long name's ends, which tell workers of one host apart, and hosts.
fn shortened(name: &str) -> String {
    let length = name.chars().count();
    if length <= WORKER_WIDTH {
        return name.to_owned();
    }
    let (head, tail) = (WORKER_WIDTH / 2, WORKER_WIDTH - WORKER_WIDTH / 2 - 1);
    name.chars().take(head).chain(['…']).chain(name.chars().skip(length - tail)).collect()
}

fn percent(share: Option<f64>) -> String {
    share.map_or_else(|| "-".to_owned(), |share| format!("{:.2}%", 100.0 * share))
}

/// With the spread of a single value too, which is 0.
fn mean_and_sd(metric: Metric, summary: &Summary) -> String {
    let shown = shown(metric, Some(summary));
    if summary.values.len() == 1 { format!("{} ± 0.00{}", shown.trim_end_matches('%'), metric.unit()) } else { shown }
}
