//! Made-up features of plausible shapes, the same for the same seed.

use anyhow::{Context, ensure};
use swift_sampler::{Dataset, FeatureTable, SamplerSpec, SwiftSpec, Transform};

/// Column of gradient norms.
pub const GRADIENT_NORM: &str = "grad_norm";
/// Most features.
pub const FEATURES_MAX: usize = 6;
/// Values of H in the specs.
const SEGMENTS: usize = 4;
/// Entropy of ten classes that are all alike: the most there is.
const ENTROPY_MAX: f64 = std::f64::consts::LN_10;

/// A counter generator for made-up data (Steele et al. 2014, SplitMix64): `next` is a bijection of a counter.
#[derive(Debug, Clone)]
pub struct SplitMix(u64);

impl SplitMix {
    /// Starts a sequence.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Returns the next 64 bits.
    pub fn next_word(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Returns the next number in (0, 1).
    pub fn unit(&mut self) -> f64 {
        ((self.next_word() >> 11) as f64 + 0.5) / (1_u64 << 53) as f64
    }
}

/// Returns the name of feature number `feature`.
#[must_use]
pub fn name(feature: usize) -> String {
    match feature {
        0 => "loss".to_owned(),
        1 => "entropy".to_owned(),
        other => format!("feature{other}"),
    }
}

/// Makes a dataset of `features` features and a gradient norm: an exponential loss, an entropy that falls with it, others
/// between the two, and a norm that grows with the loss.
///
/// # Errors
/// When the dataset cannot be made.
pub fn dataset(rows: usize, features: usize, seed: u64) -> anyhow::Result<Dataset> {
    let names: Vec<String> = (0..features).map(name).collect();
    Ok(Dataset::new(table(rows, features, seed)?, names, Some(GRADIENT_NORM.to_owned()))?)
}

/// Makes the columns of [`dataset`].
///
/// # Errors
/// When there are too many features or no rows.
pub fn table(rows: usize, features: usize, seed: u64) -> anyhow::Result<FeatureTable> {
    ensure!((1..=FEATURES_MAX).contains(&features), "{features} features: from 1 to {FEATURES_MAX} can be made");
    let mut random = SplitMix::new(seed);
    let mut columns: Vec<(String, Vec<f64>)> = (0..features)
        .map(name)
        .chain([GRADIENT_NORM.to_owned()])
        .map(|name| (name, Vec::with_capacity(rows)))
        .collect();
    for _ in 0..rows {
        let loss = -random.unit().ln();
        #[allow(clippy::cast_possible_truncation, reason = "rounded as the f32 that a trainer writes")]
        let mut push = |column: usize, value: f64| columns[column].1.push(f64::from(value as f32));
        for feature in 0..features {
            let value = match feature {
                0 => loss,
                1 => ENTROPY_MAX * random.unit() / (1.0 + 0.5 * loss),
                _ => random.unit() + 0.3 * loss,
            };
            push(feature, value);
        }
        push(features, 0.1 + loss * random.unit());
    }
    FeatureTable::new(columns).context("made-up features")
}

/// Makes a random sampler of `features` features: the same one for the same seed.
#[must_use]
pub fn spec(features: usize, seed: u64) -> SamplerSpec {
    let mut random = SplitMix::new(seed);
    let mut numbers =
        |count: usize, low: f64| -> Vec<f64> { (0..count).map(|_| low + (1.0 - low) * random.unit()).collect() };
    SamplerSpec::Swift(SwiftSpec {
        features: (0..features).map(name).collect(),
        coefficients: numbers(features, -1.0),
        knots: numbers(SEGMENTS - 1, 0.0),
        values: numbers(SEGMENTS + 1, 0.0),
        transform: Transform::Cgf,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_makes_the_same_features_and_specs_again() {
        let loss = |seed| table(100, 2, seed).unwrap().column("loss").unwrap().to_vec();
        assert_eq!(loss(1), loss(1));
        assert_ne!(loss(1), loss(2));
        assert_eq!(spec(3, 4), spec(3, 4));
        assert!(spec(6, 9).canonical().is_ok());
    }

    #[test]
    fn too_many_features_are_refused() {
        assert!(table(10, FEATURES_MAX + 1, 0).is_err());
    }
}
