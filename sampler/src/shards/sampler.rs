//! A spec and the cells of all shards, made drawable.

use std::sync::Arc;

use super::{ShardedCells, ShardsError};
use crate::cells::CellStatistics;
use crate::cells::by_value::CELL_BITS;
use crate::draw_table::DrawTable;
use crate::philox::{Seed, draw_words};
use crate::sampler::{SamplerError, distribute};
use crate::spec::SamplerSpec;
use crate::swift::SwiftFunction;

/// One draw, up to its row: which cell, and which of the cell's rows.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CellDraw {
    /// The cell.
    pub cell: usize,
    /// The position of the row among those of the cell in all shards, counted from 0.
    pub position: u64,
    /// The probability with which each draw of this sampler is that row.
    pub probability: f32,
}

/// A distribution over the rows of all shards: what [`crate::Sampler`] is over one dataset, without the rows.
#[derive(Debug, Clone)]
pub struct ShardedSampler {
    spec: SamplerSpec,
    cells: Arc<ShardedCells>,
    table: DrawTable,
    function: Option<SwiftFunction>,
}

impl ShardedSampler {
    /// Builds the sampler of `spec` in O(cells · log cells). The cells must tell apart what the spec weighs: the features
    /// of a swift sampler, in its order; exact values of a column of weights; nothing under the uniform sampler.
    ///
    /// # Errors
    /// [`ShardsError`] when the spec is malformed, needs other cells, or leaves no row to draw.
    pub fn build(spec: &SamplerSpec, cells: &Arc<ShardedCells>) -> Result<Self, ShardsError> {
        let spec = spec.canonical().map_err(SamplerError::from)?;
        let wanted: &[String] = match &spec {
            SamplerSpec::Uniform {} => &[],
            SamplerSpec::Column { column } => std::slice::from_ref(column),
            SamplerSpec::Swift(swift) => &swift.features,
        };
        if wanted != cells.features() {
            let (wanted, features) = (format!("{wanted:?}"), format!("{:?}", cells.features()));
            return Err(ShardsError::Features { wanted, features });
        }
        let (function, weights) = match &spec {
            SamplerSpec::Uniform {} => (None, vec![1.0]),
            SamplerSpec::Column { column } => (None, values(column, cells)?),
            SamplerSpec::Swift(swift) => {
                let (function, weights) = SwiftFunction::build(swift, &**cells)?;
                (Some(function), weights)
            }
        };
        let table = distribute(weights, &**cells, std::iter::repeat(0)).map_err(SamplerError::from)?;
        Ok(Self { spec, cells: Arc::clone(cells), table, function })
    }

    /// Returns the canonical spec.
    #[must_use]
    pub fn spec(&self) -> &SamplerSpec {
        &self.spec
    }

    /// Returns the cells the sampler draws over.
    #[must_use]
    pub fn cells(&self) -> &Arc<ShardedCells> {
        &self.cells
    }

    /// Returns the weight function of a swift sampler.
    #[must_use]
    pub fn function(&self) -> Option<&SwiftFunction> {
        self.function.as_ref()
    }

    /// Returns the effective sample size 1 / Σ p², in rows of all shards.
    #[must_use]
    pub fn effective_sample_size(&self) -> f64 {
        self.table.effective_sample_size()
    }

    /// Returns the probability of one row of `cell`, in O(1); in O(cells) when first called.
    #[must_use]
    pub fn cell_probability(&self, cell: usize) -> f64 {
        self.table.units().share(cell) / self.cells.count(cell) as f64
    }

    /// Returns draw number `draw` of a job with this seed: a pure function, in O(1).
    #[must_use]
    #[allow(clippy::cast_possible_truncation, reason = "a position is below the cell's count")]
    pub fn draw(&self, seed: Seed, draw: u64) -> CellDraw {
        let [cell, position] = draw_words(seed, draw);
        let cell = self.table.cell(cell);
        self.cell_draw(cell, ((u128::from(position) * u128::from(self.cells.count(cell))) >> 64) as u64)
    }

    pub(super) fn cell_draw(&self, cell: usize, position: u64) -> CellDraw {
        CellDraw { cell, position, probability: self.table.probability(cell) }
    }

    pub(super) fn table(&self) -> &DrawTable {
        &self.table
    }
}

/// Returns the weight of each cell of a column of weights: the value that it stands for.
fn values(column: &str, cells: &ShardedCells) -> Result<Vec<f64>, ShardsError> {
    let (axis, cdf) = (&cells.axes()[0], &CellStatistics::cdfs(cells)[0]);
    let values = cdf.values();
    if axis.quantiles() != cdf.shares() {
        return Err(ShardsError::QuantisedWeights { column: column.to_owned() });
    }
    // More are not told apart in one dataset either, but their means depend on all rows of an interval.
    if values.len() > 1 << CELL_BITS {
        return Err(ShardsError::DistinctWeights { column: column.to_owned(), values: values.len() });
    }
    match values.iter().position(|value| *value < 0.0) {
        None => Ok(axis.intervals().iter().map(|&interval| values[interval as usize]).collect()),
        Some(position) => Err(ShardsError::NegativeWeight { column: column.to_owned(), value: values[position] }),
    }
}
