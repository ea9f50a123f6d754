//! Random changes of training images, as operations on whole batches.
//!
//! What is drawn depends on a seed alone and not on the device: equal seeds give equal images.

mod affine;
mod colour_jitter;
mod colours;
mod crop;
mod erasing;
mod groups;
mod mixing;
mod rand_augment;
mod resampling;
#[cfg(test)]
mod tests;
mod tones;

use tch::Tensor;

use super::images::to_i64;
use crate::data::crops::{CropConfig, Part};
use crate::randomness::{Randomness, seed_for};
use crate::target::{Augmentation, below};
use colour_jitter::jitter_colours;
pub(super) use crop::Crop;
pub(super) use erasing::erase;
pub(super) use mixing::{Partners, mix};
use rand_augment::rand_augment;
use resampling::{Axis, resample};

/// Pixels of black around an image that is shifted.
const PADDING_PX: usize = 4;

/// Changes a batch of images, f32 in 0..=1, k × channels × height × width, into another of the same size; where nothing is left
/// of an image that is moved, there is `fill`, 1 × channels × 1 × 1. The random numbers are a function of `seed` and `step`.
pub(super) fn augment(images: Tensor, augmentation: Augmentation, fill: &Tensor, seed: u64, step: u64) -> Tensor {
    let mut randomness = Randomness::new(seed_for(seed, step, "augmentation"));
    let (count, _, height, width) = images.size4().expect("images are k × channels × height × width");
    match augmentation {
        Augmentation::None => images,
        Augmentation::Flip => {
            let crops = (0..count).map(|_| Crop { mirrored: flip(&mut randomness), ..Crop::whole(height, width) });
            cut(&images, &crops.collect::<Vec<Crop>>(), (height, width))
        }
        Augmentation::Cifar => {
            let padded = images.constant_pad_nd([to_i64(PADDING_PX); 4]);
            let shift = |randomness: &mut Randomness| below(randomness, 2 * PADDING_PX + 1) as f64;
            let crops = (0..count).map(|_| {
                let (top, left) = (shift(&mut randomness), shift(&mut randomness));
                Crop { top, left, mirrored: flip(&mut randomness), ..Crop::whole(height, width) }
            });
            let crops: Vec<Crop> = crops.collect();
            let [rows, columns] = axes(&crops, height, width);
            resample(&padded, &rows, &columns)
        }
        Augmentation::Colours => jitter_colours(images, &mut randomness),
        Augmentation::RandAugment => rand_augment(images, fill, &mut randomness),
        Augmentation::Imagenet | Augmentation::Swin => {
            let sides = [height, width].map(|side| usize::try_from(side).expect("an image has no negative sides"));
            let crops = (0..count).map(|_| {
                let part = Part::resized(&mut randomness, sides.into(), CropConfig::SCALE);
                Crop { mirrored: flip(&mut randomness), ..Crop::from(part) }
            });
            let cropped = cut(&images, &crops.collect::<Vec<Crop>>(), (height, width));
            if augmentation == Augmentation::Imagenet {
                jitter_colours(cropped, &mut randomness)
            } else {
                rand_augment(cropped, fill, &mut randomness)
            }
        }
    }
}

/// Returns a crop of each image, brought to a height and width.
pub(super) fn cut(images: &Tensor, crops: &[Crop], (height, width): (i64, i64)) -> Tensor {
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
