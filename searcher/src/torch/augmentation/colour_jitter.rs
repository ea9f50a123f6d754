//! Random brightness, contrast and saturation.

use tch::{Kind, Tensor};

use crate::randomness::Randomness;
use crate::torch::images::to_i64;

/// Factors of brightness, contrast and saturation, at least and at most.
const FACTOR: [f64; 2] = [0.6, 1.4];
/// Share of red, green and blue in grey (ITU-R BT.601).
const GREY: [f32; 3] = [0.2989, 0.587, 0.114];

/// Multiplies brightness, then contrast, then saturation of each image, f32 in 0..=1, by a factor of its own; what leaves
/// 0..=1 is cut off each time. Saturation is for three channels only.
pub(super) fn jitter_colours(images: &Tensor, randomness: &mut Randomness) -> Tensor {
    let images_count = images.size()[0];
    let mut factors = || {
        #[allow(clippy::cast_possible_truncation, reason = "a factor needs no more than f32")]
        let values: Vec<f32> = (0..images_count).map(|_| randomness.between(FACTOR) as f32).collect();
        Tensor::from_slice(&values).to_device(images.device()).reshape([images_count, 1, 1, 1])
    };
    let [brightness, contrast, saturation] = [factors(), factors(), factors()];
    let bright = (images * brightness).clamp(0.0, 1.0);
    let mean = grey(&bright).mean_dim([1i64, 2, 3].as_slice(), true, Kind::Float);
    let contrasted = blend(&bright, &mean, &contrast);
    if images.size()[1] == to_i64(GREY.len()) {
        blend(&contrasted, &grey(&contrasted), &saturation)
    } else {
        contrasted
    }
}

/// Moves images away from `other`, or towards it.
fn blend(images: &Tensor, other: &Tensor, factor: &Tensor) -> Tensor {
    ((images - other) * factor + other).clamp(0.0, 1.0)
}

/// Returns k × 1 × height × width.
fn grey(images: &Tensor) -> Tensor {
    if images.size()[1] == to_i64(GREY.len()) {
        let weights = Tensor::from_slice(&GREY).to_device(images.device()).reshape([1, -1, 1, 1]);
        (images * weights).sum_dim_intlist([1i64].as_slice(), true, Kind::Float)
    } else {
        images.mean_dim([1i64].as_slice(), true, Kind::Float)
    }
}
