//! Images of a batch that the same is done to, by amounts of their own.

use std::collections::BTreeMap;

use tch::{Device, Tensor};

use crate::torch::images::to_i64;

/// Does to each image what is drawn for it, with its amount; `None` leaves it as it is. `apply` sees all images together that the
/// same is done to, k × channels × height × width, with their amounts.
pub(super) fn change_each<Change: Copy + Ord>(
    images: Tensor,
    drawn: impl Iterator<Item = Option<(Change, f64)>>,
    apply: &dyn Fn(Change, &Tensor, &[f64]) -> Tensor,
) -> Tensor {
    let mut groups: BTreeMap<Change, (Vec<i64>, Vec<f64>)> = BTreeMap::new();
    for (position, drawn) in drawn.enumerate() {
        if let Some((change, amount)) = drawn {
            let (positions, amounts) = groups.entry(change).or_default();
            positions.push(to_i64(position));
            amounts.push(amount);
        }
    }
    groups.into_iter().fold(images, |images, (change, (positions, amounts))| {
        let positions = Tensor::from_slice(&positions).to_device(images.device());
        let changed = apply(change, &images.index_select(0, &positions), &amounts);
        images.index_copy(0, &positions, &changed)
    })
}

/// Amounts as f32, k × 1 × 1 × 1.
#[allow(clippy::cast_possible_truncation, reason = "an amount needs no more than f32")]
pub(super) fn amounts(values: &[f64], device: Device) -> Tensor {
    let values: Vec<f32> = values.iter().map(|&value| value as f32).collect();
    Tensor::from_slice(&values).to_device(device).reshape([-1, 1, 1, 1])
}
