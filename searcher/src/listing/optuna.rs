//! A study as an Optuna storage: the JSON lines of its journal file, which `optuna.load_study` and optuna-dashboard open.
//!
//! The short trials are a study of the same name, number for number. Retrainings from scratch run longer, so that their
//! accuracies are not comparable; they are a second study, NAME-retraining.

use std::collections::BTreeMap;
use std::io::{self, Write};

use serde_json::{Value, json};
use swift_sampler_client::proto::TrialState;

use super::{Listing, purpose_name};
use crate::policy::Purpose;
use crate::study::StoredTrial;

// `optuna.storages.journal.JournalOperation`.
const CREATE_STUDY: u8 = 0;
const SET_STUDY_USER_ATTRIBUTE: u8 = 2;
const CREATE_TRIAL: u8 = 4;

/// `optuna.study.StudyDirection.MAXIMIZE`.
const MAXIMISE: u8 = 2;

// `optuna.trial.TrialState`.
const RUNNING: u8 = 0;
const COMPLETE: u8 = 1;
const PRUNED: u8 = 2;
const FAIL: u8 = 3;
const WAITING: u8 = 4;

/// Who wrote a record; Optuna only asks whether it was itself.
const WORKER: &str = "swift-sampler-searcher";

impl Listing {
    /// Writes the journal.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write_optuna(&self, out: &mut dyn Write) -> io::Result<()> {
        let (retrained, short): (Vec<&StoredTrial>, Vec<&StoredTrial>) =
            self.trials.iter().partition(|trial| trial.record.parameters.purpose == Purpose::Retrain);
        self.write_study(out, 0, self.name(), &short)?;
        if retrained.is_empty() {
            Ok(())
        } else {
            self.write_study(out, 1, &format!("{}-retraining", self.name()), &retrained)
        }
    }

    fn write_study(&self, out: &mut dyn Write, id: u8, name: &str, trials: &[&StoredTrial]) -> io::Result<()> {
        let mut record = |op_code: u8, mut fields: Value| {
            fields["op_code"] = op_code.into();
            fields["worker_id"] = WORKER.into();
            writeln!(out, "{fields}")
        };
        record(CREATE_STUDY, json!({ "study_name": name, "directions": [MAXIMISE] }))?;
        let attributes = [("dataset", self.study.dataset.as_str()), ("target", self.config.target.name())];
        for (key, value) in attributes {
            record(SET_STUDY_USER_ATTRIBUTE, json!({ "study_id": id, "user_attr": { key: value } }))?;
        }
        trials.iter().try_for_each(|trial| {
            let mut fields = self.optuna_trial(trial);
            fields["study_id"] = id.into();
            record(CREATE_TRIAL, fields)
        })
    }

    fn optuna_trial(&self, trial: &StoredTrial) -> Value {
        let (parameters, space) = (&trial.record.parameters, &self.config.plan.space);
        let state = optuna_state(trial);
        let (mut distributions, mut values) = (BTreeMap::new(), BTreeMap::new());
        for (parameter, value) in
            space.parameters().iter().zip(space.parameter_values(&parameters.sampler).unwrap_or_default())
        {
            let attributes = json!({ "low": parameter.low, "high": parameter.high, "step": null, "log": false });
            let distribution = json!({ "name": "FloatDistribution", "attributes": attributes });
            distributions.insert(parameter.name.clone(), distribution.to_string());
            values.insert(parameter.name.clone(), value);
        }
        // A network that diverged reports what JSON has no number for.
        let epochs = trial.report.epochs.iter().filter(|epoch| epoch.validation_accuracy.is_finite());
        let intermediate: BTreeMap<String, f64> =
            epochs.map(|epoch| (epoch.epoch.to_string(), epoch.validation_accuracy)).collect();
        let mut fields = json!({
            "state": state,
            "value": trial.record.objective(),
            "values": null,
            "datetime_start": (state != WAITING).then(|| iso(started_ms(trial))),
            "distributions": distributions,
            "params": values,
            "intermediate_values": intermediate,
            "user_attrs": self.user_attributes(trial),
            "system_attrs": {},
        });
        if trial.ended_at_ms > 0 {
            fields["datetime_complete"] = iso(trial.ended_at_ms).into();
        }
        fields
    }

    fn user_attributes(&self, trial: &StoredTrial) -> Value {
        let parameters = &trial.record.parameters;
        let mut attributes = json!({
            "trial": trial.record.number,
            "purpose": purpose_name(parameters.purpose),
            "state": trial.state_name(),
            "sampler_version": trial.version,
            "sampler": serde_json::to_string(&parameters.sampler).expect("a spec is plain data"),
            // As text: numbers of 64 bits do not survive a browser.
            "seed": parameters.seed.to_string(),
            "attempts": trial.attempts(),
            "seconds": trial.report.seconds,
        });
        let optional = [
            ("repeats", parameters.repeats.map(Value::from)),
            ("reason", (!trial.reason.is_empty()).then(|| trial.reason.clone().into())),
            ("worker", (!trial.worker.is_empty()).then(|| trial.worker.clone().into())),
            ("test_accuracy", trial.report.test_accuracy.map(Value::from)),
            ("test_top5_accuracy", trial.report.measures.test_top5_accuracy.map(Value::from)),
            ("test_balanced_accuracy", trial.report.measures.test_balanced_accuracy.map(Value::from)),
        ];
        for (key, value) in optional {
            if let Some(value) = value {
                attributes[key] = value;
            }
        }
        attributes
    }
}

/// A trial that was stopped early is pruned, one that cannot have an objective has failed.
const fn optuna_state(trial: &StoredTrial) -> u8 {
    match trial.state {
        TrialState::Succeeded if trial.report.stopped => PRUNED,
        TrialState::Succeeded => COMPLETE,
        TrialState::Infeasible | TrialState::Failed => FAIL,
        TrialState::Running => RUNNING,
        TrialState::Pending | TrialState::Unspecified => WAITING,
    }
}

/// When the last attempt began, as far as its report tells.
fn started_ms(trial: &StoredTrial) -> u64 {
    if trial.ended_at_ms == 0 {
        return trial.added_at_ms;
    }
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "whole milliseconds of a positive time")]
    let took_ms = (trial.report.seconds.max(0.0) * 1000.0) as u64;
    trial.ended_at_ms.saturating_sub(took_ms).max(trial.added_at_ms)
}

/// Unix milliseconds as ISO 8601 in UTC.
fn iso(unix_ms: u64) -> String {
    let (days, ms) = (unix_ms / 86_400_000, unix_ms % 86_400_000);
    let (year, month, day) = civil(days);
    let (hour, minute, second) = (ms / 3_600_000, ms / 60_000 % 60, ms / 1000 % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{:06}+00:00", ms % 1000 * 1000)
}

/// Days since 1970-01-01 as year, month and day of the Gregorian calendar (Hinnant, "chrono-compatible low-level date
/// algorithms", `civil_from_days`).
const fn civil(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400;
    (if month <= 2 { year + 1 } else { year }, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        assert_eq!(iso(0), "1970-01-01T00:00:00.000000+00:00");
        assert_eq!(iso(951_782_400_000), "2000-02-29T00:00:00.000000+00:00");
        assert_eq!(iso(1_767_225_599_042), "2025-12-31T23:59:59.042000+00:00");
        assert_eq!(iso(1_772_323_200_000), "2026-03-01T00:00:00.000000+00:00");
    }
}
