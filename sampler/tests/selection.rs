//! Proposals are drawn without replacement by their weights, and always the same ones.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::collections::BTreeMap;

use statrs::distribution::{ChiSquared, ContinuousCDF};
use swift_sampler::{
    Dataset, Engine, FeatureTable, JobParameters, Proposals, ProposalsError, Sampler, SamplerSpec, Seed, Selection,
    SelectionError,
};

const WEIGHTS: [f64; 6] = [0.05, 0.9, 0.0, 0.4, 0.3, 1.0];
/// Chance that a test of a right implementation fails; seeds are fixed, so none does.
const ALPHA: f64 = 1e-4;
const STEPS: u64 = 200_000;

fn selection(keep: usize) -> Selection {
    Selection { seed: Seed(11), step: 0, rank: 0, keep, fill: false }
}

/// The probability of each ordered outcome of drawing `keep` one after another, by enumeration.
fn successive(weights: &[f64], keep: usize) -> BTreeMap<Vec<u32>, f64> {
    let mut outcomes = BTreeMap::from([(Vec::new(), 1.0)]);
    for _ in 0..keep {
        let mut longer = BTreeMap::new();
        for (drawn, probability) in outcomes {
            let is_left = |position: &u32| !drawn.contains(position);
            let left: Vec<u32> = (0..).take(weights.len()).filter(is_left).collect();
            let total: f64 = left.iter().map(|&position| weights[position as usize]).sum();
            for position in left.into_iter().filter(|&position| weights[position as usize] > 0.0) {
                let next = [drawn.clone(), vec![position]].concat();
                longer.insert(next, probability * weights[position as usize] / total);
            }
        }
        outcomes = longer;
    }
    outcomes
}

fn assert_fits(expected: &[f64], observed: &[u64], trials: u64) {
    let statistic: f64 =
        expected.iter().zip(observed).map(|(p, &o)| (o as f64 - p * trials as f64).powi(2) / (p * trials as f64)).sum();
    let limit = ChiSquared::new((expected.len() - 1) as f64).unwrap().inverse_cdf(1.0 - ALPHA);
    assert!(statistic < limit, "chi squared {statistic} of at most {limit}");
}

#[test]
fn every_ordered_outcome_comes_as_often_as_successive_draws_say() {
    for keep in [1, 2, 3] {
        let exact = successive(&WEIGHTS, keep);
        assert!((exact.values().sum::<f64>() - 1.0).abs() < 1e-12);
        let mut seen: BTreeMap<Vec<u32>, u64> = BTreeMap::new();
        for step in 0..STEPS {
            let positions = Selection { step, ..selection(keep) }.positions(&WEIGHTS).unwrap();
            *seen.entry(positions).or_default() += 1;
        }
        assert!(seen.keys().all(|outcome| exact.contains_key(outcome)), "nothing of weight 0 is drawn");
        let observed: Vec<u64> = exact.keys().map(|outcome| seen.get(outcome).copied().unwrap_or(0)).collect();
        assert_fits(&exact.values().copied().collect::<Vec<_>>(), &observed, STEPS);
    }
}

#[test]
fn each_is_kept_with_its_inclusion_probability_whoever_selects() {
    let keep = 3;
    let mut inclusion = [0.0; WEIGHTS.len()];
    for (outcome, probability) in successive(&WEIGHTS, keep) {
        outcome.iter().for_each(|&position| inclusion[position as usize] += probability);
    }
    for rank in [0, 1, (1 << 30) - 1] {
        let mut kept = [0u64; WEIGHTS.len()];
        for step in 0..STEPS {
            let positions = Selection { step, rank, ..selection(keep) }.positions(&WEIGHTS).unwrap();
            positions.iter().for_each(|&position| kept[position as usize] += 1);
        }
        for (position, (&p, &kept)) in inclusion.iter().zip(&kept).enumerate() {
            let share = kept as f64 / STEPS as f64;
            // Five standard deviations.
            let tolerance = 5.0 * (p * (1.0 - p) / STEPS as f64).sqrt();
            assert!((share - p).abs() <= tolerance, "rank {rank}, position {position}: {share} where {p} is right");
        }
    }
}

