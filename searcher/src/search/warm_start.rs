//! What a study begins with: an earlier study's samplers, or, where it began before, what it began with.

use swift_sampler::SamplerSpec;
use swift_sampler_client::ClientError;
use swift_sampler_client::blocking::Client;

use super::SearchConfig;
use crate::error::SearcherError;
use crate::policy::{Design, Plan, Protocol, TrialRecord, WarmStart};
use crate::progress::Progress;
use crate::space::Space;
use crate::study::{StoredTrial, read_config};

/// Samplers that are taken from an earlier study.
const SAMPLERS_MAX: usize = 4;

/// Returns the plan with the best samplers of the earlier study it is to begin with.
///
/// A study that exists keeps those it began with, whatever became of the earlier one; one that began before there were
/// protocols keeps having none, which is said.
pub(super) fn plan(client: &Client, config: &SearchConfig, progress: &Progress) -> Result<Plan, SearcherError> {
    let begun = begun(client, config)?;
    let mut plan = config.plan.clone();
    if begun.as_ref().is_some_and(Plan::precedes_protocols) {
        progress.say(&format!(
            "study {} was begun by an older searcher: its trials go on with independent draws and unpaired finalists",
            config.study
        ));
        (plan.epochs, plan.design, plan.protocol) = (0, Design::default(), Protocol::default());
        return Ok(plan);
    }
    let Some(earlier) = &config.warm_start else { return Ok(plan) };
    let stored = begun.and_then(|begun| begun.protocol.warm_start).filter(|stored| stored.study == *earlier);
    plan.protocol.warm_start = Some(match stored {
        Some(stored) => stored,
        None => WarmStart { study: earlier.clone(), samplers: best_samplers(client, &plan.space, earlier)? },
    });
    Ok(plan)
}

fn begun(client: &Client, config: &SearchConfig) -> Result<Option<Plan>, SearcherError> {
    match client.get_study(&config.study) {
        Ok(study) => Ok(Some(read_config(&study)?.plan)),
        Err(ClientError::NotFound(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn best_samplers(client: &Client, space: &Space, study: &str) -> Result<Vec<SamplerSpec>, SearcherError> {
    let trials = StoredTrial::read_all(&client.list_trials(study)?)?;
    let records: Vec<TrialRecord> = trials.into_iter().map(|trial| trial.record).collect();
    let best = best_of(space, &records);
    if best.is_empty() {
        return Err(SearcherError::Config(format!(
            "--warm-start {study}: none of its samplers is in this study's space ({} segments over {})",
            space.segments,
            space.features.join(", ")
        )));
    }
    Ok(best)
}

/// The best distinct samplers of the space that have an objective, best first. A sampler that was tried again counts by the
/// mean of its confirmations, before all that were not.
fn best_of(space: &Space, records: &[TrialRecord]) -> Vec<SamplerSpec> {
    let mut ranked: Vec<(bool, f64, &SamplerSpec)> = records
        .iter()
        .filter(|record| record.parameters.purpose.is_search())
        .filter(|record| matches!(&record.parameters.sampler, SamplerSpec::Swift(spec) if space.point(spec).is_ok()))
        .filter_map(|record| {
            let again: Vec<f64> = records
                .iter()
                .filter(|other| {
                    other.parameters.purpose == crate::policy::Purpose::Confirm
                        && other.parameters.repeats == Some(record.number)
                })
                .filter_map(TrialRecord::objective)
                .collect();
            let confirmed = !again.is_empty();
            let objective =
                if confirmed { again.iter().sum::<f64>() / again.len() as f64 } else { record.objective()? };
            Some((confirmed, objective, &record.parameters.sampler))
        })
        .collect();
    ranked.sort_by(|a, b| b.0.cmp(&a.0).then(b.1.total_cmp(&a.1)));
    let mut best: Vec<SamplerSpec> = Vec::new();
    for (_, _, sampler) in ranked {
        if best.len() < SAMPLERS_MAX && !best.contains(sampler) {
            best.push(sampler.clone());
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::{Purpose, TrialParameters, TrialStanding};

    #[test]
    fn confirmed_samplers_come_first_by_their_fresh_objectives_and_others_after_them() {
        let space = Space { features: vec!["loss".into()], segments: 2, transform: Default::default() };
        let sampler = |knot: f64| space.sampler(&[1.0, knot, 1.0, 0.5, 0.0]).unwrap();
        let record = |number: u64, purpose: Purpose, knot: f64, repeats: Option<u64>, objective: f64| TrialRecord {
            number,
            parameters: TrialParameters { repeats, ..TrialParameters::new(purpose, sampler(knot), 0) },
            standing: TrialStanding::Succeeded(objective),
            accuracies: Vec::new(),
        };
        let mut records = vec![
            record(0, Purpose::Search, 0.1, None, 0.90),
            record(1, Purpose::Search, 0.2, None, 0.89),
            record(2, Purpose::Search, 0.3, None, 0.88),
            record(3, Purpose::Search, 0.3, None, 0.87),
            record(4, Purpose::Confirm, 0.2, Some(1), 0.84),
            record(5, Purpose::Confirm, 0.3, Some(2), 0.86),
        ];
        records[3].standing = TrialStanding::Failed;
        assert_eq!(best_of(&space, &records), [sampler(0.3), sampler(0.2), sampler(0.1)]);
        let other = Space { segments: 3, ..space };
        assert!(best_of(&other, &records).is_empty(), "samplers of another space are of no use");
    }
}
