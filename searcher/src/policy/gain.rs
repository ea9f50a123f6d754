//! Whether the sampler found is better than the uniform one by more than chance: what decides a hot swap.

use serde::{Deserialize, Serialize};
use swift_sampler::SamplerSpec;

use super::{Purpose, TrialRecord};
use crate::target::Metric;

/// Pairs of trials under one seed from which their differences alone tell the standard error. Two differences may agree
/// by chance.
const PAIRS_MIN: usize = 3;

/// The confirmed gain of a sampler over the uniform one, in shares of the objective.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Gain {
    /// Mean objective under the sampler minus under the uniform one.
    pub mean: f64,
    /// Standard error of that difference.
    pub standard_error: f64,
}

/// Whether a sampler is published.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "decision", rename_all = "snake_case")]
pub enum Verdict {
    /// The gain exceeds its standard error.
    Publish(Gain),
    /// It does not.
    WithinError(Gain),
    /// Too few trials succeeded to tell: at least one confirmation, one of the uniform sampler, and three of both.
    Unconfirmed,
}

impl Verdict {
    /// Returns the gain where there is one.
    #[must_use]
    pub fn gain(&self) -> Option<Gain> {
        match self {
            Self::Publish(gain) | Self::WithinError(gain) => Some(*gain),
            Self::Unconfirmed => None,
        }
    }
}

impl Gain {
    /// Returns the gain in an objective that is `metric`.
    #[must_use]
    pub fn text(&self, metric: Metric) -> String {
        let (mean, error, unit) = (100.0 * self.mean, 100.0 * self.standard_error, metric.points_of());
        match metric {
            Metric::Accuracy => format!("{mean:+.2} ± {error:.2} {unit}"),
            // Where perplexities are large, a point is much.
            Metric::Perplexity => format!("{mean:+.4} ± {error:.4} {unit}"),
        }
    }
}

impl Verdict {
    /// Returns the verdict on a sampler whose objective is `metric`.
    #[must_use]
    pub fn text(&self, metric: Metric) -> String {
        match self {
            Self::Publish(gain) => format!("its confirmed gain over uniform is {}", gain.text(metric)),
            Self::WithinError(gain) => {
                let gain = gain.text(metric);
                format!("its confirmed gain over uniform is {gain}: it does not exceed its standard error")
            }
            Self::Unconfirmed => {
                "too few trials confirm it (--finalists and --finalist-seeds set how many do)".to_owned()
            }
        }
    }
}

/// Judges the sampler that search trial `trial` found, by its confirmations under fresh seeds.
///
/// Where at least three of them share their seed with a trial of the uniform sampler, the differences of these pairs
/// tell gain and standard error. Elsewhere both sides' spreads are pooled: s² (1/a + 1/b) is the squared error of the
/// difference of means over a and b trials.
#[must_use]
pub fn verdict(records: &[TrialRecord], trial: u64) -> Verdict {
    let confirms = |record: &TrialRecord| {
        record.parameters.purpose == Purpose::Confirm && record.parameters.repeats == Some(trial)
    };
    let found = observations(records, confirms);
    // A trial from scratch and one from a checkpoint, or of more epochs, do not compare.
    let trained = |record: &TrialRecord| (record.parameters.epochs, record.parameters.start);
    let alike = records.iter().find(|record| confirms(record)).map(trained);
    let uniform = observations(records, |record| {
        matches!(record.parameters.sampler, SamplerSpec::Uniform {})
            && matches!(record.parameters.purpose, Purpose::Baseline | Purpose::Confirm)
            && Some(trained(record)) == alike
    });
    match paired(&found, &uniform).or_else(|| pooled(&found, &uniform)) {
        Some(gain) if gain.mean > gain.standard_error => Verdict::Publish(gain),
        Some(gain) => Verdict::WithinError(gain),
        None => Verdict::Unconfirmed,
    }
}

/// Seeds and objectives.
fn observations(records: &[TrialRecord], wanted: impl Fn(&TrialRecord) -> bool) -> Vec<(u64, f64)> {
    records
        .iter()
        .filter(|record| wanted(record))
        .filter_map(|record| record.objective().map(|objective| (record.parameters.seed, objective)))
        .collect()
}

fn paired(found: &[(u64, f64)], uniform: &[(u64, f64)]) -> Option<Gain> {
    let differences: Vec<f64> = found
        .iter()
        .filter_map(|(seed, objective)| {
            uniform.iter().find(|(other, _)| other == seed).map(|(_, baseline)| objective - baseline)
        })
        .collect();
    (differences.len() >= PAIRS_MIN).then(|| {
        let count = differences.len() as f64;
        let variance = squares(&differences) / (count - 1.0);
        Gain { mean: mean(&differences), standard_error: (variance / count).sqrt() }
    })
}

