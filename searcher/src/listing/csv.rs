//! A study's trials as CSV, as RFC 4180 has it.

use std::io::{self, Write};

use super::{Listing, purpose_name};
use crate::study::StoredTrial;

/// Columns before those of the sampler's parameters.
const HEADS: [&str; 20] = [
    "number",
    "purpose",
    "repeats",
    "state",
    "objective",
    "test_accuracy",
    "test_top5_accuracy",
    "test_balanced_accuracy",
    "epochs",
    "epochs_planned",
    "seconds",
    "waited_seconds",
    "attempts",
    "worker",
    "version",
    "seed",
    "added_at_ms",
    "ended_at_ms",
    "sampler",
    "reason",
];

impl Listing {
    /// Writes the trials as CSV, one a record: what they are and how they ended, the sampler's parameters by name, the
    /// coordinates x0, x1, … of its point in the unit cube, and the validation accuracy after each epoch.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write_csv(&self, out: &mut dyn Write) -> io::Result<()> {
        let parameters = self.config.plan.space.parameters();
        let epochs = self.trials.iter().map(|trial| trial.report.epochs.len()).max().unwrap_or(0);
        let mut heads: Vec<String> = HEADS.iter().map(ToString::to_string).collect();
        heads.extend(parameters.iter().map(|parameter| parameter.name.clone()));
        heads.extend((0..parameters.len()).map(|axis| format!("x{axis}")));
        heads.extend((1..=epochs).map(|epoch| format!("accuracy_{epoch}")));
        write_record(out, &heads)?;
        for trial in &self.trials {
            let mut fields = self.leading_fields(trial)?;
            let stored = &trial.record.parameters;
            let values = self.config.plan.space.parameter_values(&stored.sampler).unwrap_or_default();
            fields.extend((0..parameters.len()).map(|axis| text(values.get(axis).copied())));
            fields.extend((0..parameters.len()).map(|axis| text(stored.point.get(axis).copied())));
            let accuracy = |epoch: usize| trial.report.epochs.get(epoch).map(|epoch| epoch.validation_accuracy);
            fields.extend((0..epochs).map(|epoch| text(accuracy(epoch))));
            write_record(out, &fields)?;
        }
        Ok(())
    }

    /// The fields under [`HEADS`].
    fn leading_fields(&self, trial: &StoredTrial) -> io::Result<Vec<String>> {
        let parameters = &trial.record.parameters;
        let fields: [String; HEADS.len()] = [
            trial.record.number.to_string(),
            purpose_name(parameters.purpose).to_owned(),
            text(parameters.repeats),
            trial.state_name().to_owned(),
            text(trial.record.objective()),
            text(trial.report.test_accuracy),
            text(trial.report.measures.test_top5_accuracy),
            text(trial.report.measures.test_balanced_accuracy),
            trial.report.epochs.len().to_string(),
            self.config.training.run(parameters).epochs.to_string(),
            trial.report.seconds.to_string(),
            text(trial.report.waited_seconds),
            trial.attempts().to_string(),
            trial.worker.clone(),
            trial.version.to_string(),
            parameters.seed.to_string(),
            trial.added_at_ms.to_string(),
            trial.ended_at_ms.to_string(),
            serde_json::to_string(&parameters.sampler).map_err(io::Error::other)?,
            trial.reason.clone(),
        ];
        Ok(fields.into())
    }
}

fn text(value: Option<impl ToString>) -> String {
    value.map_or_else(String::new, |value| value.to_string())
}

fn write_record(out: &mut dyn Write, fields: &[String]) -> io::Result<()> {
    let fields: Vec<String> = fields.iter().map(|field| quoted(field)).collect();
    write!(out, "{}\r\n", fields.join(","))
}

/// A field, quoted where commas, quotes or line ends need it.
fn quoted(field: &str) -> String {
    if field.contains([',', '"', '\r', '\n']) {
        format!("\"{}\"", field.replace('"', "\"\""))
    } else {
        field.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_quoted_where_they_have_to_be() {
        assert_eq!(quoted("lost"), "lost");
        assert_eq!(quoted("a \"b\", c\nd"), "\"a \"\"b\"\", c\nd\"");
    }
}
