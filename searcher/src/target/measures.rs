//! What a classification is measured by beside the share that is right.

use serde::{Deserialize, Serialize};

/// Classes whose label may be among, for top-5 accuracy.
pub const LIKELIEST: usize = 5;

/// Measures of a classified test set beside its top-1 accuracy: numbers of one network, or summaries over several.
/// Absent where networks are not scored by the classes they were trained on, and in records of before they were measured.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Measures<T = f64> {
    /// Share of the examples whose label is one of the five likeliest classes; absent where there are no more than five.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub test_top5_accuracy: Option<T>,
    /// Mean over classes of the share of a class's examples that are classified correctly: every class counts the same, however
    /// many examples it has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub test_balanced_accuracy: Option<T>,
}

impl<T> Default for Measures<T> {
    fn default() -> Self {
        Self { test_top5_accuracy: None, test_balanced_accuracy: None }
    }
}

impl Measures {
    /// Returns the measures of several networks as `summary` makes them of each measure's values, of networks that have it.
    #[must_use]
    pub fn summarised<S>(of: &[Self], summary: impl Fn(Vec<f64>) -> Option<S>) -> Measures<S> {
        let summarise = |measure: fn(&Self) -> Option<f64>| summary(of.iter().filter_map(measure).collect());
        Measures {
            test_top5_accuracy: summarise(|one| one.test_top5_accuracy),
            test_balanced_accuracy: summarise(|one| one.test_balanced_accuracy),
        }
    }
}

impl<T> Measures<T> {
    /// Returns each measure with its name in tables.
    #[must_use]
    pub const fn named(&self) -> [(&'static str, Option<&T>); 2] {
        [("test top-5", self.test_top5_accuracy.as_ref()), ("test balanced", self.test_balanced_accuracy.as_ref())]
    }
}
