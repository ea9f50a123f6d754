//! How training images are changed at random.

use serde::{Deserialize, Serialize};

/// What is done to each image of a training batch, anew in each. Features, validation and test see images as they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Augmentation {
    /// Nothing.
    #[default]
    None,
    /// Half of them mirrored.
    Flip,
    /// Shifted by up to 4 pixels in each direction, with black behind, and half of them mirrored.
    Cifar,
    /// Brightness, contrast and saturation times .6 to 1.4 and the hue turned by up to a tenth, in random order.
    Colours,
    /// A part of 8 to 100% of the area, with sides from 3:4 to 4:3, brought back to the image's size; half of them mirrored;
    /// and [`Self::Colours`].
    Imagenet,
    /// RandAugment, up to two changes of fifteen at magnitude 9 of 10; and of a quarter of the images a part of 2 to 33% of the area
    /// is noise (random erasing).
    RandAugment,
    /// A part, mirrored or not, as [`Self::Imagenet`] takes it; and [`Self::RandAugment`].
    Swin,
}

impl Augmentation {
    /// Returns what is left of this for examples that are random crops already, half of them mirrored.
    #[must_use]
    pub const fn of_crops(self) -> Self {
        match self {
            Self::None | Self::Flip | Self::Cifar => Self::None,
            Self::Colours | Self::Imagenet => Self::Colours,
            Self::RandAugment | Self::Swin => Self::RandAugment,
        }
    }

    /// Tells whether colours are changed, which only images of bytes have.
    #[must_use]
    pub const fn changes_colours(self) -> bool {
        matches!(self, Self::Colours | Self::Imagenet) || self.erases()
    }

    /// Tells whether parts are erased.
    #[must_use]
    pub const fn erases(self) -> bool {
        matches!(self, Self::RandAugment | Self::Swin)
    }

    /// Tells whether images stay as they are.
    #[must_use]
    pub fn is_none(&self) -> bool {
        *self == Self::None
    }
}
