//! RandAugment (Cubuk et al. 2020), as timm has it by the name `rand-m9-n2-mstd0.5-inc1` and Swin transformers are trained with
//! (timm's `auto_augment.py`, Swin's `config.py`): of fifteen changes two are drawn, each done with probability ½, by a magnitude about
//! 9 of 10. Between pixels it interpolates bilinearly; timm takes bicubic splines.

use tch::Tensor;

use super::affine::{Affine, transform};
use super::groups::{amounts, change_each};
use super::{colours, tones};
use crate::randomness::Randomness;
use crate::target::below;

/// Changes that are drawn for an image.
const LAYERS: usize = 2;
/// Probability that a change that is drawn is done.
const PROBABILITY: f64 = 0.5;
/// Mean and standard deviation of the magnitude.
const MAGNITUDE: (f64, f64) = (9.0, 0.5);
/// The largest magnitude.
const MAGNITUDE_MAX: f64 = 10.0;

/// What is done to an image. The amounts at the largest magnitude are in [`Self::amount`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Change {
    AutoContrast,
    Equalize,
    Invert,
    Rotate,
    Posterize,
    Solarize,
    SolarizeAdd,
    Saturation,
    Contrast,
    Brightness,
    Sharpness,
    ShearX,
    ShearY,
    ShiftX,
    ShiftY,
}

impl Change {
    pub(super) const ALL: [Self; 15] = [
        Self::AutoContrast,
        Self::Equalize,
        Self::Invert,
        Self::Rotate,
        Self::Posterize,
        Self::Solarize,
        Self::SolarizeAdd,
        Self::Saturation,
        Self::Contrast,
        Self::Brightness,
        Self::Sharpness,
        Self::ShearX,
        Self::ShearY,
        Self::ShiftX,
        Self::ShiftY,
    ];

    /// How much is done at a level from 0 to 1; where that may go both ways, the other one if `negated`. Degrees, bits that stay,
    /// bytes, factors, and shifts as shares of the side.
    pub(super) fn amount(self, level: f64, negated: bool) -> f64 {
        let signed = |amount: f64| if negated { -amount } else { amount };
        match self {
            Self::AutoContrast | Self::Equalize | Self::Invert => 0.0,
            Self::Rotate => signed(30.0 * level),
            Self::Posterize => 4.0 - (4.0 * level).floor(),
            Self::Solarize => 256.0 - (256.0 * level).floor(),
            Self::SolarizeAdd => (110.0 * level).floor(),
            Self::Saturation | Self::Contrast | Self::Brightness | Self::Sharpness => {
                (1.0 + signed(0.9 * level)).max(0.1)
            }
            Self::ShearX | Self::ShearY => signed(0.3 * level),
            Self::ShiftX | Self::ShiftY => signed(0.45 * level),
        }
    }

    fn apply(self, images: &Tensor, values: &[f64], fill: &Tensor) -> Tensor {
        let (_, _, height, width) = images.size4().expect("images are k × channels × height × width");
        let amounts = || amounts(values, images.device());
        let by_map = |map: &dyn Fn(f64) -> Affine| {
            transform(images, &values.iter().map(|&value| map(value)).collect::<Vec<Affine>>(), fill)
        };
        match self {
            Self::AutoContrast => tones::auto_contrast(images),
            Self::Equalize => tones::equalize(images),
            Self::Invert => tones::invert(images),
            Self::Rotate => by_map(&|degrees| Affine::rotation(degrees, height, width)),
            Self::Posterize => tones::posterize(images, &amounts()),
            Self::Solarize => tones::solarize(images, &amounts()),
            Self::SolarizeAdd => tones::solarize_add(images, &amounts()),
            Self::Saturation => colours::saturation(images, &amounts()),
            Self::Contrast => colours::contrast(images, &amounts()),
            Self::Brightness => colours::brightness(images, &amounts()),
            Self::Sharpness => colours::sharpness(images, &amounts()),
            Self::ShearX => by_map(&Affine::shear_x),
            Self::ShearY => by_map(&Affine::shear_y),
            Self::ShiftX => by_map(&|share| Affine::shift(share * width as f64, 0.0)),
            Self::ShiftY => by_map(&|share| Affine::shift(0.0, share * height as f64)),
        }
    }
}

/// Draws a change with its amount, or that nothing is done.
pub(super) fn draw(randomness: &mut Randomness) -> Option<(Change, f64)> {
    let change = Change::ALL[below(randomness, Change::ALL.len())];
    if randomness.uniform() >= PROBABILITY {
        return None;
    }
    let magnitude = (MAGNITUDE.0 + MAGNITUDE.1 * randomness.normal()).clamp(0.0, MAGNITUDE_MAX);
    Some((change, change.amount(magnitude / MAGNITUDE_MAX, randomness.uniform() < 0.5)))
}

/// Changes images, f32 in 0..=1; outside of images that are moved lies `fill`, 1 × channels × 1 × 1.
pub(super) fn rand_augment(images: Tensor, fill: &Tensor, randomness: &mut Randomness) -> Tensor {
    let drawn: Vec<[Option<(Change, f64)>; LAYERS]> =
        (0..images.size()[0]).map(|_| std::array::from_fn(|_| draw(randomness))).collect();
    (0..LAYERS).fold(images, |images, layer| {
        let apply = |change: Change, images: &Tensor, values: &[f64]| change.apply(images, values, fill);
        change_each(images, drawn.iter().map(|changes| changes[layer]), &apply)
    })
}
