//! The features of every training example under a network: loss, renormed entropy and last-layer gradient norm.

use std::path::Path;

use tch::{Kind, Tensor, no_grad};

use super::images::DeviceImages;
use super::networks::{Activations, Model};
use super::training::chunks;
use crate::features_file;
use crate::target::TargetError;

/// Fewest classes for which the renormed entropy is not 0 everywhere.
const CLASSES_MIN: usize = 3;

/// One value an example in each column.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct FeatureColumns {
    /// Cross-entropy with the example's label, in nats.
    pub loss: Vec<f64>,
    /// Entropy of the prediction over the classes other than the label (eq. 11), in nats.
    pub entropy: Vec<f64>,
    /// Euclidean norm of the loss's gradient by weight and bias of the last linear layer; by the logits, which is the
    /// factor of it that is no activation's, where the layer's input is not to be had.
    pub grad_norm: Vec<f64>,
    /// Whether the layer's input was to be had.
    pub gradient_norm_with_hidden: bool,
}

/// Computes the features of all `images` in order, in evaluation mode, calling `progress` with the examples done.
///
/// # Errors
///
/// [`TargetError::TooFewClasses`] with fewer than 3 classes; what `progress` returns.
pub fn features_of(
    model: &Model,
    images: &DeviceImages,
    classes: usize,
    progress: &mut dyn FnMut(usize) -> Result<(), TargetError>,
) -> Result<FeatureColumns, TargetError> {
    if classes < CLASSES_MIN {
        return Err(TargetError::TooFewClasses { classes });
    }
    let mut columns = FeatureColumns { gradient_norm_with_hidden: true, ..FeatureColumns::default() };
    for (start, end) in chunks(images.len()) {
        let (pixels, labels) = images.range(start, end);
        let activations = model.forward_with_hidden(&pixels)?;
        no_grad(|| columns.append(&activations, &labels))?;
        progress(end)?;
    }
    Ok(columns)
}

impl FeatureColumns {
    /// Adds those of the same examples at another epoch; to nothing, they are what they are.
    pub(super) fn add(&mut self, other: &Self) {
        for (sum, values) in self.columns_mut().into_iter().zip([&other.loss, &other.entropy, &other.grad_norm]) {
            sum.resize(values.len(), 0.0);
            sum.iter_mut().zip(values).for_each(|(sum, value)| *sum += value);
        }
        self.gradient_norm_with_hidden = other.gradient_norm_with_hidden;
    }

    /// Returns every value times `factor`.
    pub(super) fn scaled(&self, factor: f64) -> Self {
        let mut scaled = self.clone();
        scaled.columns_mut().into_iter().flatten().for_each(|value| *value *= factor);
        scaled
    }

    const fn columns_mut(&mut self) -> [&mut Vec<f64>; 3] {
        [&mut self.loss, &mut self.entropy, &mut self.grad_norm]
    }

    /// Appends the features of one batch, computed in f64: ranks of nearly equal losses then differ as they should.
    fn append(&mut self, activations: &Activations, labels: &Tensor) -> Result<(), TargetError> {
        let logits = activations.logits.to_kind(Kind::Double);
        let labels = labels.unsqueeze(1);

        let log_probabilities = logits.log_softmax(1, Kind::Double);
        extend(&mut self.loss, &-log_probabilities.gather(1, &labels, false))?;

        // q_j = p_j / (1 - p_y) is the softmax over j != y: no 0/0 where p_y rounds to 1.
        let log_q = logits.scatter_value(1, &labels, f64::NEG_INFINITY).log_softmax(1, Kind::Double);
        let terms = log_q.exp() * log_q.clamp_min(f64::MIN);
        extend(&mut self.entropy, &-terms.sum_dim_intlist(1, false, Kind::Double))?;

        let one = Tensor::ones_like(&labels).to_kind(Kind::Double);
        let residual = log_probabilities.exp().scatter_add(1, &labels, &-one);
        let squared_norm = |tensor: &Tensor| tensor.square().sum_dim_intlist(1, false, Kind::Double);
        let squared_residual = squared_norm(&residual);
        let squared_gradient = match &activations.hidden {
            Some(hidden) => squared_residual * (squared_norm(&hidden.to_kind(Kind::Double)) + 1.0),
            None => {
                self.gradient_norm_with_hidden = false;
                squared_residual
            }
        };
        extend(&mut self.grad_norm, &squared_gradient.sqrt())
    }
}

fn extend(column: &mut Vec<f64>, values: &Tensor) -> Result<(), TargetError> {
    column.extend(Vec::<f64>::try_from(values.flatten(0, -1))?);
    Ok(())
}

/// Writes the columns as a Parquet file, at once or not at all.
///
/// # Errors
///
/// [`TargetError::File`] names the file.
pub fn write_features(path: &Path, features: &FeatureColumns) -> Result<(), TargetError> {
    let columns: [(&str, &[f64]); 3] =
        [("loss", &features.loss), ("entropy", &features.entropy), ("grad_norm", &features.grad_norm)];
    features_file::write(path, &columns)
        .map_err(|source| TargetError::File { path: path.to_owned(), reason: source.to_string() })
}
