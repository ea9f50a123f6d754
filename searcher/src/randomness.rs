//! Random numbers that are a pure function of what they are for.

pub use swift_sampler::seed_for;
use swift_sampler::{halves, philox4x32_10};

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

    /// Returns a number of the gamma distribution of a shape above 0 and scale 1 (Marsaglia and Tsang, 2000).
    fn gamma(&mut self, shape: f64) -> f64 {
        if shape < 1.0 {
            return self.gamma(shape + 1.0) * (1.0 - self.uniform()).powf(1.0 / shape);
        }
        let d = shape - 1.0 / 3.0;
        loop {
            let x = self.normal();
            let v = (1.0 + x / (9.0 * d).sqrt()).powi(3);
            if v > 0.0 && (1.0 - self.uniform()).ln() < x * x / 2.0 + d * (1.0 - v + v.ln()) {
                return d * v;
            }
        }
    }

    /// Returns a number of the beta distribution with both parameters `alpha`, above 0: from 0 to 1, symmetric about ½.
    pub fn beta(&mut self, alpha: f64) -> f64 {
        let (a, b) = (self.gamma(alpha), self.gamma(alpha));
        // The smallest parameters give numbers that are all but 0 or 1, of which both gammas may vanish.
        if a + b > 0.0 { a / (a + b) } else { self.uniform().round() }
    }
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

    #[test]
    fn beta_numbers_follow_the_distributions_that_have_a_closed_form() {
        let uniform: fn(f64) -> f64 = |x| x;
        let arcsine: fn(f64) -> f64 = |x| std::f64::consts::FRAC_2_PI * x.sqrt().asin();
        let parabola: fn(f64) -> f64 = |x| x * x * (3.0 - 2.0 * x);
        for (alpha, distribution) in [(0.5, arcsine), (1.0, uniform), (2.0, parabola)] {
            let mut randomness = Randomness::new(3);
            let mut numbers: Vec<f64> = (0..20_000).map(|_| randomness.beta(alpha)).collect();
            numbers.sort_by(f64::total_cmp);
            let distances = numbers
                .iter()
                .enumerate()
                .map(|(rank, &number)| ((rank as f64 + 0.5) / 20_000.0 - distribution(number)).abs());
            // Kolmogorov and Smirnov's distance, at a level of about 1e-6.
            let distance = distances.fold(0.0, f64::max);
            assert!(distance < 2.7 / 20_000f64.sqrt(), "{alpha}: {distance}");
        }
        let mut randomness = Randomness::new(3);
        assert!((0..100).all(|_| (0.0..=1.0).contains(&randomness.beta(1e-3))));
    }
}
