//! A stand-in for training that is exact and takes microseconds: how accurate a network becomes under a sampler, by a
//! closed formula of the sampler's probabilities over synthetic examples.
//!
//! The formula is [`accuracy`]. The examples have losses, renormed entropies and gradient norms like those of a network
//! that has not memorised its wrong labels: the logarithm of the loss is normal, higher where the label is wrong, with
//! AUROC about .98; how many labels are wrong, how far losses lie apart and how the entropy follows the loss and the
//! label differ between seeds. They are grouped into 32 × 32 cells of equal size, for which probabilities are exact. So
//! the landscape has the true symmetries: the scales of c and v cancel, and mirror images are one sampler.

use swift_sampler::{Cells, Dataset, FeatureTable, Resolution, Sampler, SamplerSpec, SwiftSpec, Transform};

use crate::randomness::{Randomness, seed_for};
use crate::space::Space;

/// Synthetic examples of a landscape.
const EXAMPLES: usize = 20_000;
/// Bits of a feature's quantile in a cell.
const CELL_BITS: u32 = 5;
/// What guessing one of ten classes achieves: no sampler is worse.
const CHANCE: f64 = 0.1;

/// Returns the accuracy of a network whose draws were mislabelled with probability `wrong`, and had the effective sample
/// size `size`, relative to the number of examples:
///
/// 0.87 - 0.0077 / size - 0.13 wrong - 0.12 wrong², at least 0.1.
///
/// The numbers are those of retrained networks on Fashion-MNIST with 40% wrong labels (`experiments/fashion40`).
#[must_use]
pub fn accuracy(wrong: f64, size: f64) -> f64 {
    let size = size.max(f64::MIN_POSITIVE);
    (0.87 - 0.0077 / size - 0.13 * wrong - 0.12 * wrong * wrong).max(CHANCE)
}

/// Accuracy over samplers of the paper's ten parameters.
#[derive(Debug)]
pub struct Landscape {
    space: Space,
    dataset: Dataset,
    /// Share of mislabelled examples in each cell.
    wrong: Vec<f64>,
}

/// How a sampler does.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Outcome {
    /// By [`accuracy`].
    pub accuracy: f64,
    /// Effective sample size, relative to the number of examples; 0 if nothing can be drawn.
    pub size: f64,
}