#[test]
fn ranks_and_steps_and_seeds_select_independently_and_repeat_themselves() {
    let weights = vec![1.0; 200];
    let of =
        |seed, step, rank| Selection { seed: Seed(seed), step, rank, ..selection(100) }.positions(&weights).unwrap();
    let first = of(1, 5, 0);
    assert_eq!(of(1, 5, 0), first);
    for other in [of(2, 5, 0), of(1, 6, 0), of(1, 5 + (1 << 32), 0), of(1, 5, 1)] {
        let common = other.iter().filter(|position| first.contains(position)).count();
        // Hypergeometric: mean 50, standard deviation 3.5.
        assert!((30..=70).contains(&common), "{common} of 100 in common");
    }
}

/// These never change: a job that resumes selects what it selected.
#[test]
fn selections_are_frozen() {
    let weights: Vec<f64> = (0..16).map(|row| f64::from(row * 7 % 16) / 16.0).collect();
    let frozen = Selection { seed: Seed(0x0123_4567_89ab_cdef), step: 1 << 33, rank: 3, keep: 8, fill: false };
    assert_eq!(frozen.positions(&weights).unwrap(), FROZEN);
    let all = Selection { keep: 16, fill: true, ..frozen }.positions(&weights).unwrap();
    assert_eq!((&all[..8], all[15]), (&FROZEN[..], 0), "the only one of weight 0 comes last");
}

const FROZEN: [u32; 8] = [6, 5, 1, 13, 2, 15, 11, 4];

#[test]
fn too_few_that_may_be_drawn_are_refused_with_counts_unless_they_are_filled_up() {
    let weights = [0.0, 0.5, 0.0, 0.25, 0.0];
    let refused = selection(3).positions(&weights).unwrap_err();
    assert_eq!(refused, SelectionError::TooFewPositive { positive: 2, proposals: 5, keep: 3 });
    let mut fillers = [0u64; 5];
    for step in 0..30_000 {
        let positions = Selection { step, fill: true, ..selection(3) }.positions(&weights).unwrap();
        assert!(positions[..2].iter().all(|position| [1, 3].contains(position)), "first those of positive weight");
        fillers[positions[2] as usize] += 1;
    }
    assert_fits(&[1.0 / 3.0; 3], &[fillers[0], fillers[2], fillers[4]], 30_000);
    assert_eq!(selection(2).positions(&weights).unwrap().len(), 2);
    for keep in [0, 6] {
        let refused = Selection { fill: true, ..selection(keep) }.positions(&weights).unwrap_err();
        assert_eq!(refused, SelectionError::Keep { keep, proposals: 5 });
    }
    let rank = 1 << 30;
    assert_eq!(Selection { rank, ..selection(1) }.positions(&weights).unwrap_err(), SelectionError::Rank { rank });
}

fn dataset() -> Dataset {
    let column = |name: &str, multiplier: u32| {
        (name.to_owned(), (0..500u32).map(|row| f64::from(row * multiplier % 499) / 499.0).collect())
    };
    let columns = vec![column("loss", 31), column("entropy", 101), column("grad_norm", 7), column("w", 13)];
    let features = vec!["loss".into(), "entropy".into()];
    Dataset::new(FeatureTable::new(columns).unwrap(), features, Some("grad_norm".into())).unwrap()
}

fn sampler(spec: &str) -> Sampler {
    Sampler::build(&serde_json::from_str(spec).unwrap(), &dataset()).unwrap()
}

const SWIFT: &str = r#"{"kind":"swift","features":["entropy","loss"],"coefficients":[0.3,0.8],
    "knots":[0.2,0.5,0.7],"values":[1,0.8,0.3,0,0]}"#;

fn proposals(columns: &[(&str, &[f64])]) -> Proposals {
    Proposals::new(columns.iter().map(|(name, values)| ((*name).to_owned(), values.to_vec())).collect()).unwrap()
}

