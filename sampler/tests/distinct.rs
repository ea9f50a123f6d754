//! Distinct draws: successive, weighted, without replacement.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;

use proptest::prelude::*;
use statrs::distribution::{ChiSquared, ContinuousCDF};
use swift_sampler::{Dataset, FeatureTable, Plan, PlanError, Replacement, Sampler, SamplerSpec, Seed, Segment};

/// Chance of a false alarm of each test, had the seeds been drawn afresh.
const ALPHA: f64 = 1e-6;

fn by_weight(weights: &[f64]) -> Arc<Sampler> {
    let table = FeatureTable::new(vec![("w".into(), weights.to_vec())]).unwrap();
    let dataset = Dataset::new(table, vec!["w".into()], None).unwrap();
    Arc::new(Sampler::build(&SamplerSpec::Column { column: "w".into() }, &dataset).unwrap())
}

fn plan(sampler: &Arc<Sampler>, seed: u64, segment: Segment, before: Option<&Plan>) -> Plan {
    Plan::new(Arc::clone(sampler), Seed(seed), Replacement::Distinct, segment, before).unwrap()
}

fn row(plan: &Plan, draw: u64) -> usize {
    usize::try_from(plan.draw(draw).index).unwrap()
}

/// The draws of an epoch of `draws`, whose sampler is swapped at the given draws.
fn epoch(segments: &[(u64, Arc<Sampler>)], seed: u64, draws: u64) -> Vec<usize> {
    let mut rows = Vec::new();
    let mut before: Option<Plan> = None;
    for (number, (start, sampler)) in segments.iter().enumerate() {
        let next = plan(sampler, seed, Segment { epoch_start: 0, start: *start, end: draws }, before.as_ref());
        let until = segments.get(number + 1).map_or(draws, |(start, _)| *start);
        rows.extend((*start..until).map(|draw| row(&next, draw)));
        before = Some(next);
    }
    rows
}

/// One weight for each of `rows` examples, some zero, at least one positive.
fn weights(rows: usize) -> impl Strategy<Value = Vec<f64>> {
    let weight = prop_oneof![1 => Just(0.0), 2 => (-12i32..12).prop_map(|e| 10f64.powi(e)), 2 => 0.01..5.0f64];
    prop::collection::vec(weight, rows)
        .prop_filter("some weight is positive", |weights| weights.iter().any(|&w| w > 0.0))
}

proptest! {
    /// An epoch with swaps at random draws: whenever an example comes again, every other that can be drawn then has come
    /// as often.
    #[test]
    fn an_example_comes_again_only_after_all_others(
        (samplers, cuts, draws) in (1usize..80).prop_flat_map(|rows| (
            prop::collection::vec(weights(rows), 1..5),
            prop::collection::vec(0u64..rows as u64, 4),
            1..=rows as u64,
        )),
        seed: u64,
    ) {
        let rows = samplers[0].len();
        let mut starts: Vec<u64> = cuts.into_iter().filter(|&cut| cut > 0 && cut < draws).take(samplers.len() - 1).collect();
        starts.push(0);
        starts.sort_unstable();
        starts.dedup();
        let segments: Vec<_> = starts.iter().copied().zip(samplers.iter().map(|weights| by_weight(weights))).collect();
        let drawn = epoch(&segments, seed, draws);
        prop_assert_eq!(drawn.len() as u64, draws);
        let mut had = vec![0u32; rows];
        for (draw, &row) in (0u64..).zip(&drawn) {
            let in_force = &samplers[starts.iter().filter(|&&start| start <= draw).count() - 1];
            prop_assert!(in_force[row] > 0.0, "an example of probability zero was drawn");
            let least = (0..rows).filter(|&row| in_force[row] > 0.0).map(|row| had[row]).min().unwrap();
            prop_assert_eq!(had[row], least);
            had[row] += 1;
        }
    }

    /// Fewer draws than examples are those an epoch of all examples begins with: keys thrown away early change nothing.
    #[test]
    fn a_short_epoch_is_the_beginning_of_a_long_one(weights in weights(300), seed: u64, draws in 1u64..300) {
        let sampler = by_weight(&weights);
        let long = epoch(&[(0, Arc::clone(&sampler))], seed, 300);
        prop_assert_eq!(&epoch(&[(0, sampler)], seed, draws)[..], &long[..usize::try_from(draws).unwrap()]);
    }
}

/// The same where more keys are thrown away than are kept.
#[test]
fn the_first_ten_of_a_million_are_those_of_a_longer_epoch() {
    let weights: Vec<f64> = (0..1_000_000).map(|row| f64::from(1 + row % 1000)).collect();
    let sampler = by_weight(&weights);
    let first = epoch(&[(0, Arc::clone(&sampler))], 5, 10);
    assert_eq!(first, epoch(&[(0, sampler)], 5, 500_000)[..10]);
}

/// Probability of every ordered choice of `left` examples, successively and in proportion to the weights left.
fn enumerate(weights: &[f64], left: usize, chosen: &mut Vec<usize>, p: f64, visit: &mut impl FnMut(&[usize], f64)) {
    if left == 0 {
        visit(chosen, p);
        return;
    }
    let open: Vec<usize> = (0..weights.len()).filter(|row| !chosen.contains(row)).collect();
    let sum: f64 = open.iter().map(|&row| weights[row]).sum();
    for row in open {
        chosen.push(row);
        enumerate(weights, left - 1, chosen, p * weights[row] / sum, visit);
        chosen.pop();
    }
}

