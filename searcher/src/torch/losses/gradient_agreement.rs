//! How far each example's gradient agrees with that of clean examples.
//!
//! Networks are asked outside training: batch norm keeps its statistics, and dropout drops nothing.

use tch::{Kind, Tensor, no_grad};

use super::cross_entropies;
use crate::target::TargetError;
use crate::torch::networks::{Activations, Model};

/// Length of the step to both sides of the weights, for the difference that stands for a derivative. The parameters have
/// norms of 10 and more: it is small enough for the difference to be that of a straight line, and large enough for f32.
const STEP: f64 = 1e-2;

/// Returns ⟨∇C_i, ∇L⟩ over all parameters: the derivative of each example's loss C_i in the direction u of the gradient of the
/// clean examples' mean loss L, as (C_i(θ + h·u) - C_i(θ - h·u)) / 2h · ‖∇L‖.
///
/// That is the weight that Ren et al. find by differentiating through a step of length 0, without second derivatives.
pub(super) fn by_all_layers(
    model: &Model,
    batch: (&Tensor, &Tensor),
    clean: (&Tensor, &Tensor),
) -> Result<Tensor, TargetError> {
    let parameters = model.var_store().trainable_variables();
    let loss = model.forward(clean.0, false)?.logits.cross_entropy_for_logits(clean.1);
    let gradients = Tensor::f_run_backward(&[&loss], &parameters, false, false)?;
    no_grad(|| {
        let squares: Vec<Tensor> = gradients.iter().map(|gradient| gradient.square().sum(Kind::Float)).collect();
        let norm = Tensor::stack(&squares, 0).sum(Kind::Float).sqrt();
        let before: Vec<Tensor> = parameters.iter().map(Tensor::copy).collect();
        let losses_at = |step: f64| -> Result<Tensor, TargetError> {
            for ((parameter, before), gradient) in parameters.iter().zip(&before).zip(&gradients) {
                parameter.shallow_clone().copy_(&(before + gradient * (step / norm.clamp_min(f64::MIN_POSITIVE))));
            }
            Ok(cross_entropies(&model.forward(batch.0, false)?.logits, batch.1))
        };
        let (ahead, behind) = (losses_at(STEP), losses_at(-STEP));
        // Whatever came of it, the weights are put back.
        for (parameter, before) in parameters.iter().zip(&before) {
            parameter.shallow_clone().copy_(before);
        }
        Ok((ahead? - behind?) / (2.0 * STEP) * norm)
    })
}

/// Returns ⟨∇C_i, ∇L⟩ over weight and bias of the last linear layer: the mean over clean examples m of
/// (p - y)_i·(p - y)_m (h_i·h_m + 1) for predictions p, labels y and the layer's input h.
pub(super) fn by_the_last_layer(
    model: &Model,
    batch: (&Tensor, &Tensor),
    clean: (&Tensor, &Tensor),
) -> Result<Tensor, TargetError> {
    let (residuals, hidden) = last_layer(model, batch)?;
    let (clean_residuals, clean_hidden) = last_layer(model, clean)?;
    let products = residuals.matmul(&clean_residuals.tr()) * (hidden.matmul(&clean_hidden.tr()) + 1.0);
    Ok(products.mean_dim(1, false, Kind::Float))
}

/// Residuals p - y, k × classes, and inputs h, k × width, of the last layer.
fn last_layer(model: &Model, (images, labels): (&Tensor, &Tensor)) -> Result<(Tensor, Tensor), TargetError> {
    let Activations { hidden, logits } = model.forward_with_hidden(images)?;
    let hidden = hidden.ok_or(TargetError::NoLastLayer)?;
    no_grad(|| {
        let labels = labels.unsqueeze(1);
        let one = labels.ones_like().to_kind(Kind::Float);
        Ok((logits.softmax(1, Kind::Float).scatter_add(1, &labels, &-one), hidden.to_kind(Kind::Float)))
    })
}