#[test]
fn an_example_of_the_dataset_weighs_as_a_proposal_what_it_weighs_there() {
    let (sampler, dataset) = (sampler(SWIFT), dataset());
    let column = |name| dataset.table().column(name).unwrap();
    let weights =
        sampler.weigh(&proposals(&[("unused", column("w")), ("loss", column("loss")), ("entropy", column("entropy"))]));
    let weights = weights.unwrap();
    let total: f64 = weights.iter().sum();
    for (weight, probability) in weights.iter().zip(sampler.probabilities()) {
        assert!((weight / total - probability).abs() < 1e-9, "{weight} of {total} and {probability}");
    }
    // Beyond the tables' ends, features count as the largest and the smallest.
    let ends = sampler.weigh(&proposals(&[("loss", &[-9.0, 9.0]), ("entropy", &[-9.0, 9.0])])).unwrap();
    assert!(ends[0] > 1.0 - 1e-12 && ends[1] == 0.0, "{ends:?}");
}

#[test]
fn the_uniform_sampler_weighs_all_alike_and_a_column_of_weights_none() {
    let some = proposals(&[("loss", &[0.5, 0.1])]);
    assert_eq!(sampler(r#"{"kind":"uniform"}"#).weigh(&some).unwrap(), [1.0, 1.0]);
    let refused = sampler(r#"{"kind":"column","column":"w"}"#).weigh(&some).unwrap_err();
    assert_eq!(refused, SelectionError::ColumnOfWeights);
    let refused = sampler(SWIFT).weigh(&some).unwrap_err();
    let expected = SelectionError::MissingFeature { feature: "entropy".into(), available: "loss".into() };
    assert_eq!(refused, expected);
}

#[test]
fn columns_that_are_no_proposals_are_refused_by_name_and_row() {
    let columns = |columns: &[(&str, &[f64])]| {
        Proposals::new(columns.iter().map(|(name, values)| ((*name).to_owned(), values.to_vec())).collect())
    };
    assert_eq!(columns(&[]).unwrap_err(), ProposalsError::Empty);
    assert_eq!(columns(&[("loss", &[])]).unwrap_err(), ProposalsError::Empty);
    let repeated = columns(&[("loss", &[1.0]), ("loss", &[1.0])]).unwrap_err();
    assert_eq!(repeated, ProposalsError::RepeatedFeature("loss".into()));
    let unequal = columns(&[("loss", &[1.0, 2.0]), ("entropy", &[1.0])]).unwrap_err().to_string();
    assert_eq!(unequal, "feature \"entropy\" has 1 values, but \"loss\" has 2");
    let not_finite = columns(&[("loss", &[1.0, 2.0]), ("entropy", &[1.0, f64::NAN])]).unwrap_err().to_string();
    assert_eq!(not_finite, "feature \"entropy\", row 1 (counted from 0) is NaN: every value must be finite");
}

#[test]
fn an_engine_selects_under_the_version_in_force_at_the_step() {
    let mut engine = Engine::new(dataset(), &SamplerSpec::Uniform {}, JobParameters::new(4)).unwrap();
    let version = engine.activate_at(10, &serde_json::from_str(SWIFT).unwrap()).unwrap();
    let some = proposals(&[("loss", &[-9.0, 9.0, 0.2, 0.1]), ("entropy", &[-9.0, 9.0, 0.1, 0.3])]);
    let before = engine.select(9, 0, &some, 2, false).unwrap();
    assert_eq!((before.0, before.1.weights), (1, vec![1.0, 1.0]));
    let (of, after) = engine.select(10, 0, &some, 3, false).unwrap();
    assert_eq!(of, version);
    assert!(!after.positions.contains(&1) && after.weights.iter().all(|&weight| weight > 0.0));
    let direct = sampler(SWIFT);
    let selection = Selection { seed: Seed(0), step: 10, rank: 0, keep: 3, fill: false };
    assert_eq!(direct.select(&some, &selection).unwrap(), after);
    assert!(engine.select(10, 0, &some, 4, false).is_err());
}
