//! Stratified draws: every example ⌊R·p⌋ or ⌈R·p⌉ times in a segment, each probability exact on average.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;

use proptest::prelude::*;
use statrs::distribution::{ChiSquared, ContinuousCDF, Normal};
use swift_sampler::job::Steps;
use swift_sampler::{Dataset, FeatureTable, Plan, Replacement, Sampler, SamplerSpec, Seed, Segment};

/// Chance of a false alarm of each test, had the seeds been drawn afresh.
const ALPHA: f64 = 1e-6;

fn by_weight(weights: &[f64]) -> Arc<Sampler> {
    let table = FeatureTable::new(vec![("w".into(), weights.to_vec())]).unwrap();
    let dataset = Dataset::new(table, vec!["w".into()], None).unwrap();
    Arc::new(Sampler::build(&SamplerSpec::Column { column: "w".into() }, &dataset).unwrap())
}

fn uniform(rows: u32) -> Arc<Sampler> {
    let table = FeatureTable::new(vec![("w".into(), vec![1.0; rows as usize])]).unwrap();
    Arc::new(Sampler::build(&SamplerSpec::Uniform {}, &Dataset::new(table, vec![], None).unwrap()).unwrap())
}

fn plan(sampler: &Arc<Sampler>, seed: u64, segment: Segment) -> Plan {
    Plan::new(Arc::clone(sampler), Seed(seed), Replacement::Stratified, segment, None).unwrap()
}

fn drawn(plan: &Plan) -> Vec<u32> {
    let Segment { start, end, .. } = plan.segment();
    let len = usize::try_from(end - start).unwrap();
    let (mut indices, mut probabilities) = (vec![0; len], vec![0.0; len]);
    plan.draw_into(start..end, &mut indices, &mut probabilities);
    indices
}

fn counts(rows: usize, indices: &[u32]) -> Vec<u64> {
    let mut counts = vec![0; rows];
    indices.iter().for_each(|&index| counts[index as usize] += 1);
    counts
}

/// Weights that few or many examples share, with zeros, over many orders of magnitude.
fn weights() -> impl Strategy<Value = Vec<f64>> {
    let group = (prop_oneof![Just(0.0), (-12i32..12).prop_map(|e| 10f64.powi(e)), 0.01..5.0f64], 1usize..60);
    prop::collection::vec(group, 1..30)
        .prop_map(|groups| groups.into_iter().flat_map(|(weight, count)| vec![weight; count]).collect::<Vec<f64>>())
        .prop_filter("some weight is positive", |weights| weights.iter().any(|&weight| weight > 0.0))
}

proptest! {
    #[test]
    fn every_example_is_drawn_its_share_rounded_down_or_up(
        weights in weights(),
        seed: u64,
        (epoch_start, before, draws) in (0u64..1 << 40, 0u64..1000, 1u64..5000),
    ) {
        let sampler = by_weight(&weights);
        let start = epoch_start + before;
        let indices = drawn(&plan(&sampler, seed, Segment { epoch_start, start, end: start + draws }));
        for (row, (&count, p)) in counts(weights.len(), &indices).iter().zip(sampler.probabilities()).enumerate() {
            let share = p * draws as f64;
            // A probability is exact in integers; as a float it may lie beside an integral share.
            let (low, high) = ((share - 1e-9).floor(), (share + 1e-9).ceil());
            prop_assert!((low..=high).contains(&(count as f64)), "row {}: {} draws for a share of {}", row, count, share);
            prop_assert!(p > 0.0 || count == 0);
        }
    }

    #[test]
    fn under_the_uniform_sampler_an_epoch_has_each_example_once(rows in 1u32..20_000, seed: u64, epoch in 0u64..1 << 30) {
        let steps = Steps { batch_size: 1, epoch_draws: u64::from(rows) };
        let segment = Segment::whole_epoch(epoch * u64::from(rows), steps);
        let indices = drawn(&plan(&uniform(rows), seed, segment));
        prop_assert!(counts(rows as usize, &indices).iter().all(|&count| count == 1));
    }

    #[test]
    fn single_draws_and_blocks_are_equal(weights in weights(), seed: u64, draws in 1u64..400) {
        let plan = plan(&by_weight(&weights), seed, Segment { epoch_start: 5, start: 7, end: 7 + draws });
        let indices = drawn(&plan);
        for (draw, index) in (7..).zip(indices) {
            prop_assert_eq!(plan.draw(draw).index, u64::from(index));
        }
    }
}

