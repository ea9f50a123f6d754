//! What observations far below the others are taken for.

use serde::{Deserialize, Serialize};

/// How the surrogate sees values below the median. Those above stay as they are.
///
/// Its noise and its amplitude are the same everywhere. A few points at which the objective collapses would otherwise set
/// the scale, and the differences between good ones vanish in what is taken for noise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LowValues {
    /// Raised to median - (best - median): below, they only say "bad".
    #[default]
    Floored,
    /// With s = best - median, y becomes median - s ln(1 + (median - y) / s): still in order, with slope 1 at the median
    /// and ever flatter below.
    Compressed,
}

impl LowValues {
    /// Raises low values in place. Where half of all are best there is no scale to go by, and nothing changes.
    pub(super) fn raise(self, values: &mut [f64]) {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        let (median, best) = (sorted[sorted.len() / 2], sorted[sorted.len() - 1]);
        if best <= median {
            return;
        }
        let scale = best - median;
        for value in values.iter_mut().filter(|value| **value < median) {
            *value = match self {
                Self::Floored => value.max(median - scale),
                Self::Compressed => median - scale * ((median - *value) / scale).ln_1p(),
            };
        }
    }
}

/// What an infeasible point counts as.
pub(super) fn below_the_worst(objectives: &[f64]) -> f64 {
    let count = objectives.len() as f64;
    let mean = objectives.iter().sum::<f64>() / count;
    let sd = (objectives.iter().map(|y| (y - mean).powi(2)).sum::<f64>() / (count - 1.0)).sqrt();
    objectives.iter().copied().fold(f64::INFINITY, f64::min) - 0.5 * sd.max(f64::EPSILON)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_collapsed_trial_does_not_set_the_scale() {
        let mut values = [0.79, 0.80, 0.81, 0.82, 0.83, 0.44];
        LowValues::Floored.raise(&mut values);
        assert!((values[5] - 0.79).abs() < 1e-9, "{values:?}");
        assert!((values[0] - 0.79).abs() < 1e-9 && (values[4] - 0.83).abs() < 1e-9, "{values:?}");
        let mut equal = [0.8, 0.8, 0.1];
        LowValues::Floored.raise(&mut equal);
        assert!((equal[2] - 0.1).abs() < 1e-9);
    }

    #[test]
    fn compressed_values_keep_their_order_and_the_upper_half() {
        let before = [-1e6, -100.0, -3.0, -2.0, -1.0, 0.0, 1.0];
        let mut values = before;
        LowValues::Compressed.raise(&mut values);
        assert!(values.windows(2).all(|pair| pair[0] < pair[1]), "{values:?}");
        assert!(values[3..].iter().zip(&before[3..]).all(|(a, b)| (a - b).abs() < 1e-12), "{values:?}");
        assert!(values[0] > -50.0 && values[2] > before[2], "{values:?}");
    }
}
