//! What a target's objective measures, and how people read it.

use serde::{Deserialize, Serialize};

/// What an objective, a share from 0 to 1 that is better the larger it is, measures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Metric {
    /// The share of examples that are classified correctly.
    #[default]
    Accuracy,
    /// 1 / perplexity: the geometric mean of the probabilities that a language model gives to the tokens. People read the
    /// perplexity, exp of the mean cross-entropy, which is better the smaller it is.
    Perplexity,
}

impl Metric {
    pub(crate) fn is_accuracy(&self) -> bool {
        *self == Self::Accuracy
    }

    /// Returns the name over a column of tables.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Accuracy => "accuracy",
            Self::Perplexity => "perplexity",
        }
    }

    /// Returns an objective as people read it, without unit: percent, or the perplexity.
    #[must_use]
    pub fn read(self, objective: f64) -> f64 {
        match self {
            Self::Accuracy => 100.0 * objective,
            Self::Perplexity => 1.0 / objective,
        }
    }

    /// Returns what is written behind such numbers.
    #[must_use]
    pub const fn unit(self) -> &'static str {
        match self {
            Self::Accuracy => "%",
            Self::Perplexity => "",
        }
    }

    /// Returns an objective as text.
    #[must_use]
    pub fn show(self, objective: f64) -> String {
        format!("{:.2}{}", self.read(objective), self.unit())
    }

    /// Returns what axes of hundredths of it are labelled with.
    #[must_use]
    pub const fn axis(self) -> &'static str {
        match self {
            Self::Accuracy => "accuracy, %",
            Self::Perplexity => "100 / perplexity",
        }
    }

    /// Returns what a difference of objectives, in hundredths, is one of.
    #[must_use]
    pub const fn points_of(self) -> &'static str {
        match self {
            Self::Accuracy => "points",
            Self::Perplexity => "points of 1/perplexity",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accuracies_are_read_as_percent_and_inverse_perplexities_as_perplexities() {
        assert_eq!(Metric::Accuracy.show(0.8352), "83.52%");
        assert_eq!(Metric::Perplexity.show(1.0 / 24.1), "24.10");
    }
}
