//! Images cut into patches.

use tch::Tensor;
use tch::nn::Path;

use super::{Initialiser, Pass, add_weight, add_without_decay};
use crate::torch::images::to_i64;

/// Sizes of the cut.
#[derive(Debug, Clone, Copy)]
pub(in crate::torch) struct PatchSize {
    pub(in crate::torch) channels: usize,
    pub(in crate::torch) width: usize,
    /// Pixels of a patch's side.
    pub(in crate::torch) side: usize,
}

/// A linear layer over each square patch of an image, with PyTorch's initial weights: uniform within 1/sqrt(inputs).
///
/// Where the patches do not fill an image's sides, zeros are added at the right and at the bottom.
#[derive(Debug)]
pub(in crate::torch) struct PatchEmbedding {
    weight: Tensor,
    bias: Tensor,
    side: i64,
}

impl PatchEmbedding {
    pub(in crate::torch) fn new(path: &Path<'_>, initialiser: &mut Initialiser, size: PatchSize) -> Self {
        let PatchSize { channels, width, side } = size;
        let bound = 1.0 / ((channels * side * side) as f64).sqrt();
        let weight = initialiser.uniform(&[width, channels, side, side].map(to_i64), bound);
        Self {
            weight: add_weight(path, "weight", &weight),
            bias: add_without_decay(path, "bias", &initialiser.uniform(&[to_i64(width)], bound)),
            side: to_i64(side),
        }
    }

    /// Takes k × channels × height × width and returns k × width × rows × columns of patches.
    pub(in crate::torch) fn forward(&self, images: &Tensor, pass: Pass) -> Tensor {
        let (_, _, height, width) = images.size4().expect("images are k × channels × height × width");
        let missing = |pixels: i64| (self.side - pixels % self.side) % self.side;
        let padded = images.constant_pad_nd([0, missing(width), 0, missing(height)]);
        let (stride, bias) = ([self.side; 2], pass.cast(&self.bias));
        pass.cast(&padded).conv2d(&pass.cast(&self.weight), Some(&bias), stride, [0, 0], [1, 1], 1)
    }
}
