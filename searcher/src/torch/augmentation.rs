//! Random changes of training images, as operations on whole batches.
//!
//! What is drawn depends on a seed alone and not on the device: equal seeds give equal images.

mod colour_jitter;
mod crop;
mod resampling;
#[cfg(test)]
mod tests;

use tch::Tensor;

use crate::randomness::{Randomness, seed_for};
use crate::target::Augmentation;
use colour_jitter::jitter_colours;
use crop::Crop;
use resampling::{Axis, resample};

/// Pixels of black around an image that is shifted.
const PADDING: i64 = 4;

/// Changes a batch of images, f32 in 0..=1, k × channels × height × width, into another of the same size. The random numbers
/// are a function of `seed` and `step`.
pub(super) fn augment(images: Tensor, augmentation: Augmentation, seed: u64, step: u64) -> Tensor {
    let mut randomness = Randomness::new(seed_for(seed, step, "augmentation"));
    let (count, _, height, width) = images.size4().expect("images are k × channels × height × width");
    match augmentation {
        Augmentation::None => images,
        Augmentation::Flip => {
            let crops = (0..count).map(|_| Crop { mirrored: flip(&mut randomness), ..Crop::whole(height, width) });
            cut(&images, &crops.collect::<Vec<Crop>>())
        }
        Augmentation::Cifar => {
            let padded = images.constant_pad_nd([PADDING; 4]);
            let shift = |randomness: &mut Randomness| integer_below(randomness, 2 * PADDING + 1) as f64;
            let crops = (0..count).map(|_| {
                let (top, left) = (shift(&mut randomness), shift(&mut randomness));
                Crop { top, left, mirrored: flip(&mut randomness), ..Crop::whole(height, width) }
            });
            let crops: Vec<Crop> = crops.collect();
            let [rows, columns] = axes(&crops, height, width);
            resample(&padded, &rows, &columns)
        }
        Augmentation::Imagenet => {
            let crops = (0..count).map(|_| {
                let crop = Crop::resized(&mut randomness, height, width);
                Crop { mirrored: flip(&mut randomness), ..crop }
            });
            let cropped = cut(&images, &crops.collect::<Vec<Crop>>());
            jitter_colours(&cropped, &mut randomness)
        }
    }
}

fn cut(images: &Tensor, crops: &[Crop]) -> Tensor {
    let (_, _, height, width) = images.size4().expect("images are k × channels × height × width");
    let [rows, columns] = axes(crops, height, width);
    resample(images, &rows, &columns)
}

/// Where the rows and columns of the result come from.
fn axes(crops: &[Crop], height: i64, width: i64) -> [Axis; 2] {
    let rows = Axis::new(crops.iter().map(|crop| (crop.top, crop.height, false)), height);
    let columns = Axis::new(crops.iter().map(|crop| (crop.left, crop.width, crop.mirrored)), width);
    [rows, columns]
}

fn flip(randomness: &mut Randomness) -> bool {
    randomness.uniform() < 0.5
}

/// Uniform between two numbers.
fn between(randomness: &mut Randomness, [low, high]: [f64; 2]) -> f64 {
    low + (high - low) * randomness.uniform()
}

/// Uniform in 0..`bound`.
#[allow(clippy::cast_possible_truncation, reason = "the product is below an i64")]
fn integer_below(randomness: &mut Randomness, bound: i64) -> i64 {
    (randomness.uniform() * bound as f64) as i64
}
