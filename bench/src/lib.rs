//! What `make bench` and `cargo bench` measure in Rust: the engine in process beside `rand_distr`, and gRPC alone.
//!
//! Each measurement writes [`Sample`]s, JSON lines that name the row of `bench/rows.py` they belong to.

pub mod bare;
pub mod build;
pub mod cells;
pub mod draws;
pub mod features;
mod pace;
mod sample;

pub use sample::{Sample, Sink};
