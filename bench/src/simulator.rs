//! The sampler simulator over a pipe: JSON lines, for drivers in other languages.
//!
//! `{"seed":3}` comes first and chooses the examples; it is answered `{"best":0.853,"uniform":0.792}`, the best accuracy a
//! long search knows and the uniform sampler's. Then every `{"point":[…]}` of ten numbers in [0, 1], laid out as
//! [`swift_sampler_searcher::space::Space`] says, is answered `{"value":0.83,"effective":0.44}`: the exact accuracy,
//! without noise, and the effective sample size relative to the number of examples.

use std::io::{BufRead, Write};

use anyhow::{Context, bail, ensure};
use serde::Deserialize;
use serde_json::{Value, json};
use swift_sampler::SamplerSpec;
use swift_sampler_searcher::landscape::Landscape;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Begin {
    seed: u64,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Evaluate {
    point: Vec<f64>,
}

/// Answers requests until their end.
///
/// # Errors
/// When a line is not a request, or a pipe breaks.
pub fn answer(mut requests: impl BufRead, mut answers: impl Write) -> anyhow::Result<()> {
    let mut say = |answer: Value| -> anyhow::Result<()> {
        writeln!(answers, "{answer}")?;
        Ok(answers.flush()?)
    };
    let mut line = String::new();
    if requests.read_line(&mut line)? == 0 {
        bail!("the first line should choose the examples: {{\"seed\":3}}");
    }
    let Begin { seed } = serde_json::from_str(&line).with_context(|| format!("line 1 is {line:?}"))?;
    let landscape = Landscape::new(seed);
    let dimension = landscape.space().cube().dimension;
    let uniform = landscape.of_sampler(&SamplerSpec::Uniform {}).accuracy;
    say(json!({ "best": landscape.best(), "uniform": uniform }))?;
    for (number, line) in requests.lines().enumerate() {
        let (line, number) = (line?, number + 2);
        let Evaluate { point } = serde_json::from_str(&line).with_context(|| format!("line {number} is {line:?}"))?;
        let is_inside = point.len() == dimension && point.iter().all(|x| (0.0..=1.0).contains(x));
        ensure!(is_inside, "line {number}: a point has {dimension} numbers in [0, 1]");
        let outcome = landscape.at(&point);
        say(json!({ "value": outcome.accuracy, "effective": outcome.size }))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dialogue(requests: &str) -> anyhow::Result<Vec<Value>> {
        let mut answers = Vec::new();
        answer(requests.as_bytes(), &mut answers)?;
        Ok(String::from_utf8(answers)?.lines().map(|line| serde_json::from_str(line).unwrap()).collect())
    }

    #[test]
    fn points_are_evaluated_exactly_and_lie_between_chance_and_the_best() {
        let uniform = "{\"point\":[0.5,0.9,0.25,0.5,0.75,0.5,0.5,0.5,0.5,0.5]}\n";
        let easy = "{\"point\":[1.0,0.5,0.3,0.5,0.6,1.0,1.0,0.8,0.0,0.0]}\n";
        let answers = dialogue(&format!("{{\"seed\":3}}\n{uniform}{easy}{uniform}")).unwrap();
        let value = |index: usize| answers[index]["value"].as_f64().unwrap();
        assert!((value(1) - answers[0]["uniform"].as_f64().unwrap()).abs() < 1e-9, "{answers:?}");
        assert!(value(2) > value(1) && value(2) <= answers[0]["best"].as_f64().unwrap(), "{answers:?}");
        assert_eq!(answers[1], answers[3]);
    }

    #[test]
    fn a_point_outside_the_cube_is_refused_with_its_line() {
        let error = dialogue("{\"seed\":3}\n{\"point\":[2.0]}\n").unwrap_err();
        assert!(error.to_string().contains("line 2"), "{error}");
    }
}
