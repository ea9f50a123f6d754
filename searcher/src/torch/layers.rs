//! Layers whose initial weights are a function of a seed, whatever else the process draws.

mod attention;
mod batch_norm;
mod convolution;
mod initialiser;
mod layer_norm;
mod linear;
mod pass;
mod patch_embedding;
mod squeeze_excitation;
mod stochastic_depth;
mod transformer_block;

use tch::Tensor;
use tch::nn::Path;

pub(super) use attention::Attention;
pub(super) use batch_norm::BatchNorm;
pub(super) use convolution::{Activation, Convolution, ConvolutionNorm, ConvolutionSize};
pub(super) use initialiser::Initialiser;
pub(super) use layer_norm::LayerNorm;
pub(super) use linear::{Linear, LinearWeights};
pub(super) use pass::Pass;
pub(super) use patch_embedding::{PatchEmbedding, PatchSize};
pub(super) use squeeze_excitation::{Gate, SqueezeExcitation};
pub(super) use stochastic_depth::stochastic_depth;
pub(super) use transformer_block::{BlockSize, TransformerBlock};

/// Group of the parameters that AdamW's weight decay leaves alone: biases, norms and tables of positions. Others are group 0.
pub(super) const GROUP_WITHOUT_DECAY: usize = 1;

/// Adds a parameter that weight decay is for.
pub(super) fn add_weight(path: &Path<'_>, name: &str, values: &Tensor) -> Tensor {
    path.add(name, values.to_device(path.device()), true)
}

/// Adds a parameter that AdamW's weight decay leaves alone.
pub(super) fn add_without_decay(path: &Path<'_>, name: &str, values: &Tensor) -> Tensor {
    path.set_group(GROUP_WITHOUT_DECAY).add(name, values.to_device(path.device()), true)
}

/// Adds what is saved and restored with the weights, but not trained.
fn add_buffer(path: &Path<'_>, name: &str, values: &Tensor) -> Tensor {
    path.add(name, values.to_device(path.device()), false)
}
