//! The native half of the wheel `swift-sampler`: `swift_sampler._native`.
//!
//! Nothing starts at import: no thread, no socket. What belongs to one process is never used, nor dropped, in a child
//! that was forked from it. Waiting releases the interpreter's lock and lets signals through.

#![allow(clippy::too_many_arguments, reason = "Python calls these by keyword")]

mod batch;
mod connection;
mod crops;
mod derived_seed;
mod engine;
mod engine_dataset;
mod exceptions;
mod numbers;
mod process;
mod records;
mod studies;
mod study_records;
mod view;
mod waiting;

/// The native half of `swift_sampler`.
#[pyo3::pymodule]
mod _native {
    #[pymodule_export]
    use crate::batch::{Batch, Batches};
    #[pymodule_export]
    use crate::connection::Connection;
    #[pymodule_export]
    use crate::crops::Crops;
    #[pymodule_export]
    use crate::derived_seed::seed_for;
    #[pymodule_export]
    use crate::engine::Engine;
    #[pymodule_export]
    use crate::engine_dataset::EngineDataset;
    #[pymodule_export]
    use crate::exceptions::{
        Aborted, AlreadyExists, Error, FailedPrecondition, InvalidArgument, NotFound, PermissionDenied,
        ResourceExhausted, Unauthenticated, Unavailable,
    };
    #[pymodule_export]
    use crate::records::{ActiveSampler, Dataset, Job, Sampler, Stats};
    #[pymodule_export]
    use crate::studies::{Studies, TrialLease};
    #[pymodule_export]
    use crate::study_records::{Study, Trial};
}
