//! A small synthetic image set that a network learns in seconds, for tests.

use super::{ImageShape, LabelledImages, Values};
use crate::randomness::{Randomness, seed_for};

/// Side of a synthetic image in pixels.
const SIDE: usize = 12;
/// Half the width of a blob's bright square in pixels.
const RADIUS: usize = 2;

/// Returns `count` grey images of 12×12 pixels: noise, and a bright square whose place tells the class.
///
/// Classes take turns, so each holds an equal share; at most 16 classes have a place of their own.
#[must_use]
pub fn blobs(count: usize, classes: u8, seed: u64) -> LabelledImages {
    let shape = ImageShape { channels: 1, height: SIDE, width: SIDE };
    let mut pixels = Vec::with_capacity(count * shape.pixels());
    let mut labels = Vec::with_capacity(count);
    let mut randomness = Randomness::new(seed_for(seed, 0, "blobs"));
    for label in (0..classes.max(1)).cycle().take(count) {
        let place = usize::from(label % 16);
        let (top, left) = (place / 4 * 3 + 1, place % 4 * 3 + 1);
        for row in 0..SIDE {
            for column in 0..SIDE {
                let inside = row.abs_diff(top) < RADIUS && column.abs_diff(left) < RADIUS;
                pixels.push(grey(randomness.uniform(), inside));
            }
        }
        labels.push(u16::from(label));
    }
    LabelledImages::new(shape, Values::Bytes(pixels), labels)
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the value lies in 0..256")]
fn grey(uniform: f64, bright: bool) -> u8 {
    (uniform * 128.0 + if bright { 100.0 } else { 0.0 }) as u8
}