/// The first k draws over many seeds, against the exact probability of every ordered choice.
#[test]
fn the_first_draws_are_successive_weighted_choices() {
    let weights = [1.0, 2.0, 0.5, 4.0, 1.0, 3.0];
    let sampler = by_weight(&weights);
    let epochs = 300_000u64;
    for draws in 1..=4usize {
        let mut counts = std::collections::BTreeMap::<Vec<usize>, f64>::new();
        for seed in 0..epochs {
            let plan = plan(&sampler, seed, Segment { epoch_start: 0, start: 0, end: draws as u64 }, None);
            *counts.entry((0..draws as u64).map(|draw| row(&plan, draw)).collect()).or_default() += 1.0;
        }
        let (mut statistic, mut outcomes) = (0.0, 0.0);
        enumerate(&weights, draws, &mut Vec::new(), 1.0, &mut |choice, p| {
            let expected = p * epochs as f64;
            assert!(expected > 10.0, "rare enough to mislead a χ² test: {choice:?}");
            statistic += (counts.remove(choice).unwrap_or(0.0) - expected).powi(2) / expected;
            outcomes += 1.0;
        });
        assert!(counts.is_empty(), "choices with repeats: {counts:?}");
        let p = 1.0 - ChiSquared::new(outcomes - 1.0).unwrap().cdf(statistic);
        assert!(p > ALPHA, "{draws} draws: p-value {p}");
    }
}

/// After a swap the rest of the epoch follows the new weights of what is left.
#[test]
fn after_a_swap_the_first_draw_follows_the_new_weights_of_what_is_left() {
    let (old, new) = ([3.0, 1.0, 1.0, 2.0, 1.0], [0.0, 4.0, 1.0, 1.0, 2.0]);
    let segments = [(0, by_weight(&old)), (2, by_weight(&new))];
    let epochs = 300_000u64;
    let mut counts = std::collections::BTreeMap::<Vec<usize>, f64>::new();
    for seed in 0..epochs {
        let three = epoch(&segments, seed, 3);
        *counts.entry(three).or_default() += 1.0;
    }
    let (mut statistic, mut outcomes) = (0.0, 0.0);
    enumerate(&old, 2, &mut Vec::new(), 1.0, &mut |choice, p| {
        let open: Vec<usize> = (0..5).filter(|row| !choice.contains(row) && new[*row] > 0.0).collect();
        let sum: f64 = open.iter().map(|&row| new[row]).sum();
        for row in open {
            let expected = p * new[row] / sum * epochs as f64;
            let count = counts.remove(&[choice, &[row]].concat()).unwrap_or(0.0);
            statistic += (count - expected).powi(2) / expected;
            outcomes += 1.0;
        }
    });
    assert!(counts.is_empty(), "impossible epochs: {counts:?}");
    let p = 1.0 - ChiSquared::new(outcomes - 1.0).unwrap().cdf(statistic);
    assert!(p > ALPHA, "p-value {p}");
}

#[test]
fn where_few_examples_can_be_drawn_they_take_turns() {
    let mut weights = vec![0.0; 1000];
    weights[..3].copy_from_slice(&[1.0, 5.0, 2.0]);
    let rows = epoch(&[(0, by_weight(&weights))], 1, 1000);
    let mut orders = std::collections::BTreeSet::new();
    for round in rows.chunks_exact(3) {
        let mut sorted = round.to_vec();
        sorted.sort_unstable();
        assert_eq!(sorted, [0, 1, 2]);
        orders.insert(round.to_vec());
    }
    assert_eq!(orders.len(), 6, "rounds come in every order");
}

#[test]
fn a_segment_inside_an_epoch_needs_the_one_before_it() {
    let sampler = by_weight(&[1.0; 10]);
    let make = |seed, segment, before: Option<&Plan>| {
        Plan::new(Arc::clone(&sampler), Seed(seed), Replacement::Distinct, segment, before).map(|_| ())
    };
    let inside = Segment { epoch_start: 10, start: 14, end: 20 };
    let first = plan(&sampler, 1, Segment { epoch_start: 10, start: 10, end: 20 }, None);
    assert_eq!(make(1, inside, Some(&first)), Ok(()));
    assert_eq!(make(1, inside, None), Err(PlanError::Before(inside)));
    assert_eq!(make(2, inside, Some(&first)), Err(PlanError::Before(inside)), "of another job");
    let other_epoch = Segment { epoch_start: 20, start: 24, end: 30 };
    assert_eq!(make(1, other_epoch, Some(&first)), Err(PlanError::Before(other_epoch)));
    for wrong in [
        Segment { epoch_start: 0, start: 0, end: 0 },
        Segment { epoch_start: 5, start: 4, end: 9 },
        Segment { epoch_start: 0, start: 0, end: (1 << 28) + 1 },
    ] {
        assert_eq!(make(1, wrong, None), Err(PlanError::Segment(wrong)));
    }
}

#[test]
fn a_plan_keeps_four_bytes_a_draw_of_the_epoch() {
    let sampler = by_weight(&vec![1.0; 100_000]);
    let first = plan(&sampler, 1, Segment { epoch_start: 0, start: 0, end: 100_000 }, None);
    let second = plan(&sampler, 1, Segment { epoch_start: 0, start: 60_000, end: 100_000 }, Some(&first));
    for plan in [first, second] {
        assert!((400_000..401_000).contains(&plan.size_bytes()), "{}", plan.size_bytes());
    }
}
