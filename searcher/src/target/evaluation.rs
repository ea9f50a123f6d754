//! How a network is scored on the validation and test sets, and what its last layer is for that.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// What share of what a network gets right is its score.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Evaluation {
    /// Images whose label is the likeliest class: top-1 accuracy.
    #[default]
    Classification,
    /// Queries of few-shot episodes, each given to the class whose mean embedding is nearest by cosine (Snell et al. 2017), the
    /// embedding being the input of the last linear layer scaled to length 1.
    Episodes {
        /// Classes an episode.
        ways: u16,
        /// Examples a class that its mean is of.
        shots: u16,
        /// Other examples a class, which are classified.
        queries: u16,
        /// Episodes, the same for every network.
        episodes: u32,
    },
    /// Pairs of images told to be of one class or of two by the cosine of their embeddings, with the threshold that is best on
    /// nine tenths of the pairs for the last tenth, in turn, as LFW is evaluated.
    Verification {
        /// Pairs drawn of the validation set, and of the test set without `test_pairs`: half of them of one class.
        pairs: u32,
        /// File with the test set's pairs, see [`crate::data::pairs`].
        #[serde(default, skip_serializing_if = "Option::is_none")]
        test_pairs: Option<PathBuf>,
    },
}

impl Evaluation {
    pub(super) fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// What follows the last hidden layer.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Head {
    /// The network's own linear layer.
    #[default]
    Linear,
    /// Logits s·cos(h, W_k), and s·(cos(h, W_y) - m) for the label while training on cross-entropy: an additive margin (Wang et
    /// al. 2018), which makes embeddings of a class close and those of different classes far. The feature `grad_norm` of the last layer is
    /// then what it would be of a linear layer with these logits; `--gradient-norm full` is exact.
    Margin {
        /// s.
        scale: f64,
        /// m.
        margin: f64,
    },
}

impl Head {
    /// A margin head unless told otherwise.
    pub const MARGIN: Self = Self::Margin { scale: 30.0, margin: 0.35 };

    pub(super) fn is_default(&self) -> bool {
        *self == Self::default()
    }
}
