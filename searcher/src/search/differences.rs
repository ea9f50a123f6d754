//! Where two configs differ, said so that a person can act on it.

use serde_json::Value;

use crate::study::StudyConfig;

/// Returns the first difference as "FIELD is OLD there and NEW here"; `None` if there is none.
pub(super) fn first(stored: &StudyConfig, wanted: &StudyConfig) -> Option<String> {
    let value = |config| serde_json::to_value(config).expect("a config is plain data");
    difference(&value(stored), &value(wanted), "")
}

fn difference(stored: &Value, wanted: &Value, path: &str) -> Option<String> {
    match (stored, wanted) {
        (Value::Object(a), Value::Object(b)) => {
            let names = a.keys().chain(b.keys().filter(|name| !a.contains_key(*name)));
            names
                .filter_map(|name| {
                    let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                    difference(a.get(name).unwrap_or(&Value::Null), b.get(name).unwrap_or(&Value::Null), &path)
                })
                .next()
        }
        (a, b) if a == b => None,
        (a, b) => Some(format!("{path} is {a} there and {b} here")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_first_difference_is_named_by_its_path() {
        let (a, b) = (json!({"plan": {"seed": 0, "trials": 40}}), json!({"plan": {"seed": 1, "trials": 40}}));
        assert_eq!(difference(&a, &b, "").unwrap(), "plan.seed is 0 there and 1 here");
        assert_eq!(difference(&a, &a, ""), None);
    }
}
