//! What all hosts must know of one shard.

use serde::{Deserialize, Serialize};

use super::ShardsError;
use crate::cells::Cells;

/// How many rows of each cell one shard has: plain data, of a size that does not grow with the rows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ShardSummary {
    /// Index of the shard's first row among those of all shards.
    pub first_row: u64,
    /// N quantiles a cell, ascending in the first feature, then in the next; of the distribution over *all* shards.
    pub quantiles: Vec<f64>,
    /// Rows in each of these cells.
    pub counts: Vec<u32>,
}

impl ShardSummary {
    /// Summarises the cells of a shard, which tell its rows apart as all other shards' cells do.
    #[must_use]
    pub fn of(first_row: u64, cells: &Cells) -> Self {
        Self {
            first_row,
            quantiles: (0..cells.len()).flat_map(|cell| cells.quantiles(cell)).collect(),
            counts: (0..cells.len()).map(|cell| cells.count(cell)).collect(),
        }
    }

    /// Returns the number of rows.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.counts.iter().map(|&count| u64::from(count)).sum()
    }

    /// Returns the quantiles of a cell of `features` features.
    pub(super) fn quantiles(&self, cell: usize, features: usize) -> &[f64] {
        &self.quantiles[cell * features..(cell + 1) * features]
    }

    /// Checks what merging relies on.
    pub(super) fn check(&self, shard: usize, features: usize) -> Result<(), ShardsError> {
        let len = self.counts.len();
        let problem = if len == 0 || self.counts.contains(&0) {
            "a cell without rows, or no cell"
        } else if self.quantiles.len() != len * features {
            "not one quantile a feature and cell"
        } else if !self.quantiles.iter().all(|quantile| *quantile > 0.0 && *quantile <= 1.0) {
            "a quantile is outside (0, 1]"
        } else if !(1..len).all(|cell| self.quantiles(cell - 1, features) < self.quantiles(cell, features)) {
            "its cells are not ascending"
        } else {
            return Ok(());
        };
        Err(ShardsError::Summary { shard, problem })
    }
}
