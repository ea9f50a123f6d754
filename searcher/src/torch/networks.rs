//! The networks: built-in ones and the user's modules.

mod mlp;
mod resnet;

use std::path::Path;

use tch::nn::VarStore;
use tch::{Device, Tensor};

use super::images::to_i64;
use super::layers::Initialiser;
use super::module::ScriptedModule;
use crate::data::ImageShape;
use crate::randomness::seed_for;
use crate::target::{Architecture, ModuleConfig, TargetError};

/// What a network computes for a batch of k images.
#[derive(Debug)]
pub struct Activations {
    /// Input h of the last linear layer, k × width; `None` where a module does not tell.
    pub hidden: Option<Tensor>,
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
    network: Form,
}

enum Form {
    BuiltIn(Box<dyn Network>),
    Module {
        module: ScriptedModule,
        /// Whether examples are vectors, k × features, rather than images.
        vectors: bool,
    },
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
        Self { var_store, network: Form::BuiltIn(network) }
    }

    /// Reads a TorchScript module, with the weights of its file, and checks that it takes examples of `shape` and tells
    /// `classes` classes apart.
    ///
    /// # Errors
    ///
    /// [`TargetError::Module`] says what is wrong with the file, [`TargetError::OtherModule`] that it has changed.
    pub fn of_module(
        config: &ModuleConfig,
        shape: ImageShape,
        classes: usize,
        device: Device,
    ) -> Result<Self, TargetError> {
        config.check_file()?;
        let var_store = VarStore::new(device);
        let module = ScriptedModule::open(config, &config.path, &var_store)?;
        let size = [shape.channels, shape.height, shape.width].map(to_i64);
        let vectors = shape.is_vector();
        module.check(if vectors { &size[..1] } else { &size }, classes, device)?;
        Ok(Self { var_store, network: Form::Module { module, vectors } })
    }

    /// Computes the activations of scaled images (f32, k × channels × height × width). `training` makes batch norm use
    /// and record the batch, and dropout drop.
    ///
    /// # Errors
    ///
    /// [`TargetError::Module`] if a module fails.
    pub fn forward(&self, images: &Tensor, training: bool) -> Result<Activations, TargetError> {
        match &self.network {
            Form::BuiltIn(network) => Ok(network.forward(images, training)),
            Form::Module { module, vectors } => module.forward(&module_input(images, *vectors), training),
        }
    }

    /// Computes the activations in evaluation mode, with h wherever it can be had: a module that does not return it pays
    /// with a small backward pass an example.
    ///
    /// # Errors
    ///
    /// As [`Self::forward`].
    pub fn forward_with_hidden(&self, images: &Tensor) -> Result<Activations, TargetError> {
        match &self.network {
            Form::BuiltIn(network) => Ok(tch::no_grad(|| network.forward(images, false))),
            Form::Module { module, vectors } => module.forward_with_hidden(&module_input(images, *vectors)),
        }
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

    /// Writes weights and buffers, to a file beside `path` that then takes its name: `.safetensors`, or of a module the
    /// module again.
    ///
    /// # Errors
    ///
    /// [`TargetError::File`] names the file.
    pub fn save(&self, path: &Path) -> Result<(), TargetError> {
        let error = |reason: String| TargetError::File { path: path.to_owned(), reason };
        // Its extension tells libtorch the format.
        let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
        let part = path.with_extension(format!("part.{extension}"));
        match &self.network {
            Form::BuiltIn(_) => self.var_store.save(&part).map_err(|source| error(source.to_string()))?,
            Form::Module { module, .. } => module.save(&part)?,
        }
        std::fs::rename(&part, path).map_err(|source| error(source.to_string()))
    }

    /// Reads weights and buffers that [`Self::save`] wrote.
    ///
    /// # Errors
    ///
    /// [`TargetError::File`] if the file is missing or is of another network.
    pub fn load(&mut self, path: &Path) -> Result<(), TargetError> {
        match &mut self.network {
            Form::BuiltIn(_) => self
                .var_store
                .load(path)
                .map_err(|source| TargetError::File { path: path.to_owned(), reason: source.to_string() }),
            Form::Module { module, .. } => {
                let var_store = VarStore::new(self.var_store.device());
                *module = ScriptedModule::open(module.config(), path, &var_store)?;
                self.var_store = var_store;
                Ok(())
            }
        }
    }

    pub(super) const fn var_store(&self) -> &VarStore {
        &self.var_store
    }
}

/// Vectors come as images of one pixel whose channels are the features.
fn module_input(images: &Tensor, vectors: bool) -> Tensor {
    if vectors { images.flatten(1, -1) } else { images.shallow_clone() }
}
