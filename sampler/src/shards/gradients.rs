//! The first pass over the shards' gradient norms: their floor.

use crate::gradient_floor::GradientFloor;

/// Sums gradient norms over the rows of one shard after another, for the floor that a single data set of all rows has,
/// to the bit. Handed from host to host in ascending order of rows; small, whatever the number of rows.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct GradientSums {
    /// Sums of whole blocks.
    blocks: Vec<f64>,
    /// Sum and rows of the block that is not whole yet.
    open: f64,
    open_rows: usize,
}

impl GradientSums {
    /// Adds the column of the next shard.
    pub fn add(&mut self, mut gradient_norms: &[f64]) {
        while !gradient_norms.is_empty() {
            let wanted = GradientFloor::BLOCK_ROWS - self.open_rows;
            let (here, later) = gradient_norms.split_at(wanted.min(gradient_norms.len()));
            self.open = here.iter().fold(self.open, |sum, gradient_norm| sum + gradient_norm.max(0.0));
            self.open_rows += here.len();
            if self.open_rows == GradientFloor::BLOCK_ROWS {
                self.blocks.push(self.open);
                (self.open, self.open_rows) = (0.0, 0);
            }
            gradient_norms = later;
        }
    }

    /// Returns the floor over all rows added, or `None` where there are none.
    #[must_use]
    pub fn floor(&self) -> Option<GradientFloor> {
        let rows = self.blocks.len() * GradientFloor::BLOCK_ROWS + self.open_rows;
        let open = (self.open_rows > 0).then_some(self.open);
        (rows > 0).then(|| GradientFloor::from_block_sums(self.blocks.iter().copied().chain(open), rows))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_floor_is_that_of_one_column_wherever_it_is_cut() {
        let rows = GradientFloor::BLOCK_ROWS * 2 + 12_345;
        let column: Vec<f64> = (0..rows).map(|row| (row % 1009) as f64 / 7.0).collect();
        for cuts in [vec![], vec![1], vec![GradientFloor::BLOCK_ROWS], vec![3, GradientFloor::BLOCK_ROWS * 2 + 1, rows]]
        {
            let (mut sums, mut start) = (GradientSums::default(), 0);
            for end in cuts.iter().copied().chain([rows]) {
                sums.add(&column[start..end]);
                start = end;
            }
            assert_eq!(sums.floor(), Some(GradientFloor::of_column(&column)), "{cuts:?}");
        }
        assert_eq!(GradientSums::default().floor(), None);
    }
}
