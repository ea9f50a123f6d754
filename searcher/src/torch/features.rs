//! The features of every training example under a network.

mod density;
mod forgetting;
mod full_gradient;

use std::collections::BTreeMap;
use std::path::Path;

use tch::{Kind, Tensor, no_grad};

use super::images::DeviceImages;
use super::networks::{Activations, Model};
use super::training::chunks;
use crate::features_file;
use crate::target::{Feature, GradientNorm, PrepareConfig, TargetError};
use density::Neighbours;

pub(super) use forgetting::Forgetting;

/// Fewest classes for which the renormed entropy is not 0 everywhere.
const CLASSES_MIN: usize = 3;

/// Which features are computed, beside those that always are.
#[derive(Debug, Clone, Default)]
pub struct FeatureRequest {
    /// Those beside [`Feature::ALWAYS`]. [`Feature::Forgetting`] is no network's and is not computed here.
    pub extra: Vec<Feature>,
    /// Whose gradient the norm is taken of.
    pub gradient_norm: GradientNorm,
}

impl From<&PrepareConfig> for FeatureRequest {
    fn from(config: &PrepareConfig) -> Self {
        Self { extra: config.extra_features.clone(), gradient_norm: config.gradient_norm }
    }
}

/// One value an example in each column.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct FeatureColumns {
    columns: BTreeMap<Feature, Vec<f64>>,
    /// Whether the input of the last linear layer was to be had, or was not needed.
    pub gradient_norm_with_hidden: bool,
}

/// Computes the features of all `images` in order, in evaluation mode, calling `progress` with the examples done.
///
/// # Errors
///
/// [`TargetError::TooFewClasses`] with fewer than 3 classes; [`TargetError::NoLastLayer`] where a density is asked for and the
/// network does not tell that layer's input; what `progress` returns.
pub fn features_of(
    model: &Model,
    images: &DeviceImages,
    classes: usize,
    request: &FeatureRequest,
    progress: &mut dyn FnMut(usize) -> Result<(), TargetError>,
) -> Result<FeatureColumns, TargetError> {
    if classes < CLASSES_MIN {
        return Err(TargetError::TooFewClasses { classes });
    }
    let wants = |feature| request.extra.contains(&feature);
    let mut features = FeatureColumns { gradient_norm_with_hidden: true, ..FeatureColumns::default() };
    let mut neighbours = wants(Feature::Density).then(Neighbours::default);
    for (start, end) in chunks(images.len()) {
        let (pixels, labels) = images.range(start, end);
        let activations = model.forward_with_hidden(&pixels)?;
        no_grad(|| features.append_prediction(&activations, &labels, wants(Feature::Margin)))?;
        match request.gradient_norm {
            GradientNorm::LastLayer => no_grad(|| features.append_last_layer(&activations, &labels))?,
            GradientNorm::Full => {
                features.append(Feature::GradNorm, &full_gradient::norms(model, &pixels, &labels)?)?
            }
        }
        if let Some(neighbours) = &mut neighbours {
            neighbours.add(activations.hidden.as_ref().ok_or(TargetError::NoLastLayer)?);
        }
        progress(end)?;
    }
    if wants(Feature::ClassFrequency) {
        features.append(Feature::ClassFrequency, &images.class_frequencies(classes))?;
    }
    if let Some(neighbours) = neighbours {
        features.append(Feature::Density, &neighbours.densities()?)?;
    }
    Ok(features)
}

impl FeatureColumns {
    /// Returns a feature's values; none if it was not computed.
    #[must_use]
    pub fn column(&self, feature: Feature) -> &[f64] {
        self.columns.get(&feature).map_or(&[], Vec::as_slice)
    }

    /// Returns all of them by name.
    pub(super) fn named(self) -> Vec<(String, Vec<f64>)> {
        self.columns.into_iter().map(|(feature, values)| (feature.name().to_owned(), values)).collect()
    }

    /// Puts a feature's values beside the others.
    pub(super) fn insert(&mut self, feature: Feature, values: Vec<f64>) {
        self.columns.insert(feature, values);
    }

