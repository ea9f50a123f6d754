//! Whole numbers that Python passes: one that is out of range is told by name.

use pyo3::exceptions::PyOverflowError;
use pyo3::prelude::*;

use crate::exceptions::InvalidArgument;

/// Declares arguments that are whole numbers, each a type that knows what the argument is called and how far it goes.
macro_rules! whole_numbers {
    ($($(#[$doc:meta])* $name:ident: $integer:ty, $argument:literal, from $least:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy)]
        pub(crate) struct $name(pub(crate) $integer);

        impl<'py> FromPyObject<'_, 'py> for $name {
            type Error = PyErr;

            fn extract(value: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
                let out_of_range = || {
                    let (given, most) = (value.to_owned(), <$integer>::MAX);
                    InvalidArgument::new_err(format!("{} {given}: a whole number from {} to {most}", $argument, $least))
                };
                match value.extract::<$integer>() {
                    Ok(number) if ($least..=<$integer>::MAX).contains(&number) => Ok(Self(number)),
                    Ok(_too_small) => Err(out_of_range()),
                    Err(error) if error.is_instance_of::<PyOverflowError>(value.py()) => Err(out_of_range()),
                    Err(error) => Err(error),
                }
            }
        }
    )*};
}

whole_numbers! {
    /// Seed of every draw of a job.
    Seed: u64, "seed", from 0;
    /// Draws of a batch, over all ranks.
    BatchSize: u32, "batch_size", from 1;
    /// Draws of an epoch, over all ranks.
    EpochDraws: u64, "epoch_draws", from 1;
    /// A sampler version.
    Version: u64, "version", from 0;
    /// The sampler version that a job is pinned to.
    FollowedVersion: u64, "follow", from 0;
    /// A global step.
    Step: u64, "step", from 0;
    /// First step of a range.
    FromStep: u64, "from_step", from 0;
    /// Step that a range stops before.
    ToStep: u64, "to_step", from 0;
    /// Index of a dataset's first row.
    FirstRow: u64, "first_row", from 0;
    /// How many steps.
    Steps: u32, "steps", from 1;
    /// Crops that are kept of those proposed.
    Keep: u32, "keep", from 1;
    /// Which share of each global batch.
    Rank: u32, "rank", from 0;
    /// Into how many shares each global batch is divided.
    WorldSize: u32, "world_size", from 1;
    /// A trial's number.
    TrialNumber: u64, "number", from 0;
    /// An attempt at a trial.
    Attempt: u32, "attempt", from 0;
    /// Attempts that a study gives a trial; 0: as many as the daemon does unless told.
    Attempts: u32, "attempts_max", from 0;
    /// An epoch.
    Epoch: u64, "epoch", from 0;
}
