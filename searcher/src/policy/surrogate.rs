//! The surrogate of a study's search trials.

use super::{OBSERVATIONS_MIN, Plan, PolicyError, TrialRecord, TrialStanding};
use crate::gp::GaussianProcess;
use crate::randomness::seed_for;

/// A fitted surrogate and the trials it knows.
pub(super) struct Surrogate {
    pub(super) gp: GaussianProcess,
    /// Finished trials.
    pub(super) observations: usize,
    /// Behaviours under way.
    pub(super) pending: Vec<Vec<f64>>,
    /// Finished trials' points in the cube, and behaviours.
    observed: Vec<(Vec<f64>, Vec<f64>)>,
}

impl Surrogate {
    /// Fits the surrogate to search trials; `None` while too few have ended.
    ///
    /// Objectives are floored at median - (best - median): below, they only say "bad". A few samplers under which training
    /// collapses would otherwise set the scale, and the differences between good ones vanish in the noise. An infeasible
    /// trial counts as half a standard deviation below the worst, then likewise. A failed trial is left out.
    pub(super) fn learn(plan: &Plan, records: &[TrialRecord], number: u64) -> Result<Option<Self>, PolicyError> {
        let search: Vec<&TrialRecord> = records.iter().filter(|r| r.parameters.purpose.is_search()).collect();
        let objectives: Vec<f64> = search.iter().filter_map(|record| record.objective()).collect();
        if objectives.len() < OBSERVATIONS_MIN {
            return Ok(None);
        }
        let imputed = below_the_worst(&objectives);
        let (mut behaviours, mut values, mut pending) = (Vec::new(), Vec::new(), Vec::new());
        let mut observed = Vec::new();
        for record in search {
            let value = match record.standing {
                TrialStanding::Succeeded(objective) => objective,
                TrialStanding::Infeasible => imputed,
                TrialStanding::Pending => {
                    pending.push(record.parameters.behaviour.clone());
                    continue;
                }
                TrialStanding::Failed => continue,
            };
            observed.push((record.parameters.point.clone(), record.parameters.behaviour.clone()));
            behaviours.push(record.parameters.behaviour.clone());
            values.push(value);
        }
        floor_low_objectives(&mut values);
        let gp = GaussianProcess::fit(&behaviours, &values, seed_for(plan.seed, number, "fit"))?;
        Ok(Some(Self { gp, observations: observed.len(), pending, observed }))
    }

    /// Returns the distinct observed points of the cube by posterior mean, best first.
    pub(super) fn incumbents(&self) -> Vec<Vec<f64>> {
        let mut ranked: Vec<(f64, &Vec<f64>)> =
            self.observed.iter().map(|(point, behaviour)| (self.gp.posterior(behaviour).mean, point)).collect();
        ranked.sort_by(|a, b| b.0.total_cmp(&a.0));
        ranked.dedup_by(|a, b| a.1 == b.1);
        ranked.into_iter().map(|(_, point)| point.clone()).collect()
    }
}

fn floor_low_objectives(values: &mut [f64]) {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let (median, best) = (sorted[sorted.len() / 2], sorted[sorted.len() - 1]);
    // When half of all are best there is no scale to go by, and nothing is floored.
    if best > median {
        let floor = median - (best - median);
        values.iter_mut().for_each(|value| *value = value.max(floor));
    }
}

fn below_the_worst(objectives: &[f64]) -> f64 {
    let count = objectives.len() as f64;
    let mean = objectives.iter().sum::<f64>() / count;
    let sd = (objectives.iter().map(|y| (y - mean).powi(2)).sum::<f64>() / (count - 1.0)).sqrt();
    objectives.iter().copied().fold(f64::INFINITY, f64::min) - 0.5 * sd.max(f64::EPSILON)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_collapsed_trial_does_not_set_the_scale() {
        let mut values = [0.79, 0.80, 0.81, 0.82, 0.83, 0.44];
        floor_low_objectives(&mut values);
        assert!((values[5] - 0.79).abs() < 1e-9, "{values:?}");
        assert!((values[0] - 0.79).abs() < 1e-9 && (values[4] - 0.83).abs() < 1e-9, "{values:?}");
        let mut equal = [0.8, 0.8, 0.1];
        floor_low_objectives(&mut equal);
        assert!((equal[2] - 0.1).abs() < 1e-9);
    }
}
