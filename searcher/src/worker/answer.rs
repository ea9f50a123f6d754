//! What a trial's command says it came to: the last line of its standard output that is a JSON object.

use serde_json::Value;

/// How a command judged its trial.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Answer {
    /// It was trained.
    Objective {
        /// To be maximised.
        objective: f64,
        /// Accuracy on the test set, where the command has one.
        test_accuracy: Option<f64>,
    },
    /// It cannot have an objective, for this reason.
    Infeasible(String),
}

/// Returns the JSON object that a line is; numbers that JSON has not, as some writers write them, are null.
pub(super) fn object(line: &str) -> Option<Value> {
    let line = line.trim();
    if !(line.starts_with('{') && line.ends_with('}')) {
        return None;
    }
    let finite = || line.replace("-Infinity", "null").replace("Infinity", "null").replace("NaN", "null");
    serde_json::from_str(line).or_else(|_not_json| serde_json::from_str(&finite())).ok()
}

/// Reads an answer.
pub(super) fn read(object: &Value) -> Result<Answer, String> {
    let usage = r#"print {"objective": 0.83} or {"infeasible": "reason"} as the last line of JSON"#;
    if let Some(reason) = object.get("infeasible") {
        return Ok(Answer::Infeasible(reason.as_str().map_or_else(|| reason.to_string(), str::to_owned)));
    }
    match object.get("objective") {
        None => Err(format!("its last line of JSON, {object}, has no objective: {usage}")),
        Some(Value::Null) => Ok(Answer::Infeasible("the objective is not a finite number".to_owned())),
        Some(objective) => match objective.as_f64() {
            Some(objective) => {
                Ok(Answer::Objective { objective, test_accuracy: object.get("test_accuracy").and_then(Value::as_f64) })
            }
            None => Err(format!("its objective is {objective}, which is no number: {usage}")),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(line: &str) -> Result<Answer, String> {
        read(&object(line).expect("a JSON object"))
    }

    #[test]
    fn an_answer_is_an_objective_or_a_reason() {
        let objective = Answer::Objective { objective: 0.83, test_accuracy: None };
        assert_eq!(answer(r#" {"objective": 0.83} "#), Ok(objective));
        let tested = Answer::Objective { objective: 1.0, test_accuracy: Some(0.5) };
        assert_eq!(answer(r#"{"objective": 1, "test_accuracy": 0.5}"#), Ok(tested));
        assert_eq!(answer(r#"{"infeasible": "too few"}"#), Ok(Answer::Infeasible("too few".to_owned())));
    }

    #[test]
    fn an_objective_that_is_not_finite_is_infeasible() {
        for line in [r#"{"objective": NaN}"#, r#"{"objective": -Infinity}"#, r#"{"objective": null}"#] {
            assert!(matches!(answer(line), Ok(Answer::Infeasible(_))), "{line}");
        }
    }

    #[test]
    fn what_is_no_answer_says_what_would_be() {
        assert_eq!(object("epoch 1: 0.83"), None);
        assert_eq!(object(r#"{"objective": 0.83"#), None);
        assert!(answer(r#"{"loss": 1}"#).unwrap_err().contains("has no objective"));
        assert!(answer(r#"{"objective": "high"}"#).unwrap_err().contains("which is no number"));
    }
}
