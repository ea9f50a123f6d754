//! Stochastic depth (Huang et al., *Deep Networks with Stochastic Depth*, 2016).

use tch::Tensor;

use super::Pass;

/// Drops a residual branch of single examples with `probability` while training, and scales what is left to the same mean.
///
/// Draws from libtorch's own generator, which runs seed.
pub(in crate::torch) fn stochastic_depth(branch: Tensor, probability: f64, pass: Pass) -> Tensor {
    if !pass.training || probability <= 0.0 {
        return branch;
    }
    let kept = 1.0 - probability;
    let mut size = vec![1; branch.dim()];
    size[0] = branch.size()[0];
    let mask = Tensor::empty(size.as_slice(), (branch.kind(), branch.device())).bernoulli_float_(kept);
    branch * (mask / kept)
}
