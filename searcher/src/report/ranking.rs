//! Whether short trials rank samplers as training from scratch does.

use serde::{Deserialize, Serialize};

use crate::policy::Purpose;
use crate::randomness::seed_for;
use crate::study::StoredTrial;
use crate::target::shuffle;

/// Fewest samplers whose ranks say anything.
const SAMPLERS_MIN: usize = 4;
/// Most samplers all of whose orders are tried: 10! are 3.6 million.
const SAMPLERS_MAX_EXACT: usize = 10;
/// Random orders that the null of more samplers is made of.
const PERMUTATIONS: u64 = 9_999;

/// How the ranks of samplers by their short trials agree with those by validation accuracy after training from scratch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RankAgreement {
    /// Samplers compared.
    pub samplers: usize,
    /// Spearman's rank correlation, ties by mid-ranks.
    pub spearman: f64,
    /// Share of orders whose correlation is at least as high: exactly, of all orders of up to ten samplers; of 9,999 random ones and
    /// the one observed where there are more.
    pub p: f64,
    /// (objective of the short trial, validation accuracy from scratch) of each.
    pub pairs: Vec<(f64, f64)>,
}

impl RankAgreement {
    /// Compares the samplers of the search that networks were retrained under, the winner's first retraining among them;
    /// `None` where they are fewer than 4.
    #[must_use]
    pub fn of(trials: &[StoredTrial]) -> Option<Self> {
        let mut seen = Vec::new();
        let mut pairs = Vec::new();
        for trial in trials.iter().filter(|trial| trial.record.parameters.purpose == Purpose::Retrain) {
            let Some(repeats) = trial.record.parameters.repeats.filter(|repeats| !seen.contains(repeats)) else {
                continue;
            };
            let short = trials.iter().find(|short| short.record.number == repeats).and_then(|t| t.record.objective());
            if let Some(pair) = short.zip(trial.record.objective()) {
                seen.push(repeats);
                pairs.push(pair);
            }
        }
        (pairs.len() >= SAMPLERS_MIN).then(|| Self::of_pairs(pairs))
    }

    fn of_pairs(pairs: Vec<(f64, f64)>) -> Self {
        let short = ranks(&pairs.iter().map(|pair| pair.0).collect::<Vec<_>>());
        let scratch = ranks(&pairs.iter().map(|pair| pair.1).collect::<Vec<_>>());
        let spearman = correlation(&short, &scratch);
        let p = if pairs.len() <= SAMPLERS_MAX_EXACT {
            share_of_orders_as_high(&short, scratch)
        } else {
            share_of_random_orders_as_high(&short, scratch)
        };
        Self { samplers: pairs.len(), spearman, p, pairs }
    }
}

/// The share of all orders of `b` whose sum of products with `a` is that of the order given or more; of ranks the correlation
/// rises with it. Heap's algorithm.
fn share_of_orders_as_high(a: &[f64], mut b: Vec<f64>) -> f64 {
    let product = |b: &[f64]| a.iter().zip(b).map(|(x, y)| x * y).sum::<f64>();
    // Sums of halves are exact.
    let given = product(&b);
    let (mut orders, mut as_high) = (1u64, 1u64);
    let mut counters = vec![0; b.len()];
    let mut place = 1;
    while place < b.len() {
        if counters[place] < place {
            b.swap(if place % 2 == 0 { 0 } else { counters[place] }, place);
            orders += 1;
            as_high += u64::from(product(&b) >= given);
            counters[place] += 1;
            place = 1;
        } else {
            counters[place] = 0;
            place += 1;
        }
    }
    as_high as f64 / orders as f64
}

fn share_of_random_orders_as_high(a: &[f64], mut b: Vec<f64>) -> f64 {
    let given = correlation(a, &b);
    let mut as_high = 1;
    for permutation in 0..PERMUTATIONS {
        shuffle(&mut b, seed_for(0, permutation, "rank null"));
        as_high += u64::from(correlation(a, &b) >= given - 1e-12);
    }
    as_high as f64 / (PERMUTATIONS + 1) as f64
}

/// Ranks from 1, equal values sharing the mean of theirs.
fn ranks(values: &[f64]) -> Vec<f64> {
    let rank = |value: &f64| {
        let below = values.iter().filter(|other| *other < value).count();
        let equal = values.iter().filter(|other| (*other - value).abs() < f64::EPSILON).count();
        below as f64 + (equal as f64 + 1.0) / 2.0
    };
    values.iter().map(rank).collect()
}

/// Pearson's correlation; 0 where either does not vary.
fn correlation(a: &[f64], b: &[f64]) -> f64 {
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    let (centre_a, centre_b) = (mean(a), mean(b));
    let covariance: f64 = a.iter().zip(b).map(|(x, y)| (x - centre_a) * (y - centre_b)).sum();
    let square = |values: &[f64], centre: f64| values.iter().map(|x| (x - centre).powi(2)).sum::<f64>();
    let scale = (square(a, centre_a) * square(b, centre_b)).sqrt();
    if scale > 0.0 { covariance / scale } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_orders_correlate_fully_and_hardly_by_chance() {
        let pairs: Vec<(f64, f64)> = (0..8).map(|i| (f64::from(i), f64::from(i * i))).collect();
        let agreement = RankAgreement::of_pairs(pairs);
        assert!((agreement.spearman - 1.0).abs() < 1e-12);
        assert!((agreement.p - 1.0 / 40_320.0).abs() < 1e-12, "1 of 8! orders is as good: {}", agreement.p);
    }

    #[test]
    fn the_null_of_few_samplers_has_every_order_and_that_of_many_comes_close() {
        // Of the 24 orders of four ranks, 1 has correlation 1, 3 have .8, 1 has .6, as tables of Spearman's null say.
        let with = |order: [f64; 4]| share_of_orders_as_high(&[1.0, 2.0, 3.0, 4.0], order.to_vec()) * 24.0;
        assert!((with([1.0, 2.0, 3.0, 4.0]) - 1.0).abs() < 1e-9);
        assert!((with([2.0, 1.0, 3.0, 4.0]) - 4.0).abs() < 1e-9);
        assert!((with([2.0, 1.0, 4.0, 3.0]) - 5.0).abs() < 1e-9);
        let (a, b) = (ranks(&[0.1, 0.4, 0.2, 0.9, 0.5, 0.7, 0.3]), ranks(&[0.2, 0.1, 0.3, 0.8, 0.9, 0.4, 0.5]));
        let exact = share_of_orders_as_high(&a, b.clone());
        assert!((share_of_random_orders_as_high(&a, b) - exact).abs() < 0.02, "{exact}");
    }

    #[test]
    fn opposite_orders_are_as_bad_as_it_gets() {
        let agreement = RankAgreement::of_pairs((0..6).map(|i| (f64::from(i), f64::from(-i))).collect());
        assert!((agreement.spearman + 1.0).abs() < 1e-12 && (agreement.p - 1.0).abs() < 1e-12);
    }

    #[test]
    fn ties_share_their_ranks() {
        assert_eq!(ranks(&[0.3, 0.1, 0.3, 0.9]), [2.5, 1.0, 2.5, 4.0]);
        // By hand: ranks (1.5, 1.5, 3) against (1, 2, 3).
        let agreement = RankAgreement::of_pairs(vec![(0.1, 0.1), (0.1, 0.2), (0.5, 0.3)]);
        assert!((agreement.spearman - 1.5 / (1.5f64 * 2.0).sqrt()).abs() < 1e-12, "{}", agreement.spearman);
    }
}
