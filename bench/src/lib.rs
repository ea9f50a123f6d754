//! What `make bench` and `cargo bench` measure in Rust: the engine in process beside `rand_distr`, and gRPC alone.
//!
//! [`optimise`] and [`simulator`] are our side of the benchmark of the search. Each other measurement writes [`Sample`]s, JSON lines that name the row of `bench/rows.py` they belong to.

pub mod bare;
pub mod build;
pub mod cells;
pub mod draws;
pub mod features;
pub mod optimise;
mod pace;
mod sample;
pub mod simulator;

pub use sample::{Sample, Sink};
