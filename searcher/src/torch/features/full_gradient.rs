//! The gradient norm over all parameters.

use tch::{Kind, Tensor, no_grad};

use crate::target::TargetError;
use crate::torch::networks::Model;

/// Returns the Euclidean norm of each example's gradient by all trainable parameters, in evaluation mode, k: one forward and
/// one backward pass each.
pub(super) fn norms(model: &Model, images: &Tensor, labels: &Tensor) -> Result<Tensor, TargetError> {
    let parameters = model.var_store().trainable_variables();
    let mut norms = Vec::new();
    for example in 0..images.size()[0] {
        let (image, label) = (images.narrow(0, example, 1), labels.narrow(0, example, 1));
        let loss = model.forward(&image, false)?.logits.cross_entropy_for_logits(&label);
        let gradients = Tensor::f_run_backward(&[loss], &parameters, false, false)?;
        norms.push(no_grad(|| {
            let squares: Vec<Tensor> = gradients.iter().map(|gradient| gradient.square().sum(Kind::Double)).collect();
            Tensor::stack(&squares, 0).sum(Kind::Double).sqrt()
        }));
    }
    Ok(Tensor::f_stack(&norms, 0)?)
}
