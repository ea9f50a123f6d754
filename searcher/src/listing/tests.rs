use serde_json::json;

use super::*;
use crate::study::small_config;

fn epoch(epoch: u32, accuracy: f64) -> Value {
    json!({ "epoch": epoch, "training_loss": 0.5, "validation_accuracy": accuracy, "seconds": 1.0 })
}

fn trial(number: u64, purpose: &str, state: proto::TrialState, objective: Option<f64>) -> proto::Trial {
    let sampler = if purpose == "baseline" {
        json!({ "kind": "uniform" })
    } else {
        json!({
            "kind": "swift", "features": ["loss", "entropy"], "coefficients": [0.6, -0.8],
            "knots": [0.25, 0.5, 0.75], "values": [1.0, 0.5, 0.25, 0.125, 0.0],
        })
    };
    let parameters = json!({
        "purpose": purpose, "sampler": sampler, "point": [0.8, 0.1, 0.25, 0.5, 0.75, 1.0, 0.5, 0.25, 0.125, 0.0],
        "behaviour": [], "seed": u64::MAX,
    });
    let over = !matches!(state, proto::TrialState::Pending | proto::TrialState::Running);
    proto::Trial {
        study: "s".to_owned(),
        number,
        parameters_json: parameters.to_string(),
        sampler_version: number + 1,
        state: state.into(),
        attempt: u32::from(state != proto::TrialState::Pending),
        worker: if state == proto::TrialState::Pending { String::new() } else { "a-long-host-name-4711".to_owned() },
        objective,
        added_at_ms: 1_000_000,
        ended_at_ms: if over { 1_010_000 } else { 0 },
        report_json: json!({ "epochs": [epoch(1, 0.7), epoch(2, 0.75)], "seconds": 4.0 }).to_string(),
        ..proto::Trial::default()
    }
}

fn listing() -> Listing {
    let study = proto::Study {
        name: "s".to_owned(),
        dataset: "d".to_owned(),
        config_json: small_config().to_string(),
        state: proto::StudyState::Running.into(),
        attempts_max: 3,
        trials: 6,
        ..proto::Study::default()
    };
    let mut infeasible = trial(2, "initial", proto::TrialState::Infeasible, None);
    infeasible.reason = "the loss is \"NaN\",\nsadly".to_owned();
    let mut stopped = trial(3, "search", proto::TrialState::Succeeded, Some(0.6));
    stopped.report_json = json!({ "epochs": [epoch(1, 0.6)], "seconds": 2.0, "stopped": true }).to_string();
    let mut given_back = trial(1, "initial", proto::TrialState::Succeeded, Some(0.75));
    (given_back.attempt, given_back.released) = (4, 3);
    let trials = [
        trial(0, "baseline", proto::TrialState::Succeeded, Some(0.7)),
        given_back,
        infeasible,
        stopped,
        trial(4, "search", proto::TrialState::Running, None),
        trial(5, "search", proto::TrialState::Pending, None),
    ];
    Listing::read(study, &trials).unwrap()
}

