//! The networks: built-in ones and the user's modules.

mod inverted_residuals;
mod mlp;
mod resnet;
mod swin;
mod vit;

use std::path::Path;

use tch::nn::{self, VarStore};
use tch::{Device, Kind, Tensor};

use super::evaluation::unit_rows;
use super::images::to_i64;
use super::layers::{Initialiser, Pass};
use super::module::ScriptedModule;
use super::weights;
use crate::data::ImageShape;
use crate::randomness::seed_for;
use crate::target::{Architecture, HashedFile, Head, OtherClasses, Precision, TargetError};

/// What a network computes for a batch of k images.
#[derive(Debug)]
pub struct Activations {
    /// Input h of the last linear layer, k × width; `None` where a module does not tell.
    pub hidden: Option<Tensor>,
    /// Output of the last linear layer, k × classes.
    pub logits: Tensor,
}

trait Network {
    /// `images` is f32, k × channels × height × width.
    fn forward(&self, images: &Tensor, pass: Pass) -> Activations;

    /// Returns the path of the last linear layer, whose outputs are the classes.
    fn classifier(&self) -> &'static str;
}

/// Images with no side longer than this many pixels get a network that does not halve their sides at once.
///
/// What networks for large images do before their first block leaves nothing to see of 28 pixels.
const SMALL_SIDE_MAX: usize = 64;

/// What a built-in network is built for.
#[derive(Debug, Clone, Copy)]
struct Dimensions {
    shape: ImageShape,
    classes: usize,
}

impl Dimensions {
    /// Tells whether images are small.
    const fn small(self) -> bool {
        let ImageShape { height, width, .. } = self.shape;
        height <= SMALL_SIDE_MAX && width <= SMALL_SIDE_MAX
    }
}

fn build(
    architecture: Architecture,
    root: &nn::Path<'_>,
    initialiser: &mut Initialiser,
    dimensions: Dimensions,
) -> Box<dyn Network> {
    use inverted_residuals::{EFFICIENTNET_B0, InvertedResiduals, MOBILENET_V2};
    use resnet::Resnet;
    use swin::Swin;
    match architecture {
        Architecture::Mlp => Box::new(mlp::Mlp::new(root, initialiser, dimensions)),
        Architecture::Cnn => Box::new(Resnet::small(root, initialiser, dimensions)),
        Architecture::MobilenetV2 => Box::new(InvertedResiduals::new(root, initialiser, dimensions, &MOBILENET_V2)),
        Architecture::EfficientnetB0 => {
            Box::new(InvertedResiduals::new(root, initialiser, dimensions, &EFFICIENTNET_B0))
        }
        Architecture::Resnet18 => Box::new(Resnet::basic(root, initialiser, dimensions, [2, 2, 2, 2])),
        Architecture::Resnet34 => Box::new(Resnet::basic(root, initialiser, dimensions, [3, 4, 6, 3])),
        Architecture::Resnet50 => Box::new(Resnet::bottleneck(root, initialiser, dimensions, [3, 4, 6, 3])),
        Architecture::Resnet101 => Box::new(Resnet::bottleneck(root, initialiser, dimensions, [3, 4, 23, 3])),
        Architecture::SeResnext50 => Box::new(Resnet::se_resnext(root, initialiser, dimensions, [3, 4, 6, 3])),
        Architecture::VitTiny => Box::new(vit::VitTiny::new(root, initialiser, dimensions)),
        Architecture::SwinT => Box::new(Swin::new(root, initialiser, dimensions, swin::SWIN_T)),
        Architecture::SwinB => Box::new(Swin::new(root, initialiser, dimensions, swin::SWIN_B)),
        Architecture::SeResnext101 => Box::new(Resnet::se_resnext(root, initialiser, dimensions, [3, 4, 23, 3])),
    }
}

/// A network with its weights and buffers.
pub struct Model {
    var_store: VarStore,
    network: Form,
    /// Whether images lie in memory pixel by pixel, as GPUs convolve bf16 fastest.
    channels_last: bool,
    /// Whether training passes of a built-in network are computed in bf16.
    bf16: bool,
    margin: Option<MarginHead>,
}

