//! The features of every training sequence under a language model.

use std::path::Path;

use tch::{Kind, Tensor, no_grad};

use super::gpt::Gpt;
use super::token_batches::DeviceSequences;
use super::training::losses;
use crate::features_file;
use crate::target::TargetError;
use crate::torch::layers::Pass;

/// One value a sequence in each column.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct SequenceFeatures {
    /// Mean cross-entropy of its tokens, in nats.
    pub(super) loss: Vec<f64>,
    /// Euclidean norm of that mean's gradient by the last layer's weights. Those are the embedding's too: what the gradient has by way
    /// of the input is left out.
    pub(super) gradient_norm: Vec<f64>,
}

/// Computes the features of all sequences in order, calling `progress` with the sequences done.
pub(super) fn features_of(
    model: &Gpt,
    sequences: &DeviceSequences,
    progress: &mut dyn FnMut(usize) -> Result<(), TargetError>,
) -> Result<SequenceFeatures, TargetError> {
    let mut features = SequenceFeatures::default();
    for (done, (inputs, next)) in sequences.chunks() {
        no_grad(|| features.append(model, &inputs, &next))?;
        progress(done)?;
    }
    Ok(features)
}

impl SequenceFeatures {
    fn append(&mut self, model: &Gpt, inputs: &Tensor, next: &Tensor) -> Result<(), TargetError> {
        let pass = Pass::full(false);
        let hidden = model.hidden(inputs, pass);
        let logits = model.logits_of(&hidden, pass);
        extend(&mut self.loss, &losses(&logits, next).to_kind(Kind::Double).mean_dim(1, false, Kind::Double))?;

        // The gradient is the mean over tokens of r hᵀ with residual r = softmax - onehot, and ⟨r hᵀ, r' h'ᵀ⟩ = ⟨r, r'⟩⟨h, h'⟩.
        let next = next.unsqueeze(-1);
        let minus_one = Tensor::full_like(&next, -1).to_kind(Kind::Float);
        let residuals = logits.softmax(-1, Kind::Float).scatter_add(-1, &next, &minus_one);
        let products = |of: &Tensor| of.bmm(&of.transpose(1, 2)).to_kind(Kind::Double);
        let squared =
            (products(&residuals) * products(&hidden)).sum_dim_intlist([1_i64, 2].as_slice(), false, Kind::Double);
        let tokens = next.size()[1] as f64;
        extend(&mut self.gradient_norm, &(squared.clamp_min(0.0).sqrt() / tokens))
    }

    /// Adds those of the same sequences at another epoch; to nothing, they are what they are.
    pub(super) fn add(&mut self, other: &Self) {
        let columns = [(&mut self.loss, &other.loss), (&mut self.gradient_norm, &other.gradient_norm)];
        for (sum, values) in columns {
            sum.resize(values.len(), 0.0);
            sum.iter_mut().zip(values).for_each(|(sum, value)| *sum += value);
        }
    }

    /// Returns every value times `factor`.
    pub(super) fn scaled(&self, factor: f64) -> Self {
        let scaled = |values: &[f64]| values.iter().map(|value| value * factor).collect();
        Self { loss: scaled(&self.loss), gradient_norm: scaled(&self.gradient_norm) }
    }

    /// Returns the columns that depend on the network by name: `loss`, `perplexity`, which is exp of the loss, and `grad_norm`.
    pub(super) fn named(self) -> Vec<(String, Vec<f64>)> {
        let perplexity = self.perplexity();
        [("loss", self.loss), ("perplexity", perplexity), ("grad_norm", self.gradient_norm)]
            .map(|(name, values)| (name.to_owned(), values))
            .into()
    }

    fn perplexity(&self) -> Vec<f64> {
        self.loss.iter().map(|loss| loss.exp()).collect()
    }

    /// Writes the columns `word_frequency`, `loss`, `perplexity`, which is exp of the loss, and `grad_norm` as a Parquet file, at once
    /// or not at all.
    pub(super) fn write(&self, path: &Path, word_frequencies: &[f64]) -> Result<(), TargetError> {
        let perplexity = self.perplexity();
        let columns: [(&str, &[f64]); 4] = [
            ("word_frequency", word_frequencies),
            ("loss", &self.loss),
            ("perplexity", &perplexity),
            ("grad_norm", &self.gradient_norm),
        ];
        features_file::write(path, &columns)
            .map_err(|source| TargetError::File { path: path.to_owned(), reason: source.to_string() })
    }
}

fn extend(column: &mut Vec<f64>, values: &Tensor) -> Result<(), TargetError> {
    column.extend(Vec::<f64>::try_from(values)?);
    Ok(())
}

#[cfg(test)]
mod tests {
    use tch::Device;

    use super::*;
    use crate::language::GptSize;
    use crate::torch::images::to_i64;

    #[test]
    fn loss_and_gradient_norm_are_what_differentiation_gives() {
        let size = GptSize { layers: 1, heads: 2, width: 8 };
        let model = Gpt::new(size, 11, 6, 1, Device::Cpu);
        let inputs = Tensor::from_slice(&[1_i64, 2, 3, 4, 5, 6, 9, 8, 7, 6, 5, 4]).reshape([2, 6]);
        let next = Tensor::from_slice(&[2_i64, 3, 4, 5, 6, 7, 8, 7, 6, 5, 4, 10]).reshape([2, 6]);
        let mut features = SequenceFeatures::default();
        no_grad(|| features.append(&model, &inputs, &next)).unwrap();
        for sequence in 0..2 {
            let row = |tensor: &Tensor| tensor.narrow(0, to_i64(sequence), 1);
            let hidden = no_grad(|| model.hidden(&row(&inputs), Pass::full(false)));
            // The last layer on its own.
            let last = model.var_store().variables()["embedding.weight"].detach().copy().set_requires_grad(true);
            let loss = losses(&hidden.matmul(&last.tr()), &row(&next)).mean(Kind::Float);
            loss.backward();
            let norm = last.grad().norm().double_value(&[]);
            assert!((features.loss[sequence] - loss.double_value(&[])).abs() < 1e-6, "{features:?}");
            assert!((features.gradient_norm[sequence] - norm).abs() < 1e-6 * norm.max(1.0), "{norm}, {features:?}");
        }
    }
}
