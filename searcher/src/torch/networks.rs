//! The built-in networks.

mod mlp;
mod resnet;

use std::path::Path;

use tch::nn::VarStore;
use tch::{Device, Tensor};

use super::layers::Initialiser;
use crate::data::ImageShape;
use crate::randomness::seed_for;
use crate::target::{Architecture, TargetError};

/// What a network computes for a batch of k images.
#[derive(Debug)]
pub struct Activations {
    /// Input h of the last linear layer, k × width.
    pub hidden: Tensor,
    /// Output of the last linear layer, k × classes.
    pub logits: Tensor,
}

trait Network {
    /// `images` is f32, k × channels × height × width. `training` makes batch norm use and record the batch.
    fn forward(&self, images: &Tensor, training: bool) -> Activations;
}

/// A network with its weights and buffers.
pub struct Model {
    var_store: VarStore,
    network: Box<dyn Network>,
}

impl Model {
    /// Builds the network with initial weights that are a function of `seed` alone.
    #[must_use]
    pub fn new(architecture: Architecture, shape: ImageShape, classes: usize, seed: u64, device: Device) -> Self {
        let var_store = VarStore::new(device);
        let root = var_store.root();
        let mut initialiser = Initialiser::new(seed_for(seed, 0, "initial weights"));
        let network: Box<dyn Network> = match architecture {
            Architecture::Mlp => Box::new(mlp::Mlp::new(&root, &mut initialiser, shape.pixels(), classes)),
            Architecture::Cnn => Box::new(resnet::Resnet::small(&root, &mut initialiser, shape, classes)),
            Architecture::Resnet18 => Box::new(resnet::Resnet::resnet18(&root, &mut initialiser, shape, classes)),
        };
        Self { var_store, network }
    }

    /// Computes the activations of normalised images (f32, k × channels × height × width).
    #[must_use]
    pub fn forward(&self, images: &Tensor, training: bool) -> Activations {
        self.network.forward(images, training)
    }

    /// Returns the number of trainable parameters.
    #[must_use]
    pub fn parameters(&self) -> usize {
        self.var_store.trainable_variables().iter().map(Tensor::numel).sum()
    }

    /// Returns the names of all weights and buffers, sorted.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = self.var_store.variables().into_keys().collect();
        names.sort();
        names
    }

    /// Returns the weight or buffer of this name.
    #[must_use]
    pub fn tensor(&self, name: &str) -> Option<Tensor> {
        self.var_store.variables().remove(name)
    }

    /// Writes weights and buffers as `.safetensors`, to a file beside `path` that then takes its name.
    ///
    /// # Errors
    ///
    /// [`TargetError::File`] names the file.
    pub fn save(&self, path: &Path) -> Result<(), TargetError> {
        let error = |reason: String| TargetError::File { path: path.to_owned(), reason };
        let part = path.with_extension("part.safetensors");
        self.var_store.save(&part).map_err(|source| error(source.to_string()))?;
        std::fs::rename(&part, path).map_err(|source| error(source.to_string()))
    }

    /// Reads weights and buffers that [`Self::save`] wrote.
    ///
    /// # Errors
    ///
    /// [`TargetError::File`] if the file is missing or is of another network.
    pub fn load(&mut self, path: &Path) -> Result<(), TargetError> {
        self.var_store
            .load(path)
            .map_err(|source| TargetError::File { path: path.to_owned(), reason: source.to_string() })
    }

    pub(super) const fn var_store(&self) -> &VarStore {
        &self.var_store
    }
}