fn written(write: impl FnOnce(&Listing, &mut Vec<u8>) -> std::io::Result<()>) -> String {
    let mut out = Vec::new();
    write(&listing(), &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn a_table_tells_state_attempts_worker_reason_and_progress() {
    let table = written(|listing, out| listing.print(out));
    let line = |number: usize| table.lines().nth(2 + number).unwrap().to_owned();
    assert!(table.starts_with("study s on dataset d: running, 6 trials, 1 running, 1 pending\n"), "{table}");
    assert!(line(0).contains("70.00%*") && line(1).contains("75.00%*"), "best so far then: {table}");
    assert!(line(1).contains("1 of 3") && line(1).contains("a-long-h…me-4711"), "{table}");
    assert!(line(2).ends_with("the loss is \"NaN\", / sadly"), "{table}");
    assert!(line(3).contains(" 60.00% ") && line(3).ends_with("stopped after 1 of 4 epochs"), "{table}");
    assert!(line(4).ends_with("epoch 2 of 4: 75.00%"), "{table}");
    assert!(table.contains("uniform       70.00 ± 0.00% (trials: 1)\nbest so far*  75.00% by trial 1\n"), "{table}");
    assert!(!table.contains("winner"), "the search has not ended");
}

#[test]
fn json_has_what_the_table_has() {
    let json = listing().json();
    assert_eq!(json["standing"]["best"], json!({ "trial": 1, "objective": 0.75 }));
    assert_eq!(json["standing"]["winner"], Value::Null);
    let best: Vec<&Value> = json["trials"].as_array().unwrap().iter().map(|trial| &trial["best_so_far"]).collect();
    assert_eq!(best, [true, true, false, false, false, false]);
    assert_eq!(json["trials"][4]["epochs_planned"], 4);
    assert_eq!(json["trials"][4]["worker"], "a-long-host-name-4711");
}

/// Records of fields, as RFC 4180 has them.
fn parse_csv(text: &str) -> Vec<Vec<String>> {
    let (mut records, mut record, mut field, mut quoted) = (Vec::new(), Vec::new(), String::new(), false);
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '"' if quoted && characters.peek() == Some(&'"') => field.extend(characters.next()),
            '"' => quoted = !quoted,
            ',' if !quoted => record.push(std::mem::take(&mut field)),
            '\r' if !quoted && characters.peek() == Some(&'\n') => {
                characters.next();
                record.push(std::mem::take(&mut field));
                records.push(std::mem::take(&mut record));
            }
            other => field.push(other),
        }
    }
    assert!(field.is_empty() && record.is_empty(), "the last record ends as the others do");
    records
}

#[test]
fn csv_is_rectangular_and_keeps_every_character() {
    let records = parse_csv(&written(|listing, out| listing.write_csv(out)));
    assert_eq!(records.len(), 7);
    assert!(records.iter().all(|record| record.len() == records[0].len()), "{records:?}");
    let cell = |row: usize, name: &str| {
        let column = records[0].iter().position(|head| head == name).unwrap_or_else(|| panic!("no column {name}"));
        records[1 + row][column].as_str()
    };
    assert_eq!(cell(2, "reason"), "the loss is \"NaN\",\nsadly");
    assert_eq!((cell(1, "c2"), cell(1, "e1"), cell(1, "v3"), cell(1, "x0")), ("-0.8", "0.25", "0.125", "0.8"));
    assert_eq!((cell(0, "c1"), cell(0, "v4")), ("0", "1"), "the uniform sampler's");
    assert_eq!((cell(1, "accuracy_1"), cell(1, "accuracy_2"), cell(3, "accuracy_2")), ("0.7", "0.75", ""));
    assert_eq!(cell(1, "seed"), u64::MAX.to_string());
    assert!(serde_json::from_str::<Value>(cell(1, "sampler")).is_ok());
}

#[test]
fn an_optuna_journal_has_every_trial_in_its_state() {
    let journal = written(|listing, out| listing.write_optuna(out));
    let records: Vec<Value> = journal.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((&records[0]["op_code"], &records[0]["directions"]), (&json!(0), &json!([2])));
    let trials: Vec<&Value> = records.iter().filter(|record| record["op_code"] == 4).collect();
    let states: Vec<&Value> = trials.iter().map(|trial| &trial["state"]).collect();
    assert_eq!(states, [1, 1, 3, 2, 0, 4], "COMPLETE, COMPLETE, FAIL, PRUNED, RUNNING, WAITING");
    assert_eq!(trials[1]["params"]["c2"], -0.8);
    assert_eq!(trials[1]["datetime_start"], "1970-01-01T00:16:46.000000+00:00", "ended after 4 s");
    assert_eq!(trials[4]["intermediate_values"], json!({ "1": 0.7, "2": 0.75 }));
    assert!(trials[5]["datetime_start"].is_null() && trials[5].get("datetime_complete").is_none());
}
