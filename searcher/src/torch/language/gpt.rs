//! A small decoder-only transformer, as GPT-2 is one (Radford et al., *Language Models are Unsupervised Multitask Learners*,
//! 2019): norms before branches, learned positions, the embedding as last layer.

use std::path::Path;

use tch::nn::VarStore;
use tch::{Device, Kind, Tensor};

use crate::language::GptSize;
use crate::randomness::seed_for;
use crate::target::TargetError;
use crate::torch::images::to_i64;
use crate::torch::layers::{BlockSize, Initialiser, LayerNorm, Pass, TransformerBlock, add_weight, add_without_decay};

/// Added to the variance in layer norm.
const EPSILON: f64 = 1e-5;
/// Initial weights.
const DEVIATION: f64 = 0.02;

/// The network with its weights.
pub struct Gpt {
    var_store: VarStore,
    /// Vocabulary × width; also the last layer's weights, which has no bias.
    embedding: Tensor,
    /// Context × width.
    positions: Tensor,
    blocks: Vec<TransformerBlock>,
    norm: LayerNorm,
    /// 0 where a token may look, -∞ where it may not: context × context.
    mask: Tensor,
}

impl Gpt {
    /// Builds the network with initial weights that are a function of `seed` alone.
    #[must_use]
    pub fn new(size: GptSize, vocabulary: usize, context: usize, seed: u64, device: Device) -> Self {
        let initialiser = Initialiser::new(seed_for(seed, 0, "initial weights"));
        Self::build(size, [vocabulary, context], initialiser, device)
    }

    /// Builds the network with weights of 0, for a checkpoint that is about to be read into it.
    #[must_use]
    pub fn blank(size: GptSize, vocabulary: usize, context: usize, device: Device) -> Self {
        Self::build(size, [vocabulary, context], Initialiser::blank(), device)
    }

    fn build(size: GptSize, [vocabulary, context]: [usize; 2], mut initialiser: Initialiser, device: Device) -> Self {
        let GptSize { layers, heads, width } = size;
        let (width, heads) = (width as usize, heads as usize);
        let var_store = VarStore::new(device);
        let root = var_store.root();
        let mut table = |rows: usize| initialiser.truncated_normal(&[to_i64(rows), to_i64(width)], DEVIATION);
        let embedding = add_weight(&(&root / "embedding"), "weight", &table(vocabulary));
        let positions = add_without_decay(&(&root / "positions"), "weight", &table(context));
        let block = BlockSize { width, heads, epsilon: EPSILON, deviation: DEVIATION, drop: 0.0 };
        let blocks = (0..layers)
            .map(|number| TransformerBlock::new(&(&root / "blocks" / number), &mut initialiser, block))
            .collect();
        let norm = LayerNorm::new(&(&root / "norm"), width, EPSILON);
        let side = to_i64(context);
        let mask = Tensor::full([side, side], f64::NEG_INFINITY, (Kind::Float, device)).triu(1);
        Self { var_store, embedding, positions, blocks, norm, mask }
    }

    /// Returns the input h of the last layer for tokens (i64, k × context): k × context × width.
    pub(super) fn hidden(&self, tokens: &Tensor, pass: Pass) -> Tensor {
        let embedded = Tensor::embedding(&self.embedding, tokens, -1, false, false) + &self.positions;
        let tokens = self.blocks.iter().fold(embedded, |tokens, block| block.forward(tokens, Some(&self.mask), pass));
        self.norm.forward(&tokens)
    }

    /// Returns the logits of h, f32, of as many rows as that.
    pub(super) fn logits_of(&self, hidden: &Tensor, pass: Pass) -> Tensor {
        pass.cast(hidden).matmul(&pass.cast(&self.embedding).tr()).to_kind(Kind::Float)
    }

    /// Returns the logits of the token behind each of `tokens` (i64, k × context), f32, k × context × vocabulary.
    pub fn logits(&self, tokens: &Tensor) -> Tensor {
        let pass = Pass::full(false);
        self.logits_of(&self.hidden(tokens, pass), pass)
    }

    /// Returns the number of trainable parameters.
    #[must_use]
    pub fn parameters(&self) -> usize {
        self.var_store.trainable_variables().iter().map(Tensor::numel).sum()
    }

    /// Writes the weights, to a file beside `path` that then takes its name.
    pub(super) fn save(&self, path: &Path) -> Result<(), TargetError> {
        let error = |reason: String| TargetError::File { path: path.to_owned(), reason };
        let part = path.with_extension("part.safetensors");
        self.var_store.save(&part).map_err(|source| error(source.to_string()))?;
        std::fs::rename(&part, path).map_err(|source| error(source.to_string()))
    }

    /// Reads weights that [`Self::save`] wrote.
    pub(super) fn load(&mut self, path: &Path) -> Result<(), TargetError> {
        self.var_store
            .load(path)
            .map_err(|source| TargetError::File { path: path.to_owned(), reason: source.to_string() })
    }

    pub(super) const fn var_store(&self) -> &VarStore {
        &self.var_store
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: GptSize = GptSize { layers: 2, heads: 2, width: 8 };

    fn tokens(values: &[i64]) -> Tensor {
        Tensor::from_slice(values).unsqueeze(0)
    }

    #[test]
    fn there_are_as_many_parameters_as_the_formula_says() {
        for (size, vocabulary, context) in [(SIZE, 11, 6), (GptSize::default(), 4096, 64)] {
            let model = Gpt::blank(size, vocabulary, context, Device::Cpu);
            assert_eq!(model.parameters(), size.parameters(vocabulary, context));
        }
    }

    #[test]
    fn a_later_token_changes_no_earlier_prediction() {
        let model = Gpt::new(SIZE, 11, 6, 1, Device::Cpu);
        let before = model.logits(&tokens(&[1, 2, 3, 4, 5, 6]));
        let after = model.logits(&tokens(&[1, 2, 3, 9, 5, 6]));
        let change = (before - after).abs().amax([2], false).squeeze();
        let change = Vec::<f32>::try_from(change).unwrap();
        assert!(change[..3].iter().all(|&change| change == 0.0), "{change:?}");
        assert!(change[3..].iter().all(|&change| change > 1e-6), "{change:?}");
    }

    #[test]
    fn weights_follow_the_seed_and_a_file_gives_them_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("start.safetensors");
        let input = tokens(&[1, 2, 3, 4, 5, 6]);
        let of = |seed| Gpt::new(SIZE, 11, 6, seed, Device::Cpu);
        let model = of(1);
        assert_eq!(model.logits(&input), of(1).logits(&input));
        assert_ne!(model.logits(&input), of(2).logits(&input));
        model.save(&path).unwrap();
        let mut read = Gpt::blank(SIZE, 11, 6, Device::Cpu);
        read.load(&path).unwrap();
        assert_eq!(read.logits(&input), model.logits(&input));
    }
}
