//! What a daemon may be asked to do at once, and how much it keeps.

mod fixed;
pub mod page;
mod setting;

use std::time::Duration;

use fixed::Fixed;
pub use setting::{SETTINGS, Setting};

use crate::registry::RecordLimits;

/// The limits that an operator may set; the others are constants where they apply. `docs/limits.md` lists all.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Connections open at once, of gRPC.
    pub connections_max: usize,
    /// Those of them from one address.
    pub connections_a_peer_max: usize,
    /// Calls open at once, streams among them.
    pub calls_max: usize,
    /// Streams open at once.
    pub streams_max: usize,
    /// Bytes of answers on their way, each stream's smallest messages among them.
    pub answer_bytes_max: u64,
    /// Bytes of requests that are being received.
    pub request_bytes_max: u64,
    /// How long a call may take to answer, or to begin to.
    pub request_timeout: Duration,
    /// Bytes of the plans of epochs without repeats that are kept.
    pub plans_bytes_max: usize,
    /// Bytes of one import.
    pub import_bytes_max: u64,
    /// Rows of one dataset.
    pub rows_max: usize,
    /// Memory that parsing an upload may take, in bytes of address space.
    pub parse_memory_bytes_max: u64,
    /// How long parsing an upload may take.
    pub parse_timeout: Duration,
    /// What the registry keeps.
    pub records: RecordLimits,
}

impl Limits {
    /// Makes limits of what each setting is to be, in the order of [`SETTINGS`].
    ///
    /// # Errors
    /// What `value` says of a setting.
    pub fn from_settings<E>(mut value: impl FnMut(&'static Setting) -> Result<u64, E>) -> Result<Self, E> {
        let count = |value: u64| usize::try_from(value).unwrap_or(usize::MAX);
        Ok(Self {
            connections_max: count(value(&setting::CONNECTIONS_MAX)?),
            connections_a_peer_max: count(value(&setting::CONNECTIONS_A_PEER_MAX)?),
            calls_max: count(value(&setting::CALLS_MAX)?),
            streams_max: count(value(&setting::STREAMS_MAX)?),
            answer_bytes_max: value(&setting::ANSWER_BYTES_MAX)?,
            request_bytes_max: value(&setting::REQUEST_BYTES_MAX)?,
            request_timeout: Duration::from_secs(value(&setting::REQUEST_TIMEOUT)?),
            plans_bytes_max: count(value(&setting::PLANS_BYTES_MAX)?),
            import_bytes_max: value(&setting::IMPORT_BYTES_MAX)?,
            rows_max: count(value(&setting::ROWS_MAX)?),
            parse_memory_bytes_max: value(&setting::PARSE_MEMORY_BYTES_MAX)?,
            parse_timeout: Duration::from_secs(value(&setting::PARSE_TIMEOUT)?),
            records: RecordLimits {
                datasets_max: count(value(&setting::DATASETS_MAX)?),
                samplers_a_dataset_max: count(value(&setting::SAMPLERS_A_DATASET_MAX)?),
                jobs_max: count(value(&setting::JOBS_MAX)?),
                studies_max: count(value(&setting::STUDIES_MAX)?),
            },
        })
    }
}

impl Default for Limits {
    fn default() -> Self {
        let Ok(limits) = Self::from_settings(|setting| Ok::<_, std::convert::Infallible>(setting.default));
        limits
    }
}
