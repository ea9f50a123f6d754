//! Random erasing (Zhong et al. 2020), as timm's `RandomErasing(.25, mode="pixel")` and Swin transformers are trained with.

use tch::Tensor;

use crate::data::crops::Part;
use crate::randomness::{Randomness, seed_for};
use crate::target::below;
use crate::torch::images::to_i64;

/// Probability that a part of an image is erased.
const PROBABILITY: f64 = 0.25;
/// Share of an image's area that the part has, at least and at most.
const AREA: [f64; 2] = [0.02, 1.0 / 3.0];
/// Height over width of the part, at least and at most.
const RATIO: [f64; 2] = [0.3, 1.0 / 0.3];
/// Parts that are drawn until one fits into the image; else nothing is erased.
const TRIES_MAX: usize = 10;

/// Draws what is erased of an image of this height and width, if anything.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "sides of images are far below 2^53")]
pub(super) fn part(randomness: &mut Randomness, height: usize, width: usize) -> Option<Part> {
    if randomness.uniform() >= PROBABILITY {
        return None;
    }
    (0..TRIES_MAX).find_map(|_| {
        let area = randomness.between(AREA) * (height * width) as f64;
        let ratio = randomness.between(RATIO.map(f64::ln)).exp();
        let (high, wide) = ((area * ratio).sqrt().round() as usize, (area / ratio).sqrt().round() as usize);
        (high < height && wide < width).then(|| {
            let (top, left) = (below(randomness, height - high + 1), below(randomness, width - wide + 1));
            Part { top, left, height: high, width: wide }
        })
    })
}

/// Puts standard normal noise in the place of a part of some images, which are scaled to mean 0 and standard deviation 1: f32,
/// k × channels × height × width.
///
/// The noise of all images is taken from one run of random numbers twice as long as an image has pixels, from random places on.
pub(in crate::torch) fn erase(images: &Tensor, seed: u64, step: u64) -> Tensor {
    let mut randomness = Randomness::new(seed_for(seed, step, "erasing"));
    let size = images.size();
    let sides: Vec<usize> = size.iter().map(|&side| usize::try_from(side).expect("a size is not negative")).collect();
    let &[count, channels, height, width] = sides.as_slice() else {
        panic!("images are k × channels × height × width")
    };
    let parts: Vec<Option<Part>> = (0..count).map(|_| part(&mut randomness, height, width)).collect();
    let erased = images.copy();
    if parts.iter().all(Option::is_none) {
        return erased;
    }
    let pixels = channels * height * width;
    #[allow(clippy::cast_possible_truncation, reason = "noise needs no more than f32")]
    let noise: Vec<f32> = (0..2 * pixels).map(|_| randomness.normal() as f32).collect();
    let noise = Tensor::from_slice(&noise).to_device(images.device());
    for (position, part) in parts.into_iter().enumerate() {
        let Some(part) = part else { continue };
        let [top, left, height, width] = [part.top, part.left, part.height, part.width].map(to_i64);
        let first = to_i64(below(&mut randomness, pixels));
        let noise = noise.narrow(0, first, size[1] * height * width).reshape([size[1], height, width]);
        erased.get(to_i64(position)).narrow(1, top, height).narrow(2, left, width).copy_(&noise);
    }
    erased
}