#[test]
fn huge_cells_beside_vanishing_ones_keep_their_shares() {
    let mut weights = vec![1.0; 300_000];
    weights[7] = 1e-13;
    weights[8] = 0.0;
    weights[9] = 1e5;
    let sampler = by_weight(&weights);
    let draws = 1_000_000u64;
    let counts = counts(weights.len(), &drawn(&plan(&sampler, 3, Segment { epoch_start: 0, start: 0, end: draws })));
    for (count, p) in counts.iter().zip(sampler.probabilities()) {
        assert!((*count as f64 - p * draws as f64).abs() < 1.0);
    }
    assert_eq!(counts[8], 0);
}

#[test]
fn one_positive_example_is_drawn_always() {
    let mut weights = vec![0.0; 50];
    weights[33] = 0.5;
    let indices = drawn(&plan(&by_weight(&weights), 3, Segment { epoch_start: 0, start: 0, end: 1000 }));
    assert!(indices.iter().all(|&index| index == 33));
}

#[test]
fn the_longest_segments_can_be_drawn_from_at_both_ends() {
    let sampler = by_weight(&(1..=5000).map(f64::from).collect::<Vec<_>>());
    let start = u64::MAX - (1 << 32);
    let plan = plan(&sampler, 1, Segment { epoch_start: start, start, end: u64::MAX });
    for draw in (start..start + 1000).chain(u64::MAX - 1000..u64::MAX) {
        assert!(plan.draw(draw).index < 5000);
    }
}

#[test]
fn epochs_are_in_different_orders_and_so_are_seeds() {
    let sampler = uniform(1000);
    let steps = Steps { batch_size: 10, epoch_draws: 1000 };
    let orders: Vec<Vec<u32>> = [(1, 0), (1, 1000), (1, 2000), (2, 0)]
        .map(|(seed, draw)| drawn(&plan(&sampler, seed, Segment::whole_epoch(draw, steps))))
        .into();
    for (number, order) in orders.iter().enumerate() {
        for other in &orders[..number] {
            let same = order.iter().zip(other).filter(|(a, b)| a == b).count();
            // One is expected.
            assert!(same < 12, "{same} examples are at the same place of two orders");
        }
    }
}

/// p-value of counts against their expectations.
fn p_value(observed: impl Iterator<Item = (f64, f64)>, degrees: f64) -> f64 {
    let statistic: f64 = observed.map(|(count, expected)| (count - expected).powi(2) / expected).sum();
    1.0 - ChiSquared::new(degrees).unwrap().cdf(statistic)
}

/// A segment with fewer draws than examples, over many seeds: how often each example comes is its share on average, and
/// each of the draws follows the probabilities on its own.
#[test]
fn every_draw_has_the_samplers_distribution() {
    let weights = [0.3, 0.3, 0.3, 2.0, 5.0, 0.0, 1.0, 1.0, 0.01, 3.0];
    let sampler = by_weight(&weights);
    let p = sampler.probabilities();
    let (segments, draws) = (200_000u64, 7usize);
    let mut by_draw = vec![vec![0.0; weights.len()]; draws];
    for seed in 0..segments {
        let indices = drawn(&plan(&sampler, seed, Segment { epoch_start: 0, start: 3, end: 3 + draws as u64 }));
        indices.iter().enumerate().for_each(|(draw, &index)| by_draw[draw][index as usize] += 1.0);
    }
    for counts in &by_draw {
        let observed = counts.iter().zip(&p).filter(|(_, p)| **p > 0.0).map(|(&count, p)| (count, p * segments as f64));
        let p = p_value(observed, 8.0);
        assert!(p > ALPHA, "p-value {p}");
    }
    // The sum over a segment varies less than independent draws, so its mean is known better.
    let quantile = Normal::standard().inverse_cdf(1.0 - ALPHA / 20.0);
    for (row, p) in p.iter().enumerate() {
        let total: f64 = by_draw.iter().map(|counts| counts[row]).sum();
        let share = p * draws as f64;
        let fraction = share.fract();
        let deviation = (fraction * (1.0 - fraction) * segments as f64).sqrt();
        assert!((total - share * segments as f64).abs() <= quantile * deviation + 1e-6, "row {row}: {total}");
    }
}

