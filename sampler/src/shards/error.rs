//! Why shards do not make one data set, or cannot be drawn from.

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
    /// A column of weights has more values than are kept.
    #[error("column {column:?} has {values} distinct values in all shards: weights can be read from at most {kept}")]
    DistinctWeights {
        /// The column.
        column: String,
        /// Distinct values.
        values: usize,
        /// Values kept.
        kept: usize,
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
