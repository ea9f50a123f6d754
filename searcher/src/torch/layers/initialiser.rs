//! The source of initial weights.

use tch::{Device, Kind, Tensor};

use crate::randomness::Randomness;

/// Where truncated normal numbers end, whatever their deviation: torchvision's choice for transformers.
const TRUNCATION: f64 = 2.0;

/// Draws initial weights from a seed, or leaves them 0 where a file is about to be read into them.
#[derive(Debug)]
pub(in crate::torch) struct Initialiser {
    randomness: Option<Randomness>,
}

impl Initialiser {
    pub(in crate::torch) fn new(seed: u64) -> Self {
        Self { randomness: Some(Randomness::new(seed)) }
    }

    /// Weights of 0, which cost next to nothing.
    pub(in crate::torch) const fn blank() -> Self {
        Self { randomness: None }
    }

    /// Uniform in (-`bound`, `bound`).
    pub(super) fn uniform(&mut self, size: &[i64], bound: f64) -> Tensor {
        self.fill(size, |randomness| bound * (2.0 * randomness.uniform() - 1.0))
    }

    /// Normal with mean 0.
    pub(super) fn normal(&mut self, size: &[i64], standard_deviation: f64) -> Tensor {
        self.fill(size, |randomness| standard_deviation * randomness.normal())
    }

    /// Normal with mean 0, drawn again where it is beyond -2 or 2.
    pub(in crate::torch) fn truncated_normal(&mut self, size: &[i64], standard_deviation: f64) -> Tensor {
        self.fill(size, |randomness| {
            loop {
                let value = standard_deviation * randomness.normal();
                if value.abs() <= TRUNCATION {
                    return value;
                }
            }
        })
    }

    #[allow(clippy::cast_possible_truncation, reason = "weights are f32")]
    fn fill(&mut self, size: &[i64], mut value: impl FnMut(&mut Randomness) -> f64) -> Tensor {
        let Some(randomness) = &mut self.randomness else { return zeros(size) };
        let count = size.iter().product::<i64>();
        let values: Vec<f32> = (0..count).map(|_| value(randomness) as f32).collect();
        Tensor::from_slice(&values).reshape(size)
    }
}

/// Returns zeros that an [`Initialiser`] has no say in.
pub(super) fn zeros(size: &[i64]) -> Tensor {
    Tensor::zeros(size, (Kind::Float, Device::Cpu))
}
