//! How often examples are forgotten from epoch to epoch.

/// Counts of the epochs so far.
#[derive(Debug, Default)]
pub(in crate::torch) struct Forgetting {
    epochs: u32,
    counts: Vec<u32>,
    right: Vec<bool>,
    ever_right: Vec<bool>,
}

impl Forgetting {
    /// Takes note of an epoch's margins.
    pub(in crate::torch) fn add(&mut self, margins: &[f64]) {
        self.epochs += 1;
        self.counts.resize(margins.len(), 0);
        self.right.resize(margins.len(), false);
        self.ever_right.resize(margins.len(), false);
        for (example, margin) in margins.iter().enumerate() {
            let right = *margin > 0.0;
            self.counts[example] += u32::from(self.right[example] && !right);
            self.ever_right[example] |= right;
            self.right[example] = right;
        }
    }

    /// Returns how often each example was forgotten; one more than there were epochs if it was never predicted rightly.
    pub(in crate::torch) fn counts(&self) -> Vec<f64> {
        let counts = self.counts.iter().zip(&self.ever_right);
        counts.map(|(&count, &learned)| f64::from(if learned { count } else { self.epochs + 1 })).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_example_is_forgotten_when_it_was_right_an_epoch_before() {
        let mut forgetting = Forgetting::default();
        for margins in [[0.1, -0.1, 0.2, -1.0], [-0.1, 0.3, 0.2, 0.0], [0.5, 0.1, 0.2, -0.5], [-0.5, 0.1, 0.2, -0.5]] {
            forgetting.add(&margins);
        }
        assert_eq!(forgetting.counts(), [2.0, 0.0, 0.0, 5.0]);
    }
}
