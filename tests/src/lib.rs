//! What the process-level scenarios share: real binaries, started on free ports and stopped again.
//!
//! The binaries are those beside the test binary, in the target folder: `cargo build` first (as `make test` does).

#![allow(clippy::missing_panics_doc, reason = "a scenario fails by panicking")]
#![allow(clippy::expect_used, reason = "a scenario fails by panicking")]

mod binaries;
pub mod certificates;
pub mod dataset;
pub mod faulty_disk;
pub mod progress;
pub mod redis;
pub mod resources;
pub mod samplerctl;
pub mod samplerd;
pub mod trainer;

pub use binaries::{binary, copy_folder, deadline};
pub use certificates::Authority;
pub use faulty_disk::FaultyDisk;
pub use redis::RedisServer;
pub use samplerctl::{Failure, Samplerctl};
pub use samplerd::Samplerd;
pub use trainer::Trainer;
