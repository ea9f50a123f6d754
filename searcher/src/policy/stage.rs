//! What follows the search: recommendation, confirmation, retraining.

use super::protocol::exact_labels;
use super::surrogate;
use super::{Plan, PolicyError, Proposal, Purpose, TrialParameters, TrialRecord, TrialStanding, uniform};
use crate::behaviour::Behaviour;
use crate::randomness::seed_for;

/// The sampler a study recommends.
#[derive(Debug, Clone, PartialEq)]
pub struct Winner {
    /// The search trial that found it.
    pub trial: u64,
    /// Mean objective under fresh seeds; without finalists, the posterior mean.
    pub objective: f64,
}

/// How a study stands after its search.
#[derive(Debug, Clone, PartialEq)]
pub struct Standing {
    /// Mean objective of the uniform sampler: of its trials beside the finalists where it has such, else of those of the
    /// search; `None` if none succeeded.
    pub baseline: Option<f64>,
    /// The winner, once every finalist's trials have ended; `None` before.
    pub winner: Option<Winner>,
}

/// Returns how a study stands.
///
/// # Errors
/// [`PolicyError::NothingSucceeded`] when the search ended without a success.
pub fn standing(plan: &Plan, records: &[TrialRecord]) -> Result<Standing, PolicyError> {
    let baselines = if plan.protocol.paired_uniform && confirmations_of(plan, plan.finalists) > 0 {
        objectives(records, is_uniform_confirmation)
    } else {
        objectives(records, |record| record.parameters.purpose == Purpose::Baseline)
    };
    let searched = search_trials(records);
    let ended = searched.len() >= plan.trials && !searched.iter().any(|r| r.standing == TrialStanding::Pending);
    let winner = if ended { winner(plan, records)? } else { None };
    Ok(Standing { baseline: mean(&baselines), winner })
}

/// Proposes what follows once all search trials are added.
pub(super) fn after_search(
    plan: &Plan,
    behaviour: &Behaviour,
    records: &[TrialRecord],
    number: u64,
) -> Result<Proposal, PolicyError> {
    if search_trials(records).iter().any(|record| record.standing == TrialStanding::Pending) {
        return Ok(Proposal::Wait);
    }
    let confirmations = records.iter().filter(|r| r.parameters.purpose == Purpose::Confirm).count();
    let finalists = finalists(plan, records)?;
    if confirmations < confirmations_of(plan, finalists.len()) {
        return Ok(Proposal::Add(Box::new(confirmation(plan, behaviour, &finalists, confirmations, number))));
    }
    let Some(winner) = winner(plan, records)? else { return Ok(Proposal::Wait) };
    let retrained = records.iter().filter(|r| r.parameters.purpose == Purpose::Retrain).count();
    let samplers = plan.retrained_samplers();
    if retrained < samplers * plan.retrain_seeds {
        // All samplers are retrained under the same seeds, so that their difference is not the seeds'.
        let seed = seed_for(plan.seed, (retrained / samplers) as u64, "retraining");
        let parameters = match retrained % samplers {
            0 => uniform(plan, behaviour, Purpose::Retrain, seed),
            1 => {
                let found = records.iter().find(|record| record.number == winner.trial);
                repeat(found.expect("the winner is one of the records"), Purpose::Retrain, seed)
            }
            _ => TrialParameters::new(Purpose::Retrain, exact_labels(), seed),
        };
        return Ok(Proposal::Add(Box::new(parameters)));
    }
    let checked = retrained - samplers * plan.retrain_seeds;
    if let Some(record) = rank_checked(plan, records, winner.trial).get(checked) {
        let seed = seed_for(plan.seed, 0, "rank check");
        return Ok(Proposal::Add(Box::new(repeat(record, Purpose::Retrain, seed))));
    }
    let pending = records.iter().any(|record| record.standing == TrialStanding::Pending);
    Ok(if pending { Proposal::Wait } else { Proposal::Finished })
}

/// The trial number `index` of the confirmation. It goes round the samplers, one seed of each and then the next of each, so
/// that an early end is fair to all.
fn confirmation(
    plan: &Plan,
    behaviour: &Behaviour,
    finalists: &[(&TrialRecord, f64)],
    index: usize,
    number: u64,
) -> TrialParameters {
    let protocol = &plan.protocol;
    let samplers = finalists.len() + usize::from(protocol.paired_uniform);
    let seed = if protocol.paired_uniform {
        seed_for(plan.seed, (index / samplers) as u64, "confirmation")
    } else {
        seed_for(plan.seed, number, "training")
    };
    let trial = match finalists.get(index % samplers) {
        Some((finalist, _)) => repeat(finalist, Purpose::Confirm, seed),
        None => uniform(plan, behaviour, Purpose::Confirm, seed),
    };
    let (epochs, start) = (protocol.confirmation.map(|how| how.epochs), protocol.confirmation.map(|how| how.start));
    TrialParameters { mode: protocol.draws, epochs, start, ..trial }
}

