//! `searcher show` and `searcher export`: a study's trials for people, scripts and spreadsheets.

use std::io::{self, Write};

use serde_json::{Value, json};
use swift_sampler_client::blocking::Client;
use swift_sampler_client::proto;

use crate::error::SearcherError;
use crate::policy::Purpose;
use crate::study::StoredTrial;

/// A study with its trials.
#[derive(Debug)]
pub struct Listing {
    study: proto::Study,
    trials: Vec<StoredTrial>,
}

impl Listing {
    /// Fetches a study.
    ///
    /// # Errors
    /// [`SearcherError`] when the daemon cannot be reached, or the study is unknown or another program's.
    pub fn fetch(client: &Client, study: &str) -> Result<Self, SearcherError> {
        let found = client.get_study(study)?;
        Ok(Self { study: found, trials: StoredTrial::read_all(&client.list_trials(study)?)? })
    }

    /// Returns everything as JSON.
    #[must_use]
    pub fn json(&self) -> Value {
        let parsed = |text: &str| serde_json::from_str::<Value>(text).unwrap_or(Value::Null);
        json!({
            "study": self.study.name,
            "dataset": self.study.dataset,
            "state": self.state(),
            "config": parsed(&self.study.config_json),
            "result": parsed(&self.study.result_json),
            "created_at_ms": self.study.created_at_ms,
            "trials": self.trials.iter().map(trial_json).collect::<Vec<_>>(),
        })
    }

    /// Writes a table.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn print(&self, out: &mut dyn Write) -> io::Result<()> {
        let Self { study, trials } = self;
        writeln!(out, "study {} on dataset {}: {}, {} trials", study.name, study.dataset, self.state(), trials.len())?;
        writeln!(
            out,
            "{:>5}  {:<9} {:>7}  {:<10} {:>10} {:>9} {:>8} {:>7}  note",
            "trial", "purpose", "version", "state", "objective", "test", "seconds", "waiting"
        )?;
        for trial in trials {
            let percent =
                |share: Option<f64>| share.map_or_else(|| "-".to_owned(), |share| format!("{:.2}%", 100.0 * share));
            let note = match trial.record.parameters.repeats {
                Some(repeats) => format!("repeats {repeats} {}", trial.reason),
                None => trial.reason.clone(),
            };
            let line = format!(
                "{:>5}  {:<9} {:>7}  {:<10} {:>10} {:>9} {:>8.1} {:>7}  {note}",
                trial.record.number,
                purpose_name(trial.record.parameters.purpose),
                trial.version,
                trial.state_name(),
                percent(trial.record.objective()),
                percent(trial.report.test_accuracy),
                trial.report.seconds,
                percent(trial.report.waited_share()),
            );
            writeln!(out, "{}", line.trim_end())?;
        }
        Ok(())
    }

    /// Writes the trials as CSV, one a line, with the coordinates of their points.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn export(&self, out: &mut dyn Write) -> io::Result<()> {
        let dimension = self.trials.iter().map(|trial| trial.record.parameters.point.len()).max().unwrap_or(0);
        write!(
            out,
            "number,purpose,repeats,state,objective,test_accuracy,epochs,seconds,waited_seconds,attempts,version,seed"
        )?;
        (0..dimension).try_for_each(|axis| write!(out, ",x{axis}"))?;
        writeln!(out, ",sampler,reason")?;
        for trial in &self.trials {
            let parameters = &trial.record.parameters;
            let number = |value: Option<f64>| value.map_or_else(String::new, |value| value.to_string());
            write!(
                out,
                "{},{},{},{},{},{},{},{},{},{},{},{}",
                trial.record.number,
                purpose_name(parameters.purpose),
                parameters.repeats.map_or_else(String::new, |repeats| repeats.to_string()),
                trial.state_name(),
                number(trial.record.objective()),
                number(trial.report.test_accuracy),
                trial.report.epochs.len(),
                trial.report.seconds,
                number(trial.report.waited_seconds),
                trial.attempt,
                trial.version,
                parameters.seed,
            )?;
            for axis in 0..dimension {
                write!(out, ",{}", number(parameters.point.get(axis).copied()))?;
            }
            let sampler = serde_json::to_string(&parameters.sampler).map_err(io::Error::other)?;
            writeln!(out, ",{},{}", quoted(&sampler), quoted(&trial.reason))?;
        }
        Ok(())
    }

    fn state(&self) -> &'static str {
        match self.study.state() {
            proto::StudyState::Ended => "ended",
            proto::StudyState::Running | proto::StudyState::Unspecified => "running",
        }
    }
}

fn trial_json(trial: &StoredTrial) -> Value {
    let parameters = &trial.record.parameters;
    json!({
        "number": trial.record.number,
        "purpose": purpose_name(parameters.purpose),
        "state": trial.state_name(),
        "objective": trial.record.objective(),
        "test_accuracy": trial.report.test_accuracy,
        "epochs": trial.report.epochs,
        "seconds": trial.report.seconds,
        "waited_seconds": trial.report.waited_seconds,
        "attempt": trial.attempt,
        "version": trial.version,
        "sampler": parameters.sampler,
        "point": parameters.point,
        "seed": parameters.seed,
        "repeats": parameters.repeats,
        "reason": trial.reason,
        "ended_at_ms": trial.ended_at_ms,
    })
}

const fn purpose_name(purpose: Purpose) -> &'static str {
    match purpose {
        Purpose::Baseline => "baseline",
        Purpose::Initial => "initial",
        Purpose::Search => "search",
        Purpose::Confirm => "confirm",
        Purpose::Retrain => "retrain",
    }
}

/// A CSV field as RFC 4180 quotes it.
fn quoted(text: &str) -> String {
    if text.is_empty() { String::new() } else { format!("\"{}\"", text.replace('"', "\"\"")) }
}
