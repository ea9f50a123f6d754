//! Parts of images, as they are resampled.

use crate::data::crops::{self, Part};

/// A part of an image, in pixels, that is to fill an image again.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::torch) struct Crop {
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
}

impl From<Part> for Crop {
    fn from(part: Part) -> Self {
        let [top, left, height, width] = [part.top, part.left, part.height, part.width].map(|pixels| pixels as f64);
        Self { top, left, height, width, mirrored: false }
    }
}

impl From<crops::Crop> for Crop {
    fn from(crop: crops::Crop) -> Self {
        let [top, left, height, width] = [crop.top, crop.left, crop.height, crop.width].map(f64::from);
        Self { top, left, height, width, mirrored: crop.flip }
    }
}
