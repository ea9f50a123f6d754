//! Random parts of images.

use crate::randomness::Randomness;
use crate::target::below;

/// Width over height of a part, at least and at most.
const RATIO: [f64; 2] = [3.0 / 4.0, 4.0 / 3.0];
/// Parts that are drawn until one fits into the image.
const TRIES_MAX: usize = 10;

/// A part of an image, in pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Part {
    pub(crate) top: usize,
    pub(crate) left: usize,
    pub(crate) height: usize,
    pub(crate) width: usize,
}

impl Part {
    /// A part of random area and ratio, as torchvision's `RandomResizedCrop` draws it: the share of the area uniform between two,
    /// the ratio's logarithm uniform; after ten that do not fit, the largest of an allowed ratio in the centre.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "sides of images are far below 2^53")]
    pub(crate) fn resized(randomness: &mut Randomness, (height, width): (usize, usize), scale: [f64; 2]) -> Self {
        let area = (height * width) as f64;
        for _ in 0..TRIES_MAX {
            let target = area * randomness.between(scale);
            let ratio = randomness.between(RATIO.map(f64::ln)).exp();
            let (wide, high) = ((target * ratio).sqrt().round() as usize, (target / ratio).sqrt().round() as usize);
            if (1..=width).contains(&wide) && (1..=height).contains(&high) {
                let top = below(randomness, height - high + 1);
                let left = below(randomness, width - wide + 1);
                return Self { top, left, height: high, width: wide };
            }
        }
        let ratio = (width as f64 / height as f64).clamp(RATIO[0], RATIO[1]);
        let wide = width.min((height as f64 * ratio).round() as usize);
        let high = height.min((width as f64 / ratio).round() as usize);
        Self { top: (height - high) / 2, left: (width - wide) / 2, height: high, width: wide }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AREA: [f64; 2] = [0.08, 1.0];

    #[test]
    fn parts_lie_within_the_image_and_have_areas_and_ratios_as_they_should() {
        let mut randomness = Randomness::new(1);
        let parts: Vec<Part> = (0..4000).map(|_| Part::resized(&mut randomness, (224, 224), AREA)).collect();
        let area = |part: &Part| (part.height * part.width) as f64 / (224.0 * 224.0);
        let ratio = |part: &Part| part.width as f64 / part.height as f64;
        for part in &parts {
            assert!(part.top + part.height <= 224 && part.left + part.width <= 224, "{part:?}");
            assert!((0.078..=1.0).contains(&area(part)) && (0.74..1.35).contains(&ratio(part)), "{part:?}");
        }
        // Areas are uniform from .08 to where wide parts no longer fit; logarithms of ratios are symmetric about 0.
        let share = |of: &dyn Fn(&Part) -> bool| parts.iter().filter(|part| of(part)).count() as f64 / 4000.0;
        let (low, high) = (share(&|part| area(part) < 0.28), share(&|part| (0.28..0.48).contains(&area(part))));
        // Half of .2 / .92 each, with a standard deviation of .0065; those that do not fit are drawn again.
        assert!((low - high).abs() < 0.05 && (0.20..0.28).contains(&low), "{low} {high}");
        assert!((share(&|part| ratio(part) > 1.0) - 0.5).abs() < 0.03);
        // Every place is as likely: the distance to the left is on average that to the right.
        let mean = |of: &dyn Fn(&Part) -> usize| parts.iter().map(|part| of(part) as f64).sum::<f64>() / 4000.0;
        let (left, right) = (mean(&|part| part.left), mean(&|part| 224 - part.left - part.width));
        assert!((left - right).abs() < 3.0, "{left} {right}");
    }

    #[test]
    fn areas_keep_to_the_scale_that_is_asked_for() {
        let mut randomness = Randomness::new(2);
        for _ in 0..500 {
            let part = Part::resized(&mut randomness, (100, 80), [0.2, 0.3]);
            let area = (part.height * part.width) as f64 / 8000.0;
            assert!((0.19..0.31).contains(&area), "{part:?}");
        }
    }

    #[test]
    fn an_image_that_no_part_fits_gives_its_centre() {
        let mut randomness = Randomness::new(1);
        for _ in 0..20 {
            let part = Part::resized(&mut randomness, (4, 400), AREA);
            assert!(part.height <= 4 && part.width < 2 * part.height, "{part:?}");
        }
    }
}
