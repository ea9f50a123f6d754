//! What a sampler says of its distance to the exact one is what brute force over all examples finds.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "support/reference.rs"]
mod reference;

use proptest::prelude::*;
use swift_sampler::{
    Cells, Dataset, FeatureTable, Resolution, Sampler, SamplerSpec, SwiftSpec, Transform, philox4x32_10,
};

/// A number in [0, 1).
fn uniform(number: u32, kind: u32) -> f64 {
    f64::from(philox4x32_10([number, kind, 0, 0], [3, 4])[0]) / 4294967296.0
}

/// Skewed features that depend on each other, and gradient norms that depend on both.
fn columns(rows: u32) -> (Vec<Vec<f64>>, Vec<f64>) {
    let loss = |row| (3.0 * uniform(row, 0)).exp();
    let entropy = |row| uniform(row, 0) + uniform(row, 1);
    let gradient = |row| (uniform(row, 0) * uniform(row, 2)).powi(2);
    (vec![(0..rows).map(loss).collect(), (0..rows).map(entropy).collect()], (0..rows).map(gradient).collect())
}

fn names() -> Vec<String> {
    vec!["loss".to_owned(), "entropy".to_owned()]
}

fn table(columns: &[Vec<f64>], gradient: &[f64]) -> FeatureTable {
    let mut named: Vec<_> = names().into_iter().zip(columns.iter().cloned()).collect();
    named.push(("grad_norm".to_owned(), gradient.to_vec()));
    FeatureTable::new(named).unwrap()
}

/// A spec drawn as a search draws its first ones.
fn spec(number: u32) -> SwiftSpec {
    let mut kind = 0;
    let mut next = || {
        kind += 1;
        uniform(number, 1000 + kind)
    };
    SwiftSpec {
        features: names(),
        coefficients: vec![2.0 * next() - 1.0, 2.0 * next() - 1.0],
        knots: vec![next(), next(), next()],
        values: vec![next(), next(), next(), next(), next()],
        transform: if number.is_multiple_of(2) { Transform::Cgf } else { Transform::Cdf },
    }
}

fn distance(p: &[f64], q: &[f64]) -> f64 {
    p.iter().zip(q).map(|(p, q)| (p - q).abs()).sum::<f64>() / 2.0
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    /// Within a half, often much closer: T is of the cells, whose examples differ in gradient.
    #[test]
    fn the_estimate_is_close_to_the_sum_over_all_examples(number in 0u32..1000, bits in 6u32..9) {
        let (columns, gradient) = columns(20_000);
        let table = table(&columns, &gradient);
        let cells = Cells::build(&table, &names(), Some("grad_norm"), Resolution::Bits(bits)).unwrap();
        let dataset = Dataset::from_stored(table, Some("grad_norm".into()), cells).unwrap();
        let spec = spec(number);
        let sampler = Sampler::build(&SamplerSpec::Swift(spec.clone()), &dataset).unwrap();
        let expected = distance(&sampler.probabilities(), &reference::probabilities(&columns, &gradient, &spec).unwrap());
        let estimate = sampler.total_variation(&dataset).unwrap();
        prop_assert!((estimate - expected).abs() < 0.5 * expected, "{estimate} for {expected}");
    }
}

#[test]
fn just_beyond_exact_cells_the_estimate_is_that_of_brute_force() {
    let (columns, gradient) = columns((1 << 20) + 777);
    let dataset = Dataset::new(table(&columns, &gradient), names(), Some("grad_norm".into())).unwrap();
    let spec = spec(4);
    let sampler = Sampler::build(&SamplerSpec::Swift(spec.clone()), &dataset).unwrap();
    let expected = distance(&sampler.probabilities(), &reference::probabilities(&columns, &gradient, &spec).unwrap());
    let estimate = sampler.total_variation(&dataset).unwrap();
    assert!(estimate > 0.0 && (estimate - expected).abs() < 0.05 * expected, "{estimate} for {expected}");
}

/// The layout of 4 million rows on half as many: the distance hardly depends on how many examples a cell has.
#[test]
fn two_features_of_millions_of_rows_are_within_a_thousandth_of_the_exact_sampler() {
    let (columns, gradient) = columns(2_000_001);
    assert_eq!(Resolution::for_table(2_000_001, 2), Resolution::for_table(4_000_000, 2));
    let dataset = Dataset::new(table(&columns, &gradient), names(), Some("grad_norm".into())).unwrap();
    for number in 0..12 {
        let sampler = Sampler::build(&SamplerSpec::Swift(spec(number)), &dataset).unwrap();
        let distance = sampler.total_variation(&dataset).unwrap();
        assert!(distance > 0.0 && distance < 1e-3, "spec {number}: {distance}");
    }
}

#[test]
#[allow(clippy::float_cmp, reason = "exactly zero is what is claimed")]
fn exact_cells_are_at_no_distance() {
    let (columns, gradient) = columns(5000);
    let dataset = Dataset::new(table(&columns, &gradient), names(), Some("grad_norm".into())).unwrap();
    let column = SamplerSpec::Column { column: "entropy".into() };
    for spec in [SamplerSpec::Swift(spec(1)), column, SamplerSpec::Uniform {}] {
        assert_eq!(Sampler::build(&spec, &dataset).unwrap().total_variation(&dataset).unwrap(), 0.0);
    }
}

/// More distinct weights than cells, half of them zero, others far apart.
#[test]
fn weights_of_a_column_are_averaged_where_they_are_too_many_but_zero_stays_zero() {
    let rows = 2_300_000;
    let weight = |row: u32| if row.is_multiple_of(2) { 0.0 } else { (8.0 * uniform(row, 0)).exp() };
    let weights: Vec<f64> = (0..rows).map(weight).collect();
    let dataset = Dataset::new(FeatureTable::new(vec![("w".into(), weights.clone())]).unwrap(), vec![], None).unwrap();
    let sampler = Sampler::build(&SamplerSpec::Column { column: "w".into() }, &dataset).unwrap();
    assert!(sampler.cells().len() < (1 << 20) + 2);
    let (p, sum) = (sampler.probabilities(), weights.iter().sum::<f64>());
    assert!(p.iter().zip(&weights).all(|(p, weight)| (*p > 0.0) == (*weight > 0.0)));
    let expected = distance(&p, &weights.iter().map(|weight| weight / sum).collect::<Vec<_>>());
    let estimate = sampler.total_variation(&dataset).unwrap();
    assert!(expected < 1e-5 && (estimate - expected).abs() < 0.05 * expected, "{estimate} for {expected}");
}
