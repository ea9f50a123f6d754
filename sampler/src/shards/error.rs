//! Why shards do not make one data set, or cannot be drawn from.

use crate::axis::AxisBuilder;
use crate::plan::PlanError;
use crate::sampler::SamplerError;

/// Why shards do not make one data set, or cannot be drawn from.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ShardsError {
    /// No shard.
    #[error("there is no shard: at least one is needed")]
    None,
    /// A shard does not begin where the one before it ends.
    #[error("shard {shard} begins at row {first_row}, not at {expected}, where the one before it ends")]
    Gap {
        /// The shard, counted from 0.
        shard: usize,
        /// Its first row.
        first_row: u64,
        /// The end of the shard before it.
        expected: u64,
    },
    /// More rows than can be drawn from.
    #[error("the shards' rows end at {0}: they must end below 2^62")]
    TooManyRows(u64),
    /// A summary that no shard has.
    #[error("the summary of shard {shard}: {problem}")]
    Summary {
        /// The shard, counted from 0.
        shard: usize,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// A shard's rows are not those that were summarised.
    #[error("the rows of shard {shard} are not those that were summarised: {problem}")]
    OtherRows {
        /// The shard, counted from 0.
        shard: usize,
        /// What differs.
        problem: &'static str,
    },
    /// Gradient masses of other cells, or not positive.
    #[error("gradient masses must be positive, one for each of the {cells} cells")]
    GradientMass {
        /// Cells there are.
        cells: usize,
    },
    /// The sampler combines other features than the cells tell apart.
    #[error("the sampler is over the features {wanted}, the shards' cells are over {features}")]
    Features {
        /// Those the sampler combines.
        wanted: String,
        /// Those of the cells.
        features: String,
    },
    /// A column of weights was quantised.
    #[error("the cells of column {column:?} are quantised: weights need cells of exact values")]
    QuantisedWeights {
        /// The column.
        column: String,
    },
    /// A column of weights has too many values.
    #[error("column {column:?} has {values} distinct values in all shards: weights have at most 2^20 of them")]
    DistinctWeights {
        /// The column.
        column: String,
        /// Distinct values.
        values: usize,
    },
    /// A weight is negative.
    #[error("column {column:?} has the value {value}: a weight is not negative")]
    NegativeWeight {
        /// The column.
        column: String,
        /// The value.
        value: f64,
    },
    /// More rows than an axis takes, or none.
    #[error("an axis of {rows} rows: it takes from 1 to {}", AxisBuilder::ROWS_MAX)]
    AxisRows {
        /// Rows asked for.
        rows: u64,
    },
    /// More exact values than an axis takes.
    #[error("a feature has 2^32 distinct values or more: it must be quantised")]
    DistinctValues,
    /// A shard's values do not ascend, or one has no rows.
    #[error("shard {shard} has {count} rows of value {value}: values must be finite and ascend, each with a row")]
    Run {
        /// The shard, counted from 0.
        shard: usize,
        /// The value.
        value: f64,
        /// Its rows.
        count: u64,
    },
    /// The shards' values are not those of all rows.
    #[error("the values of all shards are not those of {rows} rows")]
    RunRows {
        /// Rows there should be.
        rows: u64,
    },
    /// Not one axis a feature.
    #[error("{axes} axes for {features} features: give one each")]
    Axes {
        /// Features named.
        features: usize,
        /// Axes given.
        axes: usize,
    },
    /// The sampler cannot be built.
    #[error(transparent)]
    Sampler(#[from] SamplerError),
    /// The segment cannot be planned.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// Mode distinct.
    #[error("mode distinct compares a key of every row, which shards do not exchange: use independent or stratified")]
    Distinct,
}
