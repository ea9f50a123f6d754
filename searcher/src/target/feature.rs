//! What a preparation computes of every training example.

use serde::{Deserialize, Serialize};

/// A feature that a start network or the labels give.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Feature {
    /// Cross-entropy with the example's label, in nats.
    Loss,
    /// Entropy of the prediction over the classes other than the label (eq. 11), in nats.
    Entropy,
    /// Euclidean norm of the loss's gradient, see [`GradientNorm`].
    GradNorm,
    /// Probability of the label less the largest of the other classes, from -1 to 1; above 0 where the prediction is right.
    Margin,
    /// How often the example was forgotten while the start network was trained: predicted as its label after one epoch, and not
    /// after the next (Toneva et al. 2019). Examples that never were predicted so count one more than there are epochs.
    Forgetting,
    /// Share of the training examples that have the example's label.
    ClassFrequency,
    /// 1 / (1 + d) for the mean Euclidean distance d to the ten nearest other examples, in the input of the last linear layer.
    Density,
}

impl Feature {
    /// All features.
    pub const ALL: [Self; 7] = [
        Self::Loss,
        Self::Entropy,
        Self::GradNorm,
        Self::Margin,
        Self::Forgetting,
        Self::ClassFrequency,
        Self::Density,
    ];
    /// Those that are computed whether they are asked for or not.
    pub const ALWAYS: [Self; 3] = [Self::Loss, Self::Entropy, Self::GradNorm];

    /// Returns the name of its column.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Loss => "loss",
            Self::Entropy => "entropy",
            Self::GradNorm => "grad_norm",
            Self::Margin => "margin",
            Self::Forgetting => "forgetting",
            Self::ClassFrequency => "class_frequency",
            Self::Density => "density",
        }
    }

    /// Returns the feature whose column has this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|feature| feature.name() == name)
    }
}

/// Whose gradient the norm is taken of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GradientNorm {
    /// Weight and bias of the last linear layer, in closed form; of the logits, which is the factor of it that is no
    /// activation's, where the layer's input is not to be had.
    #[default]
    LastLayer,
    /// All trainable parameters, by a backward pass an example.
    Full,
}

impl GradientNorm {
    pub(super) fn is_default(&self) -> bool {
        *self == Self::default()
    }
}
