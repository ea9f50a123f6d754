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
    /// Brightness, contrast and saturation times .6 to 1.4.
    Colours,
    /// A part of 8 to 100% of the area, with sides from 3:4 to 4:3, brought back to the image's size; half of them mirrored;
    /// brightness, contrast and saturation times .6 to 1.4.
    Imagenet,
}

impl Augmentation {
    /// Returns what is left of this for examples that are random crops already, half of them mirrored.
    #[must_use]
    pub const fn of_crops(self) -> Self {
        match self {
            Self::None | Self::Flip | Self::Cifar => Self::None,
            Self::Colours | Self::Imagenet => Self::Colours,
        }
    }

    /// Tells whether colours are changed.
    #[must_use]
    pub const fn changes_colours(self) -> bool {
        matches!(self, Self::Colours | Self::Imagenet)
    }

    /// Tells whether images stay as they are.
    #[must_use]
    pub fn is_none(&self) -> bool {
        *self == Self::None
    }
}
