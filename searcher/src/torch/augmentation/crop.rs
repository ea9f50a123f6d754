//! Parts of images.

use super::{between, integer_below};
use crate::randomness::Randomness;

/// Share of an image's area that a part has, at least and at most.
const AREA: [f64; 2] = [0.08, 1.0];
/// Width over height of a part, at least and at most.
const RATIO: [f64; 2] = [3.0 / 4.0, 4.0 / 3.0];
/// Parts that are drawn until one fits into the image.
const TRIES_MAX: usize = 10;

/// A part of an image, in pixels, that is to fill an image again.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Crop {
    pub(super) top: f64,
    pub(super) left: f64,
    pub(super) height: f64,
    pub(super) width: f64,
    /// Left and right change places.
    pub(super) mirrored: bool,
}

impl Crop {
    /// All of an image.
    pub(super) fn whole(height: i64, width: i64) -> Self {
        Self { top: 0.0, left: 0.0, height: height as f64, width: width as f64, mirrored: false }
    }

    /// A part of random area and ratio, as torchvision's `RandomResizedCrop` draws it: the area uniform, the ratio's logarithm
    /// uniform; after ten that do not fit, the largest of an allowed ratio in the centre.
    #[allow(clippy::cast_possible_truncation, reason = "sides of images are far below 2^53")]
    pub(super) fn resized(randomness: &mut Randomness, height: i64, width: i64) -> Self {
        let area = (height * width) as f64;
        for _ in 0..TRIES_MAX {
            let target = area * between(randomness, AREA);
            let ratio = between(randomness, RATIO.map(f64::ln)).exp();
            let (wide, high) = ((target * ratio).sqrt().round() as i64, (target / ratio).sqrt().round() as i64);
            if (1..=width).contains(&wide) && (1..=height).contains(&high) {
                let top = integer_below(randomness, height - high + 1);
                let left = integer_below(randomness, width - wide + 1);
                let [top, left, height, width] = [top, left, high, wide].map(|pixels| pixels as f64);
                return Self { top, left, height, width, mirrored: false };
            }
        }
        let whole = Self::whole(height, width);
        let ratio = (whole.width / whole.height).clamp(RATIO[0], RATIO[1]);
        let wide = whole.width.min((whole.height * ratio).round());
        let high = whole.height.min((whole.width / ratio).round());
        let (top, left) = (((whole.height - high) / 2.0).floor(), ((whole.width - wide) / 2.0).floor());
        Self { top, left, height: high, width: wide, mirrored: false }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_lie_within_the_image_and_have_areas_and_ratios_as_they_should() {
        let mut randomness = Randomness::new(1);
        let crops: Vec<Crop> = (0..4000).map(|_| Crop::resized(&mut randomness, 224, 224)).collect();
        let area = |crop: &Crop| crop.height * crop.width / (224.0 * 224.0);
        let ratio = |crop: &Crop| crop.width / crop.height;
        for crop in &crops {
            assert!(crop.top >= 0.0 && crop.top + crop.height <= 224.0 && crop.left >= 0.0, "{crop:?}");
            assert!(crop.left + crop.width <= 224.0 && (0.078..=1.0).contains(&area(crop)), "{crop:?}");
            assert!((0.74..1.35).contains(&ratio(crop)), "{crop:?}");
        }
        // Areas are uniform from .08 to where wide parts no longer fit; logarithms of ratios are symmetric about 0.
        let share = |of: &dyn Fn(&Crop) -> bool| crops.iter().filter(|crop| of(crop)).count() as f64 / 4000.0;
        let (low, high) = (share(&|crop| area(crop) < 0.28), share(&|crop| (0.28..0.48).contains(&area(crop))));
        // Half of .2 / .92 each, with a standard deviation of .0065; those that do not fit are drawn again.
        assert!((low - high).abs() < 0.05 && (0.20..0.28).contains(&low), "{low} {high}");
        assert!((share(&|crop| ratio(crop) > 1.0) - 0.5).abs() < 0.03);
        // Every place is as likely: the distance to the left is on average that to the right.
        let mean = |of: &dyn Fn(&Crop) -> f64| crops.iter().map(of).sum::<f64>() / 4000.0;
        let (left, right) = (mean(&|crop| crop.left), mean(&|crop| 224.0 - crop.left - crop.width));
        assert!((left - right).abs() < 3.0, "{left} {right}");
    }

    #[test]
    fn an_image_that_no_part_fits_gives_its_centre() {
        let mut randomness = Randomness::new(1);
        for _ in 0..20 {
            let crop = Crop::resized(&mut randomness, 4, 400);
            assert!(crop.height <= 4.0 && crop.width / crop.height < 2.0, "{crop:?}");
        }
    }
}
