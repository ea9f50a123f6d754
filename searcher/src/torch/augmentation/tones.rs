//! Changes of tones, as Pillow's `ImageOps` and torchvision's functions of the same names have them. Images are f32 in 0..=1,
//! k × channels × height × width; what is made for bytes (all but [`auto_contrast`] and [`invert`]) rounds them to bytes.

use tch::{Kind, Tensor};

/// Values of a byte.
const LEVELS: i64 = 256;
/// Largest of them.
const MOST: f64 = 255.0;
/// Value below which [`solarize_add`] adds.
const DARK: f64 = 128.0;

/// Stretches each channel from its darkest and brightest pixel to 0 and 1; one of a single value stays.
pub(super) fn auto_contrast(images: &Tensor) -> Tensor {
    let (low, high) = (images.amin([2i64, 3].as_slice(), true), images.amax([2i64, 3].as_slice(), true));
    let range = high - &low;
    let flat = range.eq(0.0);
    let stretched = (images - low) / (range + flat.to_kind(Kind::Float));
    images.where_self(&flat, &stretched)
}

/// Turns dark into bright.
pub(super) fn invert(images: &Tensor) -> Tensor {
    1.0 - images
}

/// Spreads each channel's values so that equally many pixels have each.
///
/// A value becomes the number of pixels below it and half a step, in steps of the number of pixels (without those of the
/// brightest value) over 255; a channel with less than a step stays.
pub(super) fn equalize(images: &Tensor) -> Tensor {
    let (count, channels, height, width) = images.size4().expect("images are k × channels × height × width");
    let levels = bytes(images).to_kind(Kind::Int64).reshape([count * channels, height * width]);
    let histogram = Tensor::zeros([count * channels, LEVELS], (Kind::Int64, images.device())).scatter_add(
        1,
        &levels,
        &levels.ones_like(),
    );
    let brightest = levels.amax([1i64].as_slice(), true);
    let step = (height * width - histogram.gather(1, &brightest, false)).divide_scalar_mode(LEVELS - 1, "floor");
    let usable = step.clamp_min(1);
    let below = histogram.cumsum(1, Kind::Int64) - &histogram;
    let table =
        (below + usable.divide_scalar_mode(2, "floor")).divide_tensor_mode(&usable, "floor").clamp(0, LEVELS - 1);
    let spread = table.gather(1, &levels, false).where_self(&step.gt(0), &levels);
    (spread.to_kind(Kind::Float) / MOST).reshape(images.size())
}

/// Keeps so many of a byte's highest bits, 0 to 8, k × 1 × 1 × 1.
pub(super) fn posterize(images: &Tensor, bits: &Tensor) -> Tensor {
    let unit = (bits.neg() + 8.0).exp2();
    (bytes(images) / &unit).floor() * unit / MOST
}

/// Inverts what is at least a threshold, in bytes, k × 1 × 1 × 1.
pub(super) fn solarize(images: &Tensor, thresholds: &Tensor) -> Tensor {
    let bytes = bytes(images);
    (MOST - &bytes).where_self(&bytes.ge_tensor(thresholds), &bytes) / MOST
}

/// Adds an amount of bytes, k × 1 × 1 × 1, to what is darker than half.
pub(super) fn solarize_add(images: &Tensor, amounts: &Tensor) -> Tensor {
    let bytes = bytes(images);
    (&bytes + amounts).clamp_max(MOST).where_self(&bytes.lt(DARK), &bytes) / MOST
}

/// Whole numbers from 0 to 255, as f32.
fn bytes(images: &Tensor) -> Tensor {
    (images * MOST).round()
}
