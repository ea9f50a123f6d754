//! Draws follow their probabilities: χ² tests at a stated significance level, over fixed seeds, so that a pass is
//! reproducible and a failure means a change of the distribution.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use statrs::distribution::{ChiSquared, ContinuousCDF};
use swift_sampler::{Dataset, FeatureTable, Sampler, SamplerSpec, Seed, SwiftSpec, Transform};

/// Chance of a false alarm, had the seeds been drawn afresh.
const ALPHA: f64 = 1e-6;
/// Outcomes expected less often than this are pooled, as the χ² approximation wants.
const EXPECTED_MIN: f64 = 10.0;

/// Draws `draws` examples and returns the p-value of their counts under the sampler's own probabilities; panics where
/// an example without probability was drawn.
fn p_value(sampler: &Sampler, seed: Seed, draws: u64) -> f64 {
    let p = sampler.probabilities();
    let mut counts = vec![0u64; p.len()];
    let (mut indices, mut probabilities) = (vec![0; 1000], vec![0.0; 1000]);
    for first in (0..draws).step_by(indices.len()) {
        sampler.draw_into(seed, first..first + indices.len() as u64, &mut indices, &mut probabilities);
        for (index, probability) in indices.iter().zip(&probabilities) {
            counts[*index as usize] += 1;
            assert!((f64::from(*probability) - p[*index as usize]).abs() <= 1e-7 * p[*index as usize]);
        }
    }
    let (mut statistic, mut categories, mut pooled) = (0.0, 0u32, (0.0, 0.0));
    for (&count, &p) in counts.iter().zip(&p) {
        assert!(p > 0.0 || count == 0, "an example of probability zero was drawn");
        let expected = p * draws as f64;
        if expected < EXPECTED_MIN {
            pooled = (pooled.0 + expected, pooled.1 + count as f64);
        } else {
            statistic += (count as f64 - expected).powi(2) / expected;
            categories += 1;
        }
    }
    if pooled.0 >= EXPECTED_MIN {
        statistic += (pooled.1 - pooled.0).powi(2) / pooled.0;
        categories += 1;
    } else {
        // Too rare to test by χ²; ten times as many as the pool's largest plausible count would still be seen.
        assert!(pooled.1 <= 10.0 * EXPECTED_MIN, "{} draws where {} were expected", pooled.1, pooled.0);
    }
    1.0 - ChiSquared::new(f64::from(categories - 1)).unwrap().cdf(statistic)
}

fn by_weight(weights: Vec<f64>) -> Sampler {
    let table = FeatureTable::new(vec![("w".into(), weights)]).unwrap();
    let dataset = Dataset::new(table, vec!["w".into()], None).unwrap();
    Sampler::build(&SamplerSpec::Column { column: "w".into() }, &dataset).unwrap()
}

#[test]
fn ten_million_draws_fit_weights_with_zeros_over_thirty_orders_of_magnitude() {
    let weights: Vec<f64> = (0..3000)
        .map(|row| if row % 7 == 0 { 0.0 } else { 10f64.powf(f64::from(row % 31) - 15.0) * f64::from(1 + row % 5) })
        .collect();
    let p = p_value(&by_weight(weights), Seed(1), 10_000_000);
    assert!(p > ALPHA, "p-value {p}");
}

#[test]
fn ten_million_draws_fit_weights_that_are_all_different() {
    let weights: Vec<f64> = (0..20_000).map(|row| 1.0 + f64::from(row) / 5_000.0).collect();
    let p = p_value(&by_weight(weights), Seed(2), 10_000_000);
    assert!(p > ALPHA, "p-value {p}");
}

#[test]
fn ten_million_draws_of_the_uniform_sampler_are_uniform() {
    let table = FeatureTable::new(vec![("w".into(), vec![0.5; 49_999])]).unwrap();
    let dataset = Dataset::new(table, vec![], None).unwrap();
    let sampler = Sampler::build(&SamplerSpec::Uniform {}, &dataset).unwrap();
    let p = p_value(&sampler, Seed(3), 10_000_000);
    assert!(p > ALPHA, "p-value {p}");
    assert!((sampler.effective_sample_size() - 49_999.0).abs() < 1e-6);
}

#[test]
fn draws_of_a_swift_sampler_fit_and_successive_draws_are_independent() {
    let rows = 1000u32;
    let loss: Vec<f64> = (0..rows).map(|row| f64::from(row % 250)).collect();
    let gradient: Vec<f64> = (0..rows).map(|row| 0.1 + f64::from(row % 11)).collect();
    let table = FeatureTable::new(vec![("loss".into(), loss), ("grad_norm".into(), gradient)]).unwrap();
    let dataset = Dataset::new(table, vec!["loss".into()], Some("grad_norm".into())).unwrap();
    let spec = SamplerSpec::Swift(SwiftSpec {
        features: vec!["loss".into()],
        coefficients: vec![1.0],
        knots: vec![0.2, 0.5, 0.6],
        values: vec![0.3, 1.0, 0.5, 0.0, 0.0],
        transform: Transform::Cgf,
    });
    let sampler = Sampler::build(&spec, &dataset).unwrap();
    let p = p_value(&sampler, Seed(4), 2_000_000);
    assert!(p > ALPHA, "p-value {p}");

    // Pairs of neighbouring draws by the last digit of their index: 10 × 10 outcomes.
    let digit = |draw: u64| (sampler.draw(Seed(5), draw).index % 10) as usize;
    let mut share = [0.0; 10];
    sampler.probabilities().iter().enumerate().for_each(|(index, p)| share[index % 10] += p);
    let pairs = 1_000_000u64;
    let mut counts = [[0u64; 10]; 10];
    for pair in 0..pairs {
        counts[digit(2 * pair)][digit(2 * pair + 1)] += 1;
    }
    let mut statistic = 0.0;
    for (i, row) in counts.iter().enumerate() {
        for (j, &count) in row.iter().enumerate() {
            let expected = share[i] * share[j] * pairs as f64;
            statistic += (count as f64 - expected).powi(2) / expected;
        }
    }
    let p = 1.0 - ChiSquared::new(99.0).unwrap().cdf(statistic);
    assert!(p > ALPHA, "p-value {p}");
}