fn pooled(found: &[(u64, f64)], uniform: &[(u64, f64)]) -> Option<Gain> {
    if found.is_empty() || uniform.is_empty() || found.len() + uniform.len() < 3 {
        return None;
    }
    let values = |side: &[(u64, f64)]| side.iter().map(|(_, objective)| *objective).collect::<Vec<_>>();
    let (found, uniform) = (values(found), values(uniform));
    let (a, b) = (found.len() as f64, uniform.len() as f64);
    let variance = (squares(&found) + squares(&uniform)) / (a + b - 2.0);
    Some(Gain { mean: mean(&found) - mean(&uniform), standard_error: (variance * (1.0 / a + 1.0 / b)).sqrt() })
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// Sum of squared deviations from the mean.
fn squares(values: &[f64]) -> f64 {
    let centre = mean(values);
    values.iter().map(|value| (value - centre).powi(2)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::{TrialParameters, TrialStanding};

    fn record(purpose: Purpose, repeats: Option<u64>, seed: u64, objective: f64) -> TrialRecord {
        let sampler = if repeats.is_some() {
            SamplerSpec::Column { column: "any but uniform".to_owned() }
        } else {
            SamplerSpec::Uniform {}
        };
        let parameters = serde_json::json!({
            "purpose": purpose, "sampler": sampler, "point": [], "behaviour": [], "seed": seed, "repeats": repeats,
        });
        let parameters: TrialParameters = serde_json::from_value(parameters).unwrap();
        TrialRecord {
            number: seed,
            parameters,
            standing: TrialStanding::Succeeded(objective),
            accuracies: vec![objective],
        }
    }

    fn study(uniform: &[(u64, f64)], found: &[(u64, f64)]) -> Vec<TrialRecord> {
        let baselines = uniform.iter().map(|&(seed, y)| record(Purpose::Baseline, None, seed, y));
        baselines.chain(found.iter().map(|&(seed, y)| record(Purpose::Confirm, Some(7), seed, y))).collect()
    }

    #[test]
    fn a_gain_above_its_standard_error_is_published_and_one_within_is_not() {
        let uniform = [(1, 0.80), (2, 0.81), (3, 0.79)];
        let Verdict::Publish(gain) = verdict(&study(&uniform, &[(4, 0.84), (5, 0.85)]), 7) else {
            panic!("4.5 points are published")
        };
        // Pooled variance (2e-4 + 5e-5) / 3, times 1/2 + 1/3.
        assert!((gain.mean - 0.045).abs() < 1e-12 && (gain.standard_error - 0.008_333).abs() < 1e-6, "{gain:?}");
        let close = verdict(&study(&uniform, &[(4, 0.804), (5, 0.806)]), 7);
        assert!(matches!(close, Verdict::WithinError(gain) if gain.mean > 0.0), "{close:?}");
        assert!(matches!(verdict(&study(&uniform, &[(4, 0.70), (5, 0.71)]), 7), Verdict::WithinError(_)));
    }

    #[test]
    fn trials_under_one_seed_are_compared_in_pairs() {
        // Seeds differ by 10 points, samplers by 1: only pairs tell.
        let uniform = [(1, 0.60), (2, 0.70), (3, 0.80)];
        let found = [(1, 0.610), (2, 0.711), (3, 0.809)];
        let Verdict::Publish(gain) = verdict(&study(&uniform, &found), 7) else { panic!("pairs agree") };
        assert!((gain.mean - 0.01).abs() < 1e-12 && gain.standard_error < 0.001, "{gain:?}");
        let unpaired = [(4, 0.610), (5, 0.711), (6, 0.809)];
        assert!(matches!(verdict(&study(&uniform, &unpaired), 7), Verdict::WithinError(_)));
    }

    #[test]
    fn short_trials_of_the_uniform_sampler_are_no_measure_of_confirmations_from_scratch() {
        let mut records = study(&[(1, 0.80), (2, 0.81), (3, 0.79), (4, 0.88), (5, 0.89)], &[(4, 0.85), (5, 0.86)]);
        for record in &mut records[3..] {
            record.parameters.purpose = Purpose::Confirm;
            record.parameters.epochs = Some(20);
        }
        let verdict = verdict(&records, 7);
        assert!(matches!(verdict, Verdict::WithinError(gain) if (gain.mean + 0.03).abs() < 1e-12), "{verdict:?}");
    }

    #[test]
    fn without_confirmations_nothing_is_published() {
        assert_eq!(verdict(&study(&[(1, 0.8), (2, 0.8), (3, 0.8)], &[]), 7), Verdict::Unconfirmed);
        assert_eq!(verdict(&study(&[], &[(4, 0.9), (5, 0.9)]), 7), Verdict::Unconfirmed);
        assert_eq!(verdict(&study(&[(1, 0.8)], &[(4, 0.9)]), 7), Verdict::Unconfirmed);
        let others = verdict(&study(&[(1, 0.8), (2, 0.8)], &[(4, 0.9), (5, 0.9)]), 8);
        assert_eq!(others, Verdict::Unconfirmed, "another trial's confirmations are not this one's");
    }
}
