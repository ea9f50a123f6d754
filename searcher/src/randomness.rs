//! Random numbers that are a pure function of what they are for.

use swift_sampler::philox4x32_10;
pub use swift_sampler::seed_for;

/// A stream of random numbers from one seed.
#[derive(Debug, Clone)]
pub struct Randomness {
    key: [u32; 2],
    counter: u64,
}

impl Randomness {
    /// Starts the stream of `seed`.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self { key: halves(seed), counter: 0 }
    }

    /// Returns a number uniform in [0, 1).
    pub fn uniform(&mut self) -> f64 {
        let [low, high] = halves(self.counter);
        self.counter += 1;
        let block = philox4x32_10([low, high, 0, 0], self.key);
        let word = u64::from(block[0]) << 32 | u64::from(block[1]);
        (word >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Returns a number uniform between two.
    pub fn between(&mut self, [low, high]: [f64; 2]) -> f64 {
        low + (high - low) * self.uniform()
    }

    /// Returns a standard normal number (Box and Muller).
    pub fn normal(&mut self) -> f64 {
        // 1 - u is in (0, 1], where the logarithm is finite.
        let radius = (-2.0 * (1.0 - self.uniform()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.uniform()).cos()
    }
}

#[allow(clippy::cast_possible_truncation, reason = "both halves are kept")]
const fn halves(word: u64) -> [u32; 2] {
    [word as u32, (word >> 32) as u32]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn normal_numbers_have_mean_zero_and_variance_one() {
        let mut randomness = Randomness::new(7);
        let numbers: Vec<f64> = (0..20_000).map(|_| randomness.normal()).collect();
        let mean = numbers.iter().sum::<f64>() / 20_000.0;
        let variance = numbers.iter().map(|x| x * x).sum::<f64>() / 20_000.0;
        assert!(mean.abs() < 0.03 && (variance - 1.0).abs() < 0.05, "{mean} {variance}");
    }
}