/// Which examples of a cell get the extra draw, and where in the segment they come, does not depend on their rows.
#[test]
fn examples_of_one_cell_are_exchangeable() {
    // Two cells, of 5 and 20 examples; 13 draws.
    let weights: Vec<f64> = (0..25).map(|row| if row % 5 == 0 { 3.0 } else { 1.0 }).collect();
    let sampler = by_weight(&weights);
    let segments = 100_000u64;
    let mut pairs = vec![0.0; 25 * 25];
    for seed in 0..segments {
        let indices = drawn(&plan(&sampler, seed, Segment { epoch_start: 0, start: 0, end: 13 }));
        let mut had: Vec<usize> = indices.iter().map(|&index| index as usize).collect();
        had.sort_unstable();
        had.dedup();
        for &a in &had {
            had.iter().filter(|&&b| b != a).for_each(|&b| pairs[a * 25 + b] += 1.0);
        }
    }
    for (in_first, in_second) in [(true, true), (true, false), (false, false)] {
        let of_kind = |row: usize, first: bool| row.is_multiple_of(5) == first;
        let counts: Vec<f64> = (0..25 * 25)
            .filter(|at| at / 25 < at % 25 || (in_first != in_second && at / 25 != at % 25))
            .filter(|at| of_kind(at / 25, in_first) && of_kind(at % 25, in_second))
            .map(|at| pairs[at])
            .collect();
        let expected = counts.iter().sum::<f64>() / counts.len() as f64;
        let p = p_value(counts.iter().map(|&count| (count, expected)), counts.len() as f64 - 1.0);
        assert!(p > ALPHA, "pairs ({in_first}, {in_second}): p-value {p}");
    }
}

/// What a swap inside an epoch, or a run that stops early, leaves is a random subset: the first draws of a segment are
/// as uniform over the examples as all of them.
#[test]
fn the_beginning_of_a_shuffled_epoch_is_a_random_subset() {
    let sampler = uniform(40);
    let segments = 100_000u64;
    let mut pairs = vec![0.0; 40 * 40];
    for seed in 0..segments {
        let plan = plan(&sampler, seed, Segment { epoch_start: 0, start: 0, end: 40 });
        let had: Vec<usize> = (0..10).map(|draw| usize::try_from(plan.draw(draw).index).unwrap()).collect();
        for &a in &had {
            had.iter().filter(|&&b| a < b).for_each(|&b| pairs[a * 40 + b] += 1.0);
        }
    }
    let expected = segments as f64 * (10.0 * 9.0) / (40.0 * 39.0);
    let observed = (0..40 * 40).filter(|at| at / 40 < at % 40).map(|at| (pairs[at], expected));
    let p = p_value(observed, 40.0 * 39.0 / 2.0 - 1.0);
    assert!(p > ALPHA, "p-value {p}");
}

#[test]
fn a_swap_inside_an_epoch_plans_the_rest_of_it() {
    let (before, after) = (uniform(100), by_weight(&(0..100).map(|row| f64::from(row % 2)).collect::<Vec<_>>()));
    let first = plan(&before, 9, Segment { epoch_start: 0, start: 0, end: 100 });
    let second = plan(&after, 9, Segment { epoch_start: 0, start: 40, end: 100 });
    let had = counts(100, &drawn(&first)[..40]);
    assert!(had.iter().all(|&count| count <= 1));
    let rest = counts(100, &drawn(&second));
    for (row, count) in rest.into_iter().enumerate() {
        // 60 draws over 50 examples.
        assert!(if row % 2 == 0 { count == 0 } else { count == 1 || count == 2 }, "row {row}: {count}");
    }
}
