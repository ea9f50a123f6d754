//! The mathematics and the draw engine of Swift Sampler.
//!
//! A [`FeatureTable`] holds a few precomputed features of every example. A [`Dataset`] groups the examples into
//! [`Cells`] of equal features, once. A [`SamplerSpec`] (10 numbers, by default) is plain data; [`Sampler::build`]
//! turns it, with a dataset, into an object that draws: draw number `t` is a pure function of the job's seed, `t` and
//! the sampler, so that any process anywhere computes the same batches.
//!
//! ```
//! use swift_sampler::{Dataset, FeatureTable, Sampler, SamplerSpec, Seed};
//!
//! let table = FeatureTable::new(vec![
//!     ("loss".into(), vec![0.1, 2.0, 0.7, 0.3]),
//!     ("entropy".into(), vec![1.5, 0.2, 1.1, 1.9]),
//!     ("grad_norm".into(), vec![0.4, 3.0, 1.2, 0.9]),
//! ])?;
//! let dataset = Dataset::new(table, vec!["loss".into(), "entropy".into()], Some("grad_norm".into()))?;
//! let spec: SamplerSpec = serde_json::from_str(
//!     r#"{"kind":"swift","features":["loss","entropy"],"coefficients":[1,0],
//!         "knots":[0.25,0.5,0.75],"values":[1,1,1,0.2,0]}"#,
//! )?;
//! let sampler = Sampler::build(&spec, &dataset)?;
//! let draw = sampler.draw(Seed(7), 0);
//! assert!(draw.index < 4);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! An [`Engine`] is a job: a dataset, a seed, a batch size and a log of samplers, whose batches it computes as a daemon
//! serves them.
//!
//! No I/O, no clock, no threads and no global random state live here. Equation numbers refer to *Swift Sampler:
//! Efficient Learning of Sampler by 10 Parameters* (NeurIPS 2024, arXiv 2410.05578).

mod alias;
mod axis;
mod batch;
mod cell_keys;
mod cells;
mod content;
mod crop_bank;
mod dataset;
mod derived_seed;
mod divisor;
mod draw_table;
mod empirical_cdf;
mod engine;
mod exponential;
mod feature_table;
mod gradient_floor;
mod instruction_set;
pub mod job;
mod permutation;
mod philox;
mod piecewise;
mod plan;
mod replacement;
mod resolution;
mod sampler;
mod segment;
mod selection;
mod shards;
mod shared_slice;
mod spec;
mod swift;
mod unit_table;
mod variation;

pub use alias::AliasTableError;
pub use axis::{Axis, AxisBuilder};
pub use batch::{Batch, Indices};
pub use cell_keys::CellKeys;
pub use cells::{CellAxis, Cells, CellsBuilder, CellsParts};
pub use content::{ColumnContent, DatasetContent, column_sha256};
pub use crop_bank::{CropBank, CropColumn, Crops};
pub use dataset::{Dataset, DatasetError};
pub use derived_seed::seed_for;
pub use empirical_cdf::EmpiricalCdf;
pub use engine::{BATCH_SIZE_MAX, Engine, EngineError, JobParameters, SamplerVersion, ServedJob};
pub use feature_table::{FeatureTable, FeatureTableError, SharedColumn};
pub use gradient_floor::GradientFloor;
pub use philox::{Seed, halves, philox4x32_10};
pub use piecewise::PiecewiseLinear;
pub use plan::{Plan, PlanError};
pub use replacement::{DISTINCT_EPOCH_DRAWS_MAX, EPOCH_DRAWS_MAX, EpochError, Replacement};
pub use resolution::Resolution;
pub use sampler::{Draw, Sampler, SamplerError};
pub use segment::{Segment, VersionSegment};
pub use selection::{Proposals, ProposalsError, Selected, Selection, SelectionError};
pub use shards::{
    CellDraw, GradientSums, HeldDraw, ShardPlace, ShardRows, ShardSummary, ShardedCells, ShardedPlan, ShardedSampler,
    ShardsError, ValueRun, merge_axis, value_runs,
};
pub use shared_slice::SharedSlice;
pub use spec::{SamplerSpec, SpecError, SwiftSpec, Transform};
pub use swift::SwiftFunction;