    /// Takes a feature away again.
    pub(super) fn remove(&mut self, feature: Feature) {
        self.columns.remove(&feature);
    }

    /// Adds those of the same examples at another epoch; to nothing, they are what they are.
    pub(super) fn add(&mut self, other: &Self) {
        for (feature, values) in &other.columns {
            let sum = self.columns.entry(*feature).or_default();
            sum.resize(values.len(), 0.0);
            sum.iter_mut().zip(values).for_each(|(sum, value)| *sum += value);
        }
        self.gradient_norm_with_hidden = other.gradient_norm_with_hidden;
    }

    /// Returns every value times `factor`.
    pub(super) fn scaled(&self, factor: f64) -> Self {
        let mut scaled = self.clone();
        scaled.columns.values_mut().flatten().for_each(|value| *value *= factor);
        scaled
    }

    /// Appends what a batch's predictions say, computed in f64: ranks of nearly equal losses then differ as they should.
    fn append_prediction(
        &mut self,
        activations: &Activations,
        labels: &Tensor,
        margin: bool,
    ) -> Result<(), TargetError> {
        let logits = activations.logits.to_kind(Kind::Double);
        let labels = labels.unsqueeze(1);

        let log_probabilities = logits.log_softmax(1, Kind::Double);
        let log_probability = log_probabilities.gather(1, &labels, false);
        self.append(Feature::Loss, &-&log_probability)?;

        // q_j = p_j / (1 - p_y) is the softmax over j != y: no 0/0 where p_y rounds to 1.
        let others = logits.scatter_value(1, &labels, f64::NEG_INFINITY);
        let log_q = others.log_softmax(1, Kind::Double);
        let terms = log_q.exp() * log_q.clamp_min(f64::MIN);
        self.append(Feature::Entropy, &-terms.sum_dim_intlist(1, false, Kind::Double))?;

        if margin {
            let rival = log_probabilities.scatter_value(1, &labels, f64::NEG_INFINITY).amax(1, true);
            self.append(Feature::Margin, &(log_probability.exp() - rival.exp()))?;
        }
        Ok(())
    }

    /// Appends the gradient norms ‖p - y‖ sqrt(‖h‖² + 1) of the last linear layer.
    fn append_last_layer(&mut self, activations: &Activations, labels: &Tensor) -> Result<(), TargetError> {
        let labels = labels.unsqueeze(1);
        let one = Tensor::ones_like(&labels).to_kind(Kind::Double);
        let residual = activations.logits.to_kind(Kind::Double).softmax(1, Kind::Double).scatter_add(1, &labels, &-one);
        let squared_norm = |tensor: &Tensor| tensor.square().sum_dim_intlist(1, false, Kind::Double);
        let squared_residual = squared_norm(&residual);
        let squared_gradient = match &activations.hidden {
            Some(hidden) => squared_residual * (squared_norm(&hidden.to_kind(Kind::Double)) + 1.0),
            None => {
                self.gradient_norm_with_hidden = false;
                squared_residual
            }
        };
        self.append(Feature::GradNorm, &squared_gradient.sqrt())
    }

    fn append(&mut self, feature: Feature, values: &Tensor) -> Result<(), TargetError> {
        let values = values.to_kind(Kind::Double).flatten(0, -1);
        self.columns.entry(feature).or_default().extend(Vec::<f64>::try_from(values)?);
        Ok(())
    }
}

/// Writes the columns, and others `beside` them, as a Parquet file, at once or not at all.
///
/// # Errors
///
/// [`TargetError::File`] names the file.
pub fn write_features(path: &Path, features: &FeatureColumns, beside: &[(&str, Vec<f64>)]) -> Result<(), TargetError> {
    let computed = features.columns.iter().map(|(feature, values)| (feature.name(), values.as_slice()));
    let beside = beside.iter().map(|(name, values)| (*name, values.as_slice()));
    let columns: Vec<(&str, &[f64])> = computed.chain(beside).collect();
    features_file::write(path, &columns)
        .map_err(|source| TargetError::File { path: path.to_owned(), reason: source.to_string() })
}
