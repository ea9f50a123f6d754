//! What a network makes of given inputs, so that weights can be checked against the program that trained them.

use std::path::Path;

use tch::{Kind, Tensor};

use super::device;
use super::networks::Model;
use crate::data::ImageShape;
use crate::target::{Architecture, TargetError};

/// Name of the tensor that is read.
const INPUT: &str = "input";
/// Name of the tensor that is written.
const LOGITS: &str = "logits";

/// Reads `input` (f32, k × channels × height × width, as the network is to see it) from a safetensors file, and writes to
/// another the `logits` (f32, k × classes) of `architecture` with the weights of `weights`, in evaluation mode.
///
/// # Errors
///
/// [`TargetError::File`] if `input` is not there; errors of the weights, whose classes must be `classes`.
pub fn write_logits(
    architecture: Architecture,
    classes: usize,
    weights: &Path,
    input: &Path,
    output: &Path,
) -> Result<(), TargetError> {
    let file = |path: &Path, reason: String| TargetError::File { path: path.to_owned(), reason };
    let tensors = Tensor::read_safetensors(input).map_err(|error| file(input, error.to_string()))?;
    let images = tensors.into_iter().find(|(name, _)| name == INPUT).map(|(_, images)| images);
    let sizes = images.as_ref().map(Tensor::size).unwrap_or_default();
    let sizes: Vec<usize> = sizes.into_iter().filter_map(|size| usize::try_from(size).ok()).collect();
    let (Some(images), &[_, channels, height, width]) = (images, sizes.as_slice()) else {
        let reason = format!("a tensor {INPUT:?} of shape k × channels × height × width is needed, there is {sizes:?}");
        return Err(file(input, reason));
    };
    let device = device();
    let mut model = Model::blank(architecture, ImageShape { channels, height, width }, classes, device);
    if let Some(other) = model.load_weights(weights)? {
        let reason = format!("its last layer tells {} classes apart, not {}", other.in_file, other.in_data);
        return Err(TargetError::Weights { path: weights.to_owned(), reason });
    }
    let images = images.to_kind(Kind::Float).to_device(device);
    let logits = tch::no_grad(|| model.forward(&images, false))?.logits.to_device(tch::Device::Cpu);
    Tensor::write_safetensors(&[(LOGITS, &logits)], output).map_err(|error| file(output, error.to_string()))
}
