//! The studies a daemon keeps.

use std::io::{self, Write};

use serde_json::{Value, json};
use swift_sampler_client::blocking::Client;
use swift_sampler_client::proto;

use super::state_name;
use crate::error::SearcherError;
use crate::target::Metric;

/// All studies of a daemon, also those of other programs.
#[derive(Debug)]
pub struct Studies(Vec<proto::Study>);

impl Studies {
    /// Fetches them.
    ///
    /// # Errors
    /// [`SearcherError::Daemon`] when the daemon cannot be reached.
    pub fn fetch(client: &Client) -> Result<Self, SearcherError> {
        Ok(Self(client.list_studies()?))
    }

    /// Returns them as JSON.
    #[must_use]
    pub fn json(&self) -> Value {
        let study = |study: &proto::Study| {
            json!({
                "study": study.name,
                "dataset": study.dataset,
                "state": state_name(study),
                "trials": study.trials,
                "attempts_max": study.attempts_max,
                "created_at_ms": study.created_at_ms,
                "winner": winner(study),
            })
        };
        self.0.iter().map(study).collect()
    }

    /// Writes a table.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn print(&self, out: &mut dyn Write) -> io::Result<()> {
        let width = |of: fn(&proto::Study) -> &str, head: &str| {
            self.0.iter().map(|study| of(study).len()).max().unwrap_or(0).max(head.len())
        };
        let (name, dataset) = (width(|study| &study.name, "study"), width(|study| &study.dataset, "dataset"));
        writeln!(out, "{:<name$}  {:<dataset$}  {:<7}  {:>6}  winner", "study", "dataset", "state", "trials")?;
        for study in &self.0 {
            let winner = match winner(study) {
                Value::Null => String::new(),
                winner => format!(
                    "trial {}, {}",
                    winner["trial"],
                    metric(study).show(winner["objective"].as_f64().unwrap_or(f64::NAN))
                ),
            };
            let line = format!(
                "{:<name$}  {:<dataset$}  {:<7}  {:>6}  {winner}",
                study.name,
                study.dataset,
                state_name(study),
                study.trials
            );
            writeln!(out, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

/// What an ended study's objective measures.
fn metric(study: &proto::Study) -> Metric {
    let result: Value = serde_json::from_str(&study.result_json).unwrap_or(Value::Null);
    serde_json::from_value(result["metric"].clone()).unwrap_or_default()
}

/// Trial and objective of an ended study's winner; null while it runs, and in results of other programs.
fn winner(study: &proto::Study) -> Value {
    let result: Value = serde_json::from_str(&study.result_json).unwrap_or(Value::Null);
    let (trial, objective) = (&result["winner"]["trial"], &result["winner"]["objective"]);
    if trial.is_u64() && objective.is_f64() { json!({ "trial": trial, "objective": objective }) } else { Value::Null }
}
