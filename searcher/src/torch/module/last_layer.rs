//! The input h of a module's last linear layer, where the module does not return it: a gradient by the layer's weight
//! is a product with h.

use tch::{Kind, Tensor};

use crate::target::TargetError;
use crate::torch::networks::Activations;

/// How far h Wᵀ + b may be from the logits, relative to the largest: f32 rounding over a wide layer.
const TOLERANCE: f64 = 1e-3;

/// A weight, classes × width, and its bias, that may be the last linear layer's.
pub(super) struct LastLayer {
    weight: Tensor,
    bias: Option<Tensor>,
}

impl LastLayer {
    /// Returns the layers whose shape fits the logits, the last first.
    pub(super) fn candidates(parameters: &[(String, Tensor)], logits: &Tensor) -> Vec<Self> {
        let classes = logits.size().last().copied().unwrap_or(0);
        let fits = |tensor: &Tensor| tensor.dim() == 2 && tensor.size()[0] == classes;
        let bias_of = |weight: &str| {
            let name = format!("{}bias", weight.strip_suffix("weight")?);
            let (_, bias) = parameters.iter().find(|(other, _)| *other == name)?;
            (bias.size() == [classes]).then(|| bias.shallow_clone())
        };
        let weights = parameters.iter().rev().filter(|(name, tensor)| name.ends_with("weight") && fits(tensor));
        weights.map(|(name, weight)| Self { weight: weight.shallow_clone(), bias: bias_of(name) }).collect()
    }

    /// Runs `forward` and returns h, k × width, if this is the layer that its logits come from.
    ///
    /// Only this layer's weight requires a gradient meanwhile, so nothing before it is recorded.
    pub(super) fn hidden(
        &self,
        parameters: &[(String, Tensor)],
        forward: impl FnOnce() -> Result<Activations, TargetError>,
    ) -> Result<Option<Tensor>, TargetError> {
        let required: Vec<bool> = parameters.iter().map(|(_, parameter)| parameter.requires_grad()).collect();
        for (_, parameter) in parameters {
            drop(parameter.f_set_requires_grad(false)?);
        }
        drop(self.weight.f_set_requires_grad(true)?);
        let hidden = forward().and_then(|activations| {
            if activations.logits.requires_grad() { self.hidden_of(&activations.logits) } else { Ok(None) }
        });
        for ((_, parameter), required) in parameters.iter().zip(required) {
            drop(parameter.f_set_requires_grad(required)?);
        }
        hidden
    }

    /// The gradient of example i's first logit by the weight has h of example i as its first row.
    fn hidden_of(&self, logits: &Tensor) -> Result<Option<Tensor>, TargetError> {
        let firsts = logits.f_select(1, 0)?.f_unbind(0)?;
        let mut rows = Vec::with_capacity(firsts.len());
        for first in &firsts {
            let gradients = Tensor::f_run_backward(&[first], &[&self.weight], true, false)?;
            let Some(gradient) = gradients.first().filter(|gradient| gradient.defined()) else { return Ok(None) };
            rows.push(gradient.f_get(0)?);
        }
        let hidden = Tensor::f_stack(&rows, 0)?;
        let difference = tch::no_grad(|| -> Result<f64, TargetError> {
            let again = hidden.f_linear(&self.weight, self.bias.as_ref())?;
            let scale = logits.abs().max().to_kind(Kind::Double).double_value(&[]) + 1.0;
            Ok((again - logits).abs().max().to_kind(Kind::Double).double_value(&[]) / scale)
        })?;
        Ok((difference < TOLERANCE).then_some(hidden))
    }
}
