//! The least gradient norm an example counts with in eq. (10).

/// Gradient norms are raised to this share of their mean, so that no cell is without mass.
const SHARE_OF_MEAN: f64 = 1e-12;

/// Raises gradient norms to a share of their mean; where all are zero every example counts alike.
///
/// The mean is summed block by block of [`Self::BLOCK_ROWS`] rows, each in row order, so that blocks may be summed
/// anywhere and the floor is the same to the bit.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct GradientFloor(f64);

impl GradientFloor {
    /// Rows summed on their own.
    pub const BLOCK_ROWS: usize = 1 << 20;

    /// Takes the floor of a column.
    #[must_use]
    pub fn of_column(gradient_norms: &[f64]) -> Self {
        let sums = gradient_norms.chunks(Self::BLOCK_ROWS).map(Self::block_sum);
        Self::from_block_sums(sums, gradient_norms.len())
    }

    /// Returns the sum of one block: [`Self::BLOCK_ROWS`] rows, the last one fewer.
    #[must_use]
    pub fn block_sum(gradient_norms: &[f64]) -> f64 {
        gradient_norms.iter().map(|g| g.max(0.0)).sum()
    }

    /// Takes the floor from the sums of all blocks, in row order.
    #[must_use]
    pub fn from_block_sums(sums: impl IntoIterator<Item = f64>, rows: usize) -> Self {
        let mean = sums.into_iter().sum::<f64>() / rows as f64;
        Self(if mean > 0.0 { SHARE_OF_MEAN * mean } else { 1.0 })
    }

    /// Returns the gradient norm that an example counts with.
    #[inline]
    #[must_use]
    pub fn raise(self, gradient_norm: f64) -> f64 {
        gradient_norm.max(self.0)
    }
}
