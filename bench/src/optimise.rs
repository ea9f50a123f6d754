//! Our optimiser, asked for points over a pipe: JSON lines, the protocol that all optimisers of `bench/search` speak.
//!
//! The first line says what is searched: `{"dimension":10,"budget":100,"seed":3,"domain":"cube"}`, or `"sampler"` for the
//! samplers of the simulator's examples with that seed, whose features the optimiser may look at. It is answered with the
//! first point, `{"point":[…],"ms":1.9}`, and every `{"value":0.83}`, which is to be maximised, with the next.
//! `{"recommend":true}` is answered `{"index":17}`: the evaluation that is recommended, counted from 0. The input's end
//! ends the program.

use std::io::{BufRead, Write};
use std::time::Instant;

use anyhow::{Context, bail, ensure};
use serde::Deserialize;
use serde_json::{Value, json};
use swift_sampler_searcher::behaviour::Behaviour;
use swift_sampler_searcher::landscape::Landscape;
use swift_sampler_searcher::optimiser::{self, Domain, Method, Observation, Options};
use swift_sampler_searcher::policy::Samplers;
use swift_sampler_searcher::space::Cube;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Task {
    dimension: usize,
    budget: usize,
    seed: u64,
    domain: DomainName,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum DomainName {
    Cube,
    Sampler,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Request {
    Value(f64),
    Recommend(bool),
}

/// Answers requests until their end.
///
/// # Errors
/// When a line is not a request, or a pipe breaks.
pub fn answer(mut requests: impl BufRead, answers: impl Write) -> anyhow::Result<()> {
    let mut line = String::new();
    if requests.read_line(&mut line)? == 0 {
        bail!(
            "the first line should say what is searched: {{\"dimension\":10,\"budget\":100,\"seed\":3,\"domain\":\"cube\"}}"
        );
    }
    let task: Task = serde_json::from_str(&line).with_context(|| format!("line 1 is {line:?}"))?;
    match task.domain {
        DomainName::Cube => {
            ensure!((1..=256).contains(&task.dimension), "dimension is {}: 1 to 256", task.dimension);
            let cube = Cube { dimension: task.dimension, ascending: 0..0 };
            Dialogue::new(&task, Method::CUBE, &cube).run(requests, answers)
        }
        DomainName::Sampler => {
            let landscape = Landscape::new(task.seed);
            let space = landscape.space();
            let found = space.cube().dimension;
            ensure!(task.dimension == found, "dimension is {}: a sampler has {found} parameters", task.dimension);
            let behaviour = Behaviour::new(landscape.table().clone(), &space.features, Some("grad_norm"))?;
            Dialogue::new(&task, Method::SAMPLERS, &Samplers { space, behaviour: &behaviour }).run(requests, answers)
        }
    }
}

struct Dialogue<'a> {
    options: Options,
    seed: u64,
    domain: &'a dyn Domain,
    observations: Vec<Observation>,
}

impl<'a> Dialogue<'a> {
    fn new(task: &Task, method: Method, domain: &'a dyn Domain) -> Self {
        let options = Options::for_budget(method, task.budget);
        Self { options, seed: task.seed, domain, observations: Vec::new() }
    }

    fn run(mut self, requests: impl BufRead, mut answers: impl Write) -> anyhow::Result<()> {
        let mut say = |answer: Value| -> anyhow::Result<()> {
            writeln!(answers, "{answer}")?;
            Ok(answers.flush()?)
        };
        let (mut asked, answer) = self.suggest()?;
        say(answer)?;
        for (number, line) in requests.lines().enumerate() {
            let line = line?;
            match serde_json::from_str(&line).with_context(|| format!("line {} is {line:?}", number + 2))? {
                Request::Value(value) => {
                    let coordinates = self.domain.place(&asked).expect("only accepted points are suggested");
                    self.observations.push(Observation { point: asked, coordinates, value: Some(value) });
                    let answer;
                    (asked, answer) = self.suggest()?;
                    say(answer)?;
                }
                Request::Recommend(wanted) => {
                    ensure!(wanted, "line {}: \"recommend\" is true or left out", number + 2);
                    let index = optimiser::recommend(&self.options, &self.observations, self.seed)?;
                    say(json!({ "index": index }))?;
                }
            }
        }
        Ok(())
    }

    fn suggest(&self) -> anyhow::Result<(Vec<f64>, Value)> {
        let started = Instant::now();
        let number = self.observations.len() as u64;
        let point = optimiser::suggest(&self.options, self.domain, &self.observations, &[], self.seed, number)?;
        let answer = json!({ "point": point, "ms": 1e3 * started.elapsed().as_secs_f64() });
        Ok((point, answer))
    }
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
    fn every_value_is_answered_with_a_point_and_the_best_is_recommended() {
        for (domain, dimension) in [("cube", 2), ("sampler", 10)] {
            let mut requests =
                format!("{{\"dimension\":{dimension},\"budget\":12,\"seed\":1,\"domain\":\"{domain}\"}}\n");
            for value in [0.1, 0.1, 0.9, 0.1, 0.1, 0.1] {
                requests += &format!("{{\"value\":{value}}}\n");
            }
            let answers = dialogue(&(requests + "{\"recommend\":true}\n")).unwrap();
            assert_eq!(answers.len(), 8, "{answers:?}");
            for answer in &answers[..7] {
                let point: Vec<f64> = serde_json::from_value(answer["point"].clone()).unwrap();
                assert!(point.len() == dimension && point.iter().all(|x| (0.0..=1.0).contains(x)), "{answer}");
                assert!(answer["ms"].as_f64().unwrap() > 0.0);
            }
            assert_eq!(answers[7], json!({ "index": 2 }));
        }
    }

    #[test]
    fn what_is_not_a_request_is_refused_with_its_line() {
        assert!(dialogue("").is_err());
        let task = "{\"dimension\":2,\"budget\":12,\"seed\":1,\"domain\":\"cube\"}\n";
        let error = dialogue(&format!("{task}{{\"value\":\"x\"}}\n")).unwrap_err();
        assert!(error.to_string().contains("line 2"), "{error}");
        let error = dialogue("{\"dimension\":3,\"budget\":12,\"seed\":1,\"domain\":\"sampler\"}\n").unwrap_err();
        assert!(error.to_string().contains("10 parameters"), "{error}");
    }
}
