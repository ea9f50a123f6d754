//! How images of a training batch, and their labels, are mixed with each other.

use serde::{Deserialize, Serialize};

/// Parameters of the Beta distributions that the shares of mixed images are drawn of; 0: not at all. Where both are above 0, a
/// batch is mixed in one way or the other.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mixing {
    /// Mixup: images are blended.
    pub mixup: f64,
    /// Cutmix: a rectangle is taken from the other image.
    pub cutmix: f64,
}

impl Mixing {
    /// Tells whether nothing is mixed.
    #[must_use]
    pub fn is_none(self) -> bool {
        self == Self::default()
    }
}
