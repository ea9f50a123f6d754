//! A perceptron with two hidden layers.

use tch::Tensor;
use tch::nn::Path;

use super::{Activations, Dimensions, Network};
use crate::torch::layers::{Initialiser, Linear, LinearWeights, Pass};

/// Widths of the hidden layers.
const HIDDEN: [usize; 2] = [512, 256];

/// Pixels, 512 and 256 rectified units, classes.
#[derive(Debug)]
pub(super) struct Mlp {
    layers: [Linear; 2],
    classifier: Linear,
}

impl Mlp {
    pub(super) fn new(root: &Path<'_>, initialiser: &mut Initialiser, dimensions: Dimensions) -> Self {
        let mut layer = |name: &str, inputs, outputs| {
            Linear::new(&(root / name), initialiser, inputs, outputs, LinearWeights::UniformByInputs)
        };
        Self {
            layers: [layer("fc1", dimensions.shape.pixels(), HIDDEN[0]), layer("fc2", HIDDEN[0], HIDDEN[1])],
            classifier: layer("fc3", HIDDEN[1], dimensions.classes),
        }
    }
}

impl Network for Mlp {
    fn forward(&self, images: &Tensor, pass: Pass) -> Activations {
        let hidden = self.layers.iter().fold(images.flatten(1, -1), |input, layer| layer.forward(&input, pass).relu());
        Activations { logits: self.classifier.forward(&hidden, pass), hidden: Some(hidden) }
    }

    fn classifier(&self) -> &'static str {
        "fc3"
    }
}
