//! A perceptron with two hidden layers.

use tch::Tensor;
use tch::nn::Path;

use super::{Activations, Network};
use crate::torch::layers::{Initialiser, Linear};

/// Widths of the hidden layers.
const HIDDEN: [usize; 2] = [512, 256];

/// Pixels, 512 and 256 rectified units, classes.
#[derive(Debug)]
pub(super) struct Mlp {
    layers: [Linear; 2],
    classifier: Linear,
}

impl Mlp {
    pub(super) fn new(root: &Path<'_>, initialiser: &mut Initialiser, pixels: usize, classes: usize) -> Self {
        Self {
            layers: [
                Linear::new(&(root / "fc1"), initialiser, pixels, HIDDEN[0]),
                Linear::new(&(root / "fc2"), initialiser, HIDDEN[0], HIDDEN[1]),
            ],
            classifier: Linear::new(&(root / "fc3"), initialiser, HIDDEN[1], classes),
        }
    }
}

impl Network for Mlp {
    fn forward(&self, images: &Tensor, _training: bool) -> Activations {
        let hidden = self.layers.iter().fold(images.flatten(1, -1), |input, layer| layer.forward(&input).relu());
        Activations { logits: self.classifier.forward(&hidden), hidden: Some(hidden) }
    }
}
