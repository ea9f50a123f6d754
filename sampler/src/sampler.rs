//! A spec and a dataset, made drawable.

use std::ops::Range;
use std::sync::Arc;

use crate::alias::{self, AliasTableError};
use crate::cells::{CellStatistics, Cells};
use crate::dataset::Dataset;
use crate::draw_table::DrawTable;
use crate::feature_table::FeatureTableError;
use crate::instruction_set::InstructionSet;
use crate::philox::Seed;
use crate::spec::{SamplerSpec, SpecError};
use crate::swift::SwiftFunction;

/// Why a sampler cannot be built or applied.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum SamplerError {
    /// The spec is malformed.
    #[error("sampler spec: {0}")]
    Spec(#[from] SpecError),
    /// The spec names a column the dataset does not have.
    #[error("sampler spec: {0}")]
    Column(#[from] FeatureTableError),
    /// A column of weights holds a negative one.
    #[error("column {column:?}, row {row} (counted from 0) is {value}: a weight is not negative")]
    NegativeWeight {
        /// The column.
        column: String,
        /// The row, counted from 0.
        row: usize,
        /// The value.
        value: f64,
    },
    /// No example has a positive weight, or the weights overflow.
    #[error("no example can be drawn: {0}")]
    Weights(#[from] AliasTableError),
    /// Transform `cgf` without gradient norms.
    #[error(
        "transform \"cgf\" needs gradient norms and the dataset has none: import it with a gradient norm column, or use \"cdf\""
    )]
    NoGradientNorm,
    /// An example to be weighed has another number of features.
    #[error("{given} features given where the sampler combines {expected}")]
    FeatureCount {
        /// Features given.
        given: usize,
        /// Features of the sampler.
        expected: usize,
    },
}

/// One draw.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Draw {
    /// The example's index: the dataset's first row plus the example's row.
    pub index: u64,
    /// The probability with which each draw of this sampler is that example.
    pub probability: f32,
}

/// A distribution over a dataset's examples, ready to draw from.
///
/// Once built, no operation can fail; share it freely between threads.
#[derive(Debug, Clone)]
pub struct Sampler {
    spec: SamplerSpec,
    cells: Arc<Cells>,
    /// Index of row 0.
    first_row: u64,
    table: DrawTable,
    function: Option<SwiftFunction>,
}

impl Sampler {
    /// Builds the sampler of `spec`, eq. (5), in O(cells · log cells); other than the dataset's default features, or a
    /// column of weights, cost O(n log n).
    ///
    /// # Errors
    /// [`SamplerError`] when the spec is malformed, does not fit the dataset, or leaves no example to draw.
    pub fn build(spec: &SamplerSpec, dataset: &Dataset) -> Result<Self, SamplerError> {
        let spec = spec.canonical()?;
        let (cells, weights, function) = match &spec {
            SamplerSpec::Uniform {} => (Arc::new(Cells::whole(dataset.table())), vec![1.0], None),
            SamplerSpec::Column { column } => {
                let values = dataset.table().column(column)?;
                if let Some(row) = values.iter().position(|value| *value < 0.0) {
                    let value = values[row];
                    return Err(SamplerError::NegativeWeight { column: column.clone(), row, value });
                }
                let (cells, weights) = Cells::by_value(dataset.table(), column)?;
                (Arc::new(cells), weights, None)
            }
            SamplerSpec::Swift(swift) => {
                let cells = dataset.cells_of(&swift.features)?;
                let (function, weights) = SwiftFunction::build(swift, &*cells)?;
                (cells, weights, Some(function))
            }
        };
        let table = distribute(weights, &*cells, cells.starts().iter().copied())?;
        Ok(Self { spec, cells, first_row: dataset.first_row(), table, function })
    }

    /// Returns the canonical spec.
    #[must_use]
    pub fn spec(&self) -> &SamplerSpec {
        &self.spec
    }

    /// Returns the number of examples.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.cells.rows()
    }

    /// Returns the index of the first example: that of an example is this plus its row.
    #[must_use]
    pub fn first_row(&self) -> u64 {
        self.first_row
    }

    /// Returns the cells the sampler draws over.
    #[must_use]
    pub fn cells(&self) -> &Arc<Cells> {
        &self.cells
    }

    /// Returns what draws look up.
    pub(crate) fn table(&self) -> &DrawTable {
        &self.table
    }

    /// Returns the weight function of a swift sampler, for examples outside the dataset.
    #[must_use]
    pub fn function(&self) -> Option<&SwiftFunction> {
        self.function.as_ref()
    }

    /// Returns the effective sample size 1 / Σ p², in examples: n for the uniform sampler.
    #[must_use]
    pub fn effective_sample_size(&self) -> f64 {
        self.table.effective_sample_size()
    }

    /// Returns the probability of one example of `cell`, in O(1); in O(cells) when first called.
    #[must_use]
    pub fn cell_probability(&self, cell: usize) -> f64 {
        self.table.units().share(cell) / f64::from(self.cells.count(cell))
    }

    /// Returns the probability of every example, in row order.
    #[must_use]
    pub fn probabilities(&self) -> Vec<f64> {
        let mut of_row = vec![0.0; self.rows()];
        for cell in 0..self.cells.len() {
            let probability = self.cell_probability(cell);
            for place in self.cells.places(cell) {
                of_row[self.cells.row_at(place) as usize] = probability;
            }
        }
        of_row
    }

    /// Returns draw number `draw` of a job with this seed: a pure function, in O(1).
    #[must_use]
    pub fn draw(&self, seed: Seed, draw: u64) -> Draw {
        let (mut row, mut probability) = ([0], [0.0]);
        let (instructions, order) = (InstructionSet::widest(), self.cells.order());
        self.table.draw_into(instructions, order, seed, draw, &mut row, &mut probability);
        Draw { index: self.first_row + u64::from(row[0]), probability: probability[0] }
    }

    /// Writes the draws of `draws` into `rows` and `probabilities`, as [`Self::draw`] returns them, faster. Rows are the
    /// dataset's own, from 0 whatever its first row is.
    ///
    /// # Panics
    /// When the slices are not as long as the range.
    pub fn draw_into(&self, seed: Seed, draws: Range<u64>, rows: &mut [u32], probabilities: &mut [f32]) {
        let wanted = draws.end.saturating_sub(draws.start);
        assert!(
            rows.len() as u64 == wanted && probabilities.len() as u64 == wanted,
            "both slices hold one value a draw"
        );
        let (instructions, order) = (InstructionSet::widest(), self.cells.order());
        self.table.draw_into(instructions, order, seed, draws.start, rows, probabilities);
    }

    /// Returns the example at `place` of `cell`, and its probability.
    #[inline]
    pub(crate) fn example(&self, cell: usize, place: u32) -> (u32, f32) {
        (self.cells.row_at(place), self.table.probability(cell))
    }
}

/// Makes the weight of an example of each cell drawable; `starts` are the places where cells begin and the last ends, or
/// zeros where places are not of one order.
pub(crate) fn distribute(
    weights: Vec<f64>,
    cells: &impl CellStatistics,
    starts: impl Iterator<Item = u32>,
) -> Result<DrawTable, AliasTableError> {
    let mut mass = weights;
    for (mass, count) in mass.iter_mut().zip(cells.counts()) {
        *mass *= count as f64;
    }
    Ok(DrawTable::new(&alias::apportion(mass)?, cells.counts(), starts))
}