/// Cosines in place of the last linear layer's outputs, see [`Head::Margin`].
struct MarginHead {
    scale: f64,
    margin: f64,
    /// Weight of that layer, classes × width: the network's own memory.
    weight: Tensor,
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
        let initialiser = Initialiser::new(seed_for(seed, 0, "initial weights"));
        Self::built_in(architecture, Dimensions { shape, classes }, initialiser, device)
    }

    /// Builds the network with weights of 0, for a checkpoint that is about to be read into it: random numbers for the 88
    /// million weights of the largest take seconds.
    #[must_use]
    pub fn blank(architecture: Architecture, shape: ImageShape, classes: usize, device: Device) -> Self {
        Self::built_in(architecture, Dimensions { shape, classes }, Initialiser::blank(), device)
    }

    fn built_in(
        architecture: Architecture,
        dimensions: Dimensions,
        mut initialiser: Initialiser,
        device: Device,
    ) -> Self {
        let var_store = VarStore::new(device);
        let network = build(architecture, &var_store.root(), &mut initialiser, dimensions);
        Self { var_store, network: Form::BuiltIn(network), channels_last: false, bf16: false, margin: None }
    }

    /// Reads a TorchScript module, with the weights of its file, and checks that it takes examples of `shape` and tells
    /// `classes` classes apart.
    ///
    /// # Errors
    ///
    /// [`TargetError::Module`] says what is wrong with the file, [`TargetError::OtherFile`] that it has changed.
    pub fn of_module(
        config: &HashedFile,
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
        Ok(Self {
            var_store,
            network: Form::Module { module, vectors },
            channels_last: false,
            bf16: false,
            margin: None,
        })
    }

    /// Computes the activations of scaled images (f32, k × channels × height × width). `training` makes batch norm use
    /// and record the batch, and dropout drop.
    ///
    /// # Errors
    ///
    /// [`TargetError::Module`] if a module fails.
    pub fn forward(&self, images: &Tensor, training: bool) -> Result<Activations, TargetError> {
        let pass = Pass { training, bf16: training && self.bf16 };
        match &self.network {
            Form::BuiltIn(network) => {
                let Activations { hidden, logits } = if self.channels_last {
                    network.forward(&pixel_by_pixel(images), pass)
                } else {
                    network.forward(images, pass)
                };
                let hidden = hidden.map(|hidden| hidden.to_kind(Kind::Float));
                let logits = match (&self.margin, &hidden) {
                    (Some(head), Some(hidden)) => head.scale * unit_rows(hidden).matmul(&unit_rows(&head.weight).tr()),
                    _ => logits.to_kind(Kind::Float),
                };
                Ok(Activations { hidden, logits })
            }
            Form::Module { module, vectors } => module.forward(&module_input(images, *vectors), pass.training),
        }
    }

    /// Puts another head on the network.
    ///
    /// # Errors
    ///
    /// [`TargetError::InvalidRun`] for a margin on a module, whose last layer is its own.
    pub(super) fn with_head(mut self, head: Head) -> Result<Self, TargetError> {
        let Head::Margin { scale, margin } = head else { return Ok(self) };
        let Form::BuiltIn(network) = &self.network else {
            let (value, expected) = ("margin".to_owned(), "a TorchScript module has its own last layer");
            return Err(TargetError::InvalidRun { field: "head", value, expected });
        };
        let weight = self.tensor(&format!("{}.weight", network.classifier())).expect("a classifier has a weight");
        self.margin = Some(MarginHead { scale, margin, weight });
        Ok(self)
    }

    /// Tells whether the head has a margin.
    pub(super) const fn has_margin(&self) -> bool {
        self.margin.is_some()
    }

    /// Makes it harder to be right for the labels, where the head has a margin: what training takes the cross-entropy of.
    pub(super) fn with_margin(&self, logits: Tensor, labels: &Tensor) -> Tensor {
        let Some(MarginHead { scale, margin, .. }) = self.margin else { return logits };
        let own = labels.unsqueeze(1);
        let taken = Tensor::full_like(&own, -scale * margin).to_kind(Kind::Float);
        logits.scatter_add(1, &own, &taken)
    }

    /// Computes the activations in evaluation mode, with h wherever it can be had: a module that does not return it pays
    /// with a small backward pass an example.
    ///
    /// # Errors
    ///
    /// As [`Self::forward`].
    pub fn forward_with_hidden(&self, images: &Tensor) -> Result<Activations, TargetError> {
        match &self.network {
            Form::BuiltIn(_) => tch::no_grad(|| self.forward(images, false)),
            Form::Module { module, vectors } => module.forward_with_hidden(&module_input(images, *vectors)),
        }
    }

    /// Sets whether the images of a built-in network lie in memory pixel by pixel (channels last). Results differ in
    /// rounding only.
    pub fn set_channels_last(&mut self, channels_last: bool) {
        self.channels_last = channels_last;
    }

    /// Sets what training passes are computed in; others stay in f32. A module computes in the precision it was written in.
    ///
    /// # Errors
    ///
    /// [`TargetError::InvalidRun`] when bf16 is asked of a module.
    pub fn train_in(&mut self, precision: Precision) -> Result<(), TargetError> {
        if precision == Precision::Bf16 && matches!(self.network, Form::Module { .. }) {
            let expected = "a TorchScript module computes in the precision it was written in: cast within it";
            return Err(TargetError::InvalidRun { field: "precision", value: "bf16".to_owned(), expected });
        }
        self.bf16 = match precision {
            Precision::F32 => false,
            Precision::Bf16 => true,
            Precision::Bf16OnGpu => self.var_store.device().is_cuda(),
        };
        Ok(())
    }

    /// Tells whether there are parameters that AdamW's weight decay leaves alone.
    pub(super) fn has_group_without_decay(&self) -> bool {
        self.var_store.trainable_variables().iter().any(|parameter| parameter.dim() <= 1)
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

    /// Reads weights and buffers by name from a `.safetensors` or `.ot` file that another program may have written.
    ///
    /// The last linear layer keeps its own weights where the file's has another number of classes, which is returned. Counts
    /// of batches, and Swin's table of relative positions, which follows from its sizes, are passed over.
    ///
    /// # Errors
    ///
    /// [`TargetError::Weights`] names weights that are missing, unexpected or of another shape, or says how to convert the file;
    /// [`TargetError::File`] if it cannot be read.
    pub fn load_weights(&mut self, path: &Path) -> Result<Option<OtherClasses>, TargetError> {
        match &self.network {
            Form::BuiltIn(network) => weights::read_into(&self.var_store, network.classifier(), path),
            Form::Module { .. } => {
                let reason = "a TorchScript module has its weights in its own file".to_owned();
                Err(TargetError::Weights { path: path.to_owned(), reason })
            }
        }
    }

    pub(super) const fn var_store(&self) -> &VarStore {
        &self.var_store
    }
}

/// Returns the same images, k × channels × height × width, in another order in memory.
fn pixel_by_pixel(images: &Tensor) -> Tensor {
    images.permute([0, 2, 3, 1]).contiguous().permute([0, 3, 1, 2])
}

/// Vectors come as images of one pixel whose channels are the features.
fn module_input(images: &Tensor, vectors: bool) -> Tensor {
    if vectors { images.flatten(1, -1) } else { images.shallow_clone() }
}
