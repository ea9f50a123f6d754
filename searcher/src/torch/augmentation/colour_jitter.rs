//! Random brightness, contrast, saturation and hue.

use tch::Tensor;

use super::colours;
use super::groups::{amounts, change_each};
use crate::randomness::Randomness;
use crate::target::shuffle_by;

/// Factors of brightness, contrast and saturation, at least and at most.
const FACTOR: [f64; 2] = [0.6, 1.4];
/// Turns of the hue, at least and at most.
const TURN: [f64; 2] = [-0.1, 0.1];

/// What is changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Change {
    Brightness,
    Contrast,
    Saturation,
    Hue,
}

impl Change {
    const ALL: [Self; 4] = [Self::Brightness, Self::Contrast, Self::Saturation, Self::Hue];

    const fn range(self) -> [f64; 2] {
        match self {
            Self::Brightness | Self::Contrast | Self::Saturation => FACTOR,
            Self::Hue => TURN,
        }
    }

    fn apply(self, images: &Tensor, amounts: &Tensor) -> Tensor {
        match self {
            Self::Brightness => colours::brightness(images, amounts),
            Self::Contrast => colours::contrast(images, amounts),
            Self::Saturation => colours::saturation(images, amounts),
            Self::Hue => colours::hue(images, amounts),
        }
    }
}

/// Draws what is done to an image, as torchvision's `ColorJitter(.4, .4, .4, .1)` does: every change once, in random order.
pub(super) fn draw(randomness: &mut Randomness) -> [(Change, f64); 4] {
    let mut order = Change::ALL;
    shuffle_by(&mut order, randomness);
    order.map(|change| (change, randomness.between(change.range())))
}

/// Changes the colours of images, f32 in 0..=1.
pub(super) fn jitter_colours(images: Tensor, randomness: &mut Randomness) -> Tensor {
    let drawn: Vec<[(Change, f64); 4]> = (0..images.size()[0]).map(|_| draw(randomness)).collect();
    (0..Change::ALL.len()).fold(images, |images, place| {
        change_each(images, drawn.iter().map(|changes| Some(changes[place])), &|change, images, values| {
            change.apply(images, &amounts(values, images.device()))
        })
    })
}
