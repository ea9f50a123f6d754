//! Sequences on a device.

use tch::{Device, Kind, Tensor};

use crate::language::Sequences;
use crate::torch::images::to_i64;

/// Tokens that are evaluated at once; bounds the memory of the logits.
const EVALUATION_TOKENS: usize = 2048;

/// A set of sequences as a tensor.
#[derive(Debug)]
pub(super) struct DeviceSequences {
    /// i32, one more than sequences times context.
    tokens: Tensor,
    context: usize,
    len: usize,
}

/// Inputs and what is to be predicted, both i64, k × context.
pub(super) type Tokens = (Tensor, Tensor);

impl DeviceSequences {
    pub(super) fn new(sequences: &Sequences, device: Device) -> Self {
        let tokens: Vec<i32> = sequences.tokens().iter().map(|token| token.cast_signed()).collect();
        let tokens = Tensor::from_slice(&tokens).to_device(device);
        Self { tokens, context: sequences.context(), len: sequences.len() }
    }

    pub(super) const fn len(&self) -> usize {
        self.len
    }

    pub(super) const fn context(&self) -> usize {
        self.context
    }

    /// Returns the sequences at `indices`, all of which are below [`Self::len`].
    pub(super) fn gather(&self, indices: &[i64]) -> Tokens {
        let (context, device) = (to_i64(self.context), self.tokens.device());
        let starts = Tensor::from_slice(indices).to_device(device).unsqueeze(1) * context;
        let places = starts + Tensor::arange(context, (Kind::Int64, device));
        let size = places.size();
        let at =
            |places: Tensor| self.tokens.index_select(0, &places.flatten(0, -1)).to_kind(Kind::Int64).reshape(&size);
        (at(places.shallow_clone()), at(places + 1))
    }

    /// Returns all sequences in order, a few at a time, with the number of those up to the end of each.
    pub(super) fn chunks(&self) -> impl Iterator<Item = (usize, Tokens)> {
        let at_once = (EVALUATION_TOKENS / self.context).max(1);
        (0..self.len).step_by(at_once).map(move |start| {
            let end = self.len.min(start + at_once);
            let indices: Vec<i64> = (start..end).map(to_i64).collect();
            (end, self.gather(&indices))
        })
    }
}
