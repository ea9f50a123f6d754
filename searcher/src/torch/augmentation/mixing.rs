//! Batches mixed with themselves in reverse: mixup (Zhang et al. 2018) and cutmix (Yun et al. 2019), as timm's `Mixup` does it by
//! its mode `batch`.

use tch::Tensor;

use crate::randomness::{Randomness, seed_for};
use crate::target::{Mixing, below};
use crate::torch::images::to_i64;

/// Probability of cutmix where both are on.
const SWITCH: f64 = 0.5;

/// Labels of a mixed batch's other images.
pub(in crate::torch) struct Partners {
    /// i64, k.
    pub(in crate::torch) labels: Tensor,
    /// Share of the batch's own images and labels, from 0 to 1; the rest is the partners'.
    pub(in crate::torch) own_share: f64,
}

/// What is done to a batch.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Mix {
    /// Own images times a share, and partners times the rest.
    Blend(f64),
    /// A part of the partners in its place.
    Paste {
        /// First row and column.
        from: [i64; 2],
        /// Height and width.
        size: [i64; 2],
    },
}

impl Mix {
    /// Draws what is done to a batch of images of this height and width, of which `mixing` does something.
    ///
    /// The share λ of what is kept is Beta(α, α). Cutmix's part has sides of √(1-λ) of the image's, and its centre anywhere; what
    /// of it lies outside of the image is not pasted.
    #[allow(clippy::cast_possible_truncation, reason = "sides of images are far below 2^53")]
    pub(super) fn draw(randomness: &mut Randomness, mixing: Mixing, height: i64, width: i64) -> Self {
        let Mixing { mixup, cutmix } = mixing;
        let paste = cutmix > 0.0 && (mixup <= 0.0 || randomness.uniform() < SWITCH);
        if !paste {
            return Self::Blend(randomness.beta(mixup));
        }
        let side_share = (1.0 - randomness.beta(cutmix)).sqrt();
        let mut side = |length: i64| {
            let (half, centre) = (
                (length as f64 * side_share) as i64 / 2,
                to_i64(below(randomness, usize::try_from(length).expect("a side is not negative"))),
            );
            let (from, to) = ((centre - half).max(0), (centre + half).min(length));
            (from, to - from)
        };
        let ((top, high), (left, wide)) = (side(height), side(width));
        Self::Paste { from: [top, left], size: [high, wide] }
    }

    /// Returns mixed images and the share of a batch's own that is left of each.
    pub(super) fn apply(self, images: &Tensor) -> (Tensor, f64) {
        let partners = images.flip([0]);
        match self {
            Self::Blend(share) => (images * share + partners * (1.0 - share), share),
            Self::Paste { from: [top, left], size: [high, wide] } => {
                let part = |of: &Tensor| of.narrow(2, top, high).narrow(3, left, wide);
                let mixed = images.copy();
                part(&mixed).copy_(&part(&partners));
                let (_, _, height, width) = images.size4().expect("images are k × channels × height × width");
                (mixed, 1.0 - (high * wide) as f64 / (height * width) as f64)
            }
        }
    }
}

/// Mixes images, k × channels × height × width, as `mixing` says; the random numbers are a function of `seed` and `step`.
pub(in crate::torch) fn mix(
    images: Tensor,
    labels: &Tensor,
    mixing: Mixing,
    seed: u64,
    step: u64,
) -> (Tensor, Option<Partners>) {
    if mixing.is_none() {
        return (images, None);
    }
    let (_, _, height, width) = images.size4().expect("images are k × channels × height × width");
    let mut randomness = Randomness::new(seed_for(seed, step, "mixing"));
    let (mixed, own_share) = Mix::draw(&mut randomness, mixing, height, width).apply(&images);
    (mixed, Some(Partners { labels: labels.flip([0]), own_share }))
}
