//! How far a sampler is from the exact one, which would weigh every example on its own instead of cell by cell.

use crate::dataset::Dataset;
use crate::philox::{Seed, draw_words};
use crate::sampler::{Sampler, SamplerError};
use crate::spec::SamplerSpec;

/// Examples looked at, half of them uniformly and half as the sampler draws them: few probable ones weigh as much as many
/// others. The standard error is a few hundredths of the estimate.
const EXAMPLES: u64 = 1 << 15;
/// Which examples: always the same of one sampler.
const SEED: Seed = Seed(0x7661_7269_6174_696f);

impl Sampler {
    /// Estimates the total variation distance ½ Σ |p - q| of its probabilities p to those of the exact sampler of its spec,
    /// q; 0 where cells are exact. `dataset` is the one it was built over. Reads 2^15 examples; a sampler and its dataset
    /// have one estimate. Its T is interpolated between the cells', so it may err by a half where cells are coarse and
    /// gradients uneven, mostly upwards.
    ///
    /// # Errors
    /// [`SamplerError`] when the dataset is not the sampler's.
    pub fn total_variation(&self, dataset: &Dataset) -> Result<f64, SamplerError> {
        if self.cells().is_exact() {
            return Ok(0.0);
        }
        let columns: Vec<&[f64]> = match self.spec() {
            SamplerSpec::Uniform {} => return Ok(0.0),
            SamplerSpec::Column { column } => vec![dataset.table().column(column)?],
            SamplerSpec::Swift(swift) => {
                swift.features.iter().map(|feature| dataset.table().column(feature)).collect::<Result<_, _>>()?
            }
        };
        let mut features = vec![0.0; columns.len()];
        let mut weight = |row: u32| {
            features.iter_mut().zip(&columns).for_each(|(feature, column)| *feature = column[row as usize]);
            self.function().map_or(Ok(features[0]), |function| function.weight(&features))
        };
        // Examples come from m = ½ / n + ½ p, so that neither 1 / n nor p is more than twice m.
        let uniform = 1.0 / self.rows() as f64;
        let mut seen = Vec::new();
        for number in 0..EXAMPLES {
            let (cell, position) = self.example_of(number);
            let p = f64::from(self.table().probability(cell));
            let m = 0.5 * uniform + 0.5 * p;
            seen.push((p / m, weight(self.cells().row(cell, position))? / m));
        }
        // q is the weight over the sum of all weights. That of these, where p sums to what it does, errs by as little as q
        // differs from p.
        let (p_sum, weight_sum) =
            seen.iter().fold((0.0, 0.0), |(p_sum, weight_sum), (p, w)| (p_sum + p, weight_sum + w));
        if weight_sum <= 0.0 {
            return Ok(1.0);
        }
        let distance = |(p, weight): &(f64, f64)| (p - weight * (p_sum / weight_sum)).abs();
        Ok(0.5 * seen.iter().map(distance).sum::<f64>() / EXAMPLES as f64)
    }

    /// Returns the cell of an example that is looked at, and its position in it.
    #[allow(clippy::cast_possible_truncation, reason = "places and positions are below the number of rows")]
    fn example_of(&self, number: u64) -> (usize, u32) {
        let [word, position_word] = draw_words(SEED, number);
        let below = |word: u64, end: u32| ((u128::from(word) * u128::from(end)) >> 64) as u32;
        if number.is_multiple_of(2) {
            self.cells().cell_of_place(below(word, self.rows() as u32))
        } else {
            let cell = self.table().cell(word);
            (cell, below(position_word, self.cells().count(cell)))
        }
    }
}
