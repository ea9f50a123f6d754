//! Shards: a data set of more rows than one host holds, drawn as if it were one.
//!
//! A *shard* is a contiguous range of the rows, on a host of its own. What all hosts share is small: the cells of all
//! rows, each with its quantiles, its gradient mass and how many of its rows every shard has ([`ShardedCells`]). From
//! that, every host builds the same [`ShardedSampler`]. A draw has two levels: the words of [`crate::Sampler`] choose a
//! cell and a position in it; the shards' counts say which shard has that position, and the host that holds the shard's
//! [`ShardRows`] says which row it is. Rows of a cell are in ascending order and shards are ascending ranges of rows, so
//! draws and probabilities are those of one data set of all rows, to the last bit, however the rows are cut.
//!
//! ```
//! use std::sync::Arc;
//! use swift_sampler::{Cells, FeatureTable, Replacement, SamplerSpec, Seed, Segment};
//! use swift_sampler::{ShardRows, ShardSummary, ShardedCells, ShardedPlan, ShardedSampler};
//!
//! // Two hosts of three and two rows, under the uniform sampler, which has one cell.
//! let cells = [3, 2].map(|rows| {
//!     let table = FeatureTable::new(vec![("loss".into(), vec![0.5; rows])]).unwrap();
//!     Arc::new(Cells::whole(&table))
//! });
//! let summaries = [ShardSummary::of(0, &cells[0]), ShardSummary::of(3, &cells[1])];
//! let shared = Arc::new(ShardedCells::merge(Vec::new(), &[], &summaries)?);
//! let sampler = Arc::new(ShardedSampler::build(&SamplerSpec::Uniform {}, &shared)?);
//! let segment = Segment { epoch_start: 0, start: 0, end: 5 };
//! let plan = ShardedPlan::new(sampler, Seed(7), Replacement::Stratified, segment)?;
//! // Each host answers for the rows it holds; an epoch of the uniform sampler is a shuffle of all five.
//! let mut indices = Vec::new();
//! for (shard, cells) in cells.into_iter().enumerate() {
//!     let rows = ShardRows::new(&shared, shard, cells)?;
//!     indices.extend(plan.held(0..5, &rows).map(|draw| draw.index));
//! }
//! indices.sort_unstable();
//! assert_eq!(indices, [0, 1, 2, 3, 4]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod cells;
mod error;
mod gradients;
mod plan;
mod rows;
mod runs;
mod sampler;
mod summary;

pub use cells::{ShardPlace, ShardedCells};
pub use error::ShardsError;
pub use gradients::GradientSums;
pub use plan::{HeldDraw, ShardedPlan};
pub use rows::ShardRows;
pub use runs::{ValueRun, merge_axis, value_runs};
pub use sampler::{CellDraw, ShardedSampler};
pub use summary::ShardSummary;
