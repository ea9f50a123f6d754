//! The user's own network: a TorchScript module that is trained as it stands.
//!
//! `forward` takes f32 images, k × channels × height × width, or vectors, k × features, and returns logits, k × classes,
//! or the tuple (logits, h) with the input h of its last linear layer, k × width. Parameters that do not require a
//! gradient stay as they are. A checkpoint is the whole module again, so buffers such as batch norm's statistics come
//! back with the weights. Operations are run one by one, as PyTorch does outside TorchScript: the specialising executor
//! would change its mind, and rounding with it, in the middle of a run.

mod last_layer;
mod open;

use std::cell::{Cell, RefCell};
use std::path::Path;

use tch::nn::VarStore;
use tch::{CModule, Device, IValue, Kind, Tensor, jit};

use super::layers::GROUP_WITHOUT_DECAY;
use super::networks::Activations;
use crate::target::{HashedFile, TargetError};
use last_layer::LastLayer;

/// Examples whose h is found in one forward pass: each takes a backward pass over all of them.
const GRADIENT_BATCH: i64 = 25;

/// A module on a device. Its parameters are those of the [`VarStore`] it was registered in: the same memory.
pub(super) struct ScriptedModule {
    config: HashedFile,
    module: RefCell<CModule>,
    /// The mode the module is in; `None` until it was set.
    training: Cell<Option<bool>>,
    /// Parameters by name, in the module's order.
    parameters: Vec<(String, Tensor)>,
}

impl ScriptedModule {
    /// Reads a file, which is the one of `config` or a checkpoint of it, and registers its parameters in `var_store`.
    pub(super) fn open(config: &HashedFile, file: &Path, var_store: &VarStore) -> Result<Self, TargetError> {
        jit::f_set_graph_executor_optimize(false)?;
        let module = open::read(file, var_store.device())?;
        let parameters = module.named_parameters()?;
        let root = var_store.root();
        for (name, parameter) in &parameters {
            // A VarStore allows no dots within a name.
            let path = if parameter.dim() <= 1 { root.set_group(GROUP_WITHOUT_DECAY) } else { root.clone() };
            drop(path.add(&name.replace('.', "|"), parameter.shallow_clone(), parameter.requires_grad()));
        }
        if !parameters.iter().any(|(_, parameter)| parameter.requires_grad()) {
            let reason = "none of its parameters requires a gradient, so there is nothing to train: was it frozen \
                          (torch.jit.freeze), or saved for inference?";
            return Err(TargetError::Module { path: file.to_owned(), reason: reason.to_owned() });
        }
        Ok(Self { config: config.clone(), module: RefCell::new(module), training: Cell::new(None), parameters })
    }

    /// Checks with two examples of zeros, of `size` each, that the module takes them and tells at least `classes`
    /// classes apart.
    pub(super) fn check(&self, size: &[i64], classes: usize, device: Device) -> Result<(), TargetError> {
        let batch: Vec<i64> = std::iter::once(2).chain(size.iter().copied()).collect();
        let input = Tensor::zeros(batch.as_slice(), (Kind::Float, device));
        let activations = tch::no_grad(|| self.forward(&input, false))?;
        let expected = |what: &str| self.wrong(format!("{what} for an input of shape {batch:?}"));
        let (logits, kind) = (activations.logits.size(), activations.logits.kind());
        if logits.len() != 2 || logits[0] != 2 {
            return Err(expected(&format!("forward returns shape {logits:?} where logits [2, classes] are expected,")));
        }
        if !matches!(kind, Kind::Float | Kind::Half | Kind::BFloat16 | Kind::Double) {
            return Err(expected(&format!("forward returns {kind:?} where floating-point logits are expected,")));
        }
        if usize::try_from(logits[1]).is_ok_and(|outputs| outputs < classes) {
            let outputs = logits[1];
            return Err(self.wrong(format!("it tells {outputs} classes apart, the data has {classes}")));
        }
        if let Some(hidden) = activations.hidden.map(|hidden| hidden.size())
            && (hidden.len() != 2 || hidden[0] != 2)
        {
            return Err(expected(&format!("forward returns h of shape {hidden:?} where [2, width] is expected,")));
        }
        Ok(())
    }

    /// Computes logits, and h where the module returns it. `training` switches dropout and batch norm.
    pub(super) fn forward(&self, input: &Tensor, training: bool) -> Result<Activations, TargetError> {
        if self.training.get() != Some(training) {
            let mut module = self.module.borrow_mut();
            if training {
                module.f_set_train()?
            } else {
                module.f_set_eval()?
            }
            self.training.set(Some(training));
        }
        let output = self.module.borrow().forward_is(&[IValue::Tensor(input.shallow_clone())]);
        match output.map_err(|error| self.failed(input, &error))? {
            IValue::Tensor(logits) => Ok(Activations { hidden: None, logits }),
            IValue::Tuple(mut parts) if matches!(parts.as_slice(), [IValue::Tensor(_), IValue::Tensor(_)]) => {
                match (parts.pop(), parts.pop()) {
                    (Some(IValue::Tensor(hidden)), Some(IValue::Tensor(logits))) => {
                        Ok(Activations { hidden: Some(hidden), logits })
                    }
                    _ => Err(self.wrong("forward returned two tensors, and they are gone".to_owned())),
                }
            }
            _ => Err(self.wrong("forward returns neither logits nor a tuple (logits, h) of two tensors".to_owned())),
        }
    }

    /// Computes logits in evaluation mode, with h by whatever way there is: as returned, or out of the gradients of the
    /// last linear layer, at the cost of a small backward pass an example.
    pub(super) fn forward_with_hidden(&self, input: &Tensor) -> Result<Activations, TargetError> {
        let returned = tch::no_grad(|| self.forward(input, false))?;
        if returned.hidden.is_some() {
            return Ok(returned);
        }
        for layer in LastLayer::candidates(&self.parameters, &returned.logits) {
            if let Some(hidden) = self.hidden_by_gradients(&layer, input)? {
                return Ok(Activations { hidden: Some(hidden), logits: returned.logits });
            }
        }
        Ok(returned)
    }

    fn hidden_by_gradients(&self, layer: &LastLayer, input: &Tensor) -> Result<Option<Tensor>, TargetError> {
        let mut parts = Vec::new();
        for part in input.f_split(GRADIENT_BATCH, 0)? {
            let Some(hidden) = layer.hidden(&self.parameters, || self.forward(&part, false))? else { return Ok(None) };
            parts.push(hidden);
        }
        Ok(Some(Tensor::f_cat(&parts, 0)?))
    }

    /// Writes the whole module to `path`.
    pub(super) fn save(&self, path: &Path) -> Result<(), TargetError> {
        Ok(self.module.borrow().save(path)?)
    }

    pub(super) const fn config(&self) -> &HashedFile {
        &self.config
    }

    fn wrong(&self, reason: String) -> TargetError {
        TargetError::Module { path: self.config.path.clone(), reason }
    }

    fn failed(&self, input: &Tensor, error: &tch::TchError) -> TargetError {
        let (text, shape) = (error.to_string(), input.size());
        // libtorch's message, without the C++ stack that follows it.
        let lines: Vec<&str> = text.lines().take_while(|line| !line.starts_with("Exception raised from")).collect();
        self.wrong(format!("forward fails on an input of shape {shape:?}: {}", lines.join("\n").trim()))
    }
}