/// The trials whose samplers check the ranking: evenly spaced by objective from the worst to the best of those that
/// finished, the uniform sampler and the winner left out.
fn rank_checked<'a>(plan: &Plan, records: &'a [TrialRecord], winner: u64) -> Vec<&'a TrialRecord> {
    let mut ranked: Vec<(f64, &TrialRecord)> = search_trials(records)
        .into_iter()
        .filter(|record| record.parameters.purpose != Purpose::Baseline && record.number != winner)
        .filter_map(|record| Some((record.objective()?, record)))
        .collect();
    ranked.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.number.cmp(&b.1.number)));
    let wanted = plan.protocol.rank_check.min(ranked.len());
    (0..wanted).map(|index| ranked[index * (ranked.len() - 1) / (wanted - 1).max(1)].1).collect()
}

pub(super) fn confirmations_of(plan: &Plan, finalists: usize) -> usize {
    if plan.finalists == 0 { 0 } else { (finalists + usize::from(plan.protocol.paired_uniform)) * plan.finalist_seeds }
}

fn is_uniform_confirmation(record: &TrialRecord) -> bool {
    record.parameters.purpose == Purpose::Confirm && record.parameters.repeats.is_none()
}

/// The best search trials by posterior mean, the uniform sampler left out, with that mean.
fn finalists<'a>(plan: &Plan, records: &'a [TrialRecord]) -> Result<Vec<(&'a TrialRecord, f64)>, PolicyError> {
    let searched = search_trials(records);
    let succeeded: Vec<&TrialRecord> = searched
        .iter()
        .copied()
        .filter(|record| record.parameters.purpose != Purpose::Baseline && record.objective().is_some())
        .collect();
    if succeeded.is_empty() {
        return Err(PolicyError::NothingSucceeded(searched.len()));
    }
    let surrogate = surrogate::learn(plan, records, plan.trials as u64)?;
    let mut ranked: Vec<(&TrialRecord, f64)> = succeeded
        .into_iter()
        .map(|record| {
            let observed = record.objective().expect("only successes were kept");
            // With too few observations for a surrogate, an objective speaks for itself.
            (record, surrogate.as_ref().map_or(observed, |s| s.gp.posterior(&record.parameters.behaviour).mean))
        })
        .collect();
    ranked.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.number.cmp(&b.0.number)));
    ranked.dedup_by(|a, b| a.0.parameters.point == b.0.parameters.point);
    ranked.truncate(plan.finalists.max(1));
    Ok(ranked)
}

/// The finalist of best mean under fresh seeds; `None` while confirmations are missing.
fn winner(plan: &Plan, records: &[TrialRecord]) -> Result<Option<Winner>, PolicyError> {
    let finalists = finalists(plan, records)?;
    let confirmations: Vec<&TrialRecord> =
        records.iter().filter(|record| record.parameters.purpose == Purpose::Confirm).collect();
    if confirmations.len() < confirmations_of(plan, finalists.len())
        || confirmations.iter().any(|r| r.standing == TrialStanding::Pending)
    {
        return Ok(None);
    }
    let best = finalists
        .iter()
        .filter_map(|(finalist, _)| {
            let fresh = objectives(records, |record| {
                record.parameters.purpose == Purpose::Confirm && record.parameters.repeats == Some(finalist.number)
            });
            mean(&fresh).map(|objective| Winner { trial: finalist.number, objective })
        })
        // On a tie the better posterior mean, which comes first, stays.
        .reduce(|best, next| if next.objective > best.objective { next } else { best });
    let (first, posterior_mean) = finalists[0];
    Ok(Some(best.unwrap_or(Winner { trial: first.number, objective: posterior_mean })))
}

fn repeat(record: &TrialRecord, purpose: Purpose, seed: u64) -> TrialParameters {
    let TrialParameters { sampler, point, behaviour, .. } = record.parameters.clone();
    let repeats = Some(record.number);
    TrialParameters { point, behaviour, repeats, ..TrialParameters::new(purpose, sampler, seed) }
}

fn search_trials(records: &[TrialRecord]) -> Vec<&TrialRecord> {
    records.iter().filter(|record| record.parameters.purpose.is_search()).collect()
}

fn objectives(records: &[TrialRecord], of: impl Fn(&TrialRecord) -> bool) -> Vec<f64> {
    records.iter().filter(|record| of(record)).filter_map(TrialRecord::objective).collect()
}

fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}