impl Landscape {
    /// Makes the examples of a seed.
    ///
    /// # Panics
    /// Never: the columns are finite and have the features' names.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let space =
            Space { features: vec!["loss".to_owned(), "entropy".to_owned()], segments: 4, transform: Transform::Cgf };
        let mut varied = Randomness::new(seed_for(seed, 0, "landscape"));
        let mut between = |low: f64, high: f64| low + (high - low) * varied.uniform();
        let label_noise = between(0.2, 0.5);
        let (ln_loss_gap, ln_loss_sd) = (between(2.2, 2.6), between(0.7, 0.9));
        let (entropy_by_loss, entropy_by_label) = (between(-0.3, 0.1), between(-0.3, 0.3));
        let mut randomness = Randomness::new(seed_for(seed, 0, "landscape examples"));
        let mislabelled: Vec<bool> = (0..EXAMPLES).map(|_| randomness.uniform() < label_noise).collect();
        let (mut loss, mut entropy, mut gradient_norm) = (Vec::new(), Vec::new(), Vec::new());
        for wrong in mislabelled.iter().copied().map(f64::from) {
            let example_loss = (-1.5 + ln_loss_gap * wrong + ln_loss_sd * randomness.normal()).exp();
            let level = 1.6 + entropy_by_loss * example_loss + entropy_by_label * wrong;
            loss.push(example_loss);
            entropy.push((level + 0.3 * randomness.normal()).max(0.0));
            gradient_norm.push(1.0 - (-example_loss).exp());
        }
        let columns = [("loss", loss), ("entropy", entropy), ("grad_norm", gradient_norm)];
        let table = FeatureTable::new(columns.map(|(name, column)| (name.to_owned(), column)).into())
            .expect("the columns are finite and of one length");
        let cells = Cells::build(&table, &space.features, Some("grad_norm"), Resolution::Bits(CELL_BITS))
            .expect("the features are columns");
        let of_cell = |cell: usize| {
            let rows = (0..cells.count(cell)).map(|position| cells.row(cell, position) as usize);
            rows.filter(|&row| mislabelled[row]).count() as f64 / f64::from(cells.count(cell))
        };
        let wrong = (0..cells.len()).map(of_cell).collect();
        let dataset =
            Dataset::from_stored(table, Some("grad_norm".to_owned()), cells).expect("the cells are of this table");
        Self { space, dataset, wrong }
    }

    /// Returns the samplers it is over.
    #[must_use]
    pub fn space(&self) -> &Space {
        &self.space
    }

    /// Returns the examples' features, which a search may look at.
    #[must_use]
    pub fn table(&self) -> &FeatureTable {
        self.dataset.table()
    }

    /// Returns how a sampler does, exactly, in O(cells · log cells).
    #[must_use]
    pub fn of_sampler(&self, spec: &SamplerSpec) -> Outcome {
        let nothing = Outcome { accuracy: CHANCE, size: 0.0 };
        if matches!(spec, SamplerSpec::Uniform {}) {
            let rows = self.dataset.rows() as f64;
            let cells = self.dataset.cells();
            let wrong = self.wrong.iter().enumerate().map(|(cell, wrong)| wrong * f64::from(cells.count(cell)) / rows);
            return Outcome { accuracy: accuracy(wrong.sum(), 1.0), size: 1.0 };
        }
        let Ok(sampler) = Sampler::build(spec, &self.dataset) else { return nothing };
        let cells = sampler.cells();
        let mass = |cell: usize| sampler.cell_probability(cell) * f64::from(cells.count(cell));
        let wrong = self.wrong.iter().enumerate().map(|(cell, wrong)| wrong * mass(cell)).sum();
        let size = sampler.effective_sample_size() / self.dataset.rows() as f64;
        Outcome { accuracy: accuracy(wrong, size), size }
    }

    /// Returns how the sampler at a point of the cube does; one that cannot draw anything is no better than chance.
    #[must_use]
    pub fn at(&self, point: &[f64]) -> Outcome {
        self.space.sampler(point).map_or(Outcome { accuracy: CHANCE, size: 0.0 }, |sampler| self.of_sampler(&sampler))
    }

    /// Returns the best accuracy that a long search finds: cuts along each direction of (loss, entropy), then local
    /// search over all ten parameters from the best of them. About 10^4 evaluations; the same each time.
    ///
    /// # Panics
    /// Never: a cut is a sampler of the space.
    #[must_use]
    pub fn best(&self) -> f64 {
        let mut ranked: Vec<(f64, Vec<f64>)> = Vec::new();
        for direction in 0..32 {
            let angle = f64::from(direction) / 32.0 * std::f64::consts::TAU;
            for place in 1..20 {
                let place = f64::from(place) / 20.0;
                let point = self.space.point(&SwiftSpec {
                    features: self.space.features.clone(),
                    coefficients: vec![angle.cos(), angle.sin()],
                    knots: vec![place / 2.0, place, (place + 0.05).min(1.0)],
                    values: vec![1.0, 1.0, 1.0, 0.0, 0.0],
                    transform: self.space.transform,
                });
                let point = point.expect("the cut has the space's shape");
                ranked.push((self.at(&point).accuracy, point));
            }
        }
        ranked.sort_by(|a, b| b.0.total_cmp(&a.0));
        let mut randomness = Randomness::new(1);
        let polished = ranked.into_iter().take(12).map(|start| self.polish(start, &mut randomness));
        polished.fold(0.0, f64::max)
    }

    fn polish(&self, (mut best, mut point): (f64, Vec<f64>), randomness: &mut Randomness) -> f64 {
        let cube = self.space.cube();
        for round in 0..800 {
            let sd = 0.2 * 0.5f64.powi(round / 100);
            let mut moved = point.clone();
            for x in &mut moved {
                let (changes, step) = (randomness.uniform() < 0.3, sd * randomness.normal());
                if changes {
                    *x = (*x + step).clamp(0.0, 1.0);
                }
            }
            cube.canonicalise(&mut moved);
            let accuracy = self.at(&moved).accuracy;
            if accuracy > best {
                (best, point) = (accuracy, moved);
            }
        }
        best
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mirror_images_and_scaled_coefficients_and_values_are_one_sampler() {
        let landscape = Landscape::new(4);
        let point = [0.9, 0.3, 0.2, 0.35, 0.6, 0.6, 1.0, 0.8, 0.1, 0.0];
        let scaled = [0.5 + 0.4 * 0.5, 0.5 - 0.2 * 0.5, 0.2, 0.35, 0.6, 0.3, 0.5, 0.4, 0.05, 0.0];
        let mirrored = [0.1, 0.7, 0.4, 0.65, 0.8, 0.0, 0.1, 0.8, 1.0, 0.6];
        let expected = landscape.at(&point).accuracy;
        assert!((landscape.at(&scaled).accuracy - expected).abs() < 1e-9);
        assert!((landscape.at(&mirrored).accuracy - expected).abs() < 1e-9);
    }

    #[test]
    fn the_best_is_above_uniform_and_thousands_of_other_samplers() {
        for seed in 0..3 {
            let landscape = Landscape::new(seed);
            let best = landscape.best();
            assert!(best > landscape.of_sampler(&SamplerSpec::Uniform {}).accuracy + 0.02);
            let cube = landscape.space().cube();
            let random = (0..2000).map(|index| landscape.at(&cube.sobol(index, 5)).accuracy).fold(0.0, f64::max);
            assert!(random <= best, "seed {seed}: {random} {best}");
        }
    }

    #[test]
    fn losses_tell_wrong_labels_as_well_as_real_ones_do() {
        for seed in 0..5 {
            let landscape = Landscape::new(seed);
            let cells = landscape.dataset.cells();
            let (mut right_below, mut pairs) = (0.0, 0.0);
            let share = |cell: usize| {
                (cells.quantiles(cell).next().unwrap(), landscape.wrong[cell], f64::from(cells.count(cell)))
            };
            for (a, wrong_a, count_a) in (0..cells.len()).map(share) {
                for (b, wrong_b, count_b) in (0..cells.len()).map(share) {
                    let weight = wrong_a * count_a * (1.0 - wrong_b) * count_b;
                    pairs += weight;
                    right_below += weight
                        * if b < a {
                            1.0
                        } else if b > a {
                            0.0
                        } else {
                            0.5
                        };
                }
            }
            let auroc: f64 = right_below / pairs;
            assert!((0.95..0.997).contains(&auroc), "seed {seed}: {auroc}");
        }
    }

    #[test]
    fn a_sampler_of_nothing_is_no_better_than_chance() {
        assert_eq!(
            Landscape::new(0).at(&[0.9, 0.1, 0.2, 0.3, 0.4, 0.0, 0.0, 0.0, 0.0, 0.0]),
            Outcome { accuracy: CHANCE, size: 0.0 }
        );
    }
}
