//! How close an example's nearest neighbours are.

use tch::{Kind, Tensor, no_grad};

use crate::target::TargetError;
use crate::torch::images::to_i64;
use crate::torch::training::chunks;

/// Other examples that are looked at, the nearest first.
const NEIGHBOURS: i64 = 10;

/// The inputs of the last linear layer of all examples, on their device: 4 bytes a value.
#[derive(Debug, Default)]
pub(super) struct Neighbours {
    hidden: Vec<Tensor>,
}

impl Neighbours {
    pub(super) fn add(&mut self, hidden: &Tensor) {
        self.hidden.push(hidden.detach().to_kind(Kind::Float));
    }

    /// Returns 1 / (1 + d) for each example's mean distance d to its nearest others, n. Takes time in proportion to n².
    pub(super) fn densities(&self) -> Result<Tensor, TargetError> {
        no_grad(|| {
            let all = Tensor::f_cat(&self.hidden, 0)?;
            let examples = all.size()[0];
            let others = NEIGHBOURS.min(examples - 1).max(1);
            let mut densities = Vec::new();
            for (start, end) in chunks(usize::try_from(examples).unwrap_or(0)) {
                let (start, end) = (to_i64(start), to_i64(end));
                let distances = Tensor::f_cdist(&all.narrow(0, start, end - start), &all, 2.0, None::<i64>)?;
                // An example is at distance 0 of itself, or a hair off by rounding: it is put out of reach.
                let own = Tensor::arange_start(start, end, (Kind::Int64, all.device())).unsqueeze(1);
                let nearest = distances.scatter_value(1, &own, f64::INFINITY).topk(others, 1, false, false).0;
                let mean = nearest.mean_dim(1, false, Kind::Double);
                densities.push((mean + 1.0).reciprocal());
            }
            Ok(Tensor::f_cat(&densities, 0)?)
        })
    }
}
