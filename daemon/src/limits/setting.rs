//! The limits that an operator may set.

use std::ops::RangeInclusive;

/// A limit that an operator may set by a flag, its environment variable, or the config file.
#[derive(Debug)]
pub struct Setting {
    /// Its name in the config file; the flag's has hyphens.
    pub name: &'static str,
    /// What it is unless told otherwise.
    pub default: u64,
    /// What it may be.
    pub range: RangeInclusive<u64>,
    /// What it limits, with the unit.
    pub of: &'static str,
    /// What happens beyond it.
    pub beyond: &'static str,
}

impl Setting {
    /// Returns its flag.
    #[must_use]
    pub fn flag(&self) -> String {
        format!("--{}", self.name.replace('_', "-"))
    }
}

/// Largest number of things counted by a semaphore.
const COUNT_MAX: u64 = 1 << 20;
/// Largest number of bytes held in memory at once.
const MEMORY_BYTES_MAX: u64 = 1 << 40;

/// A page of the kernel's for each, and its buffers: 8,192 idle ones take about 100 MiB.
pub(super) const CONNECTIONS_MAX: Setting = Setting {
    name: "connections_max",
    default: 8192,
    range: 1..=COUNT_MAX,
    of: "connections of gRPC, over TCP and the Unix socket; no more than descriptors allow, less 256",
    beyond: "the connection is closed at once (`swiftsampler_connections_closed_total{reason=\"full\"}`)",
};
/// One host's data loaders need a few hundred; behind a proxy all clients are one peer.
pub(super) const CONNECTIONS_A_PEER_MAX: Setting = Setting {
    name: "connections_a_peer_max",
    default: 2048,
    range: 1..=COUNT_MAX,
    of: "connections from one IPv4 address or one IPv6 /64; all of the Unix socket are one peer",
    beyond: "the connection is closed at once (`…{reason=\"peer_full\"}`)",
};
/// Streams, and some of everything else.
pub(super) const CALLS_MAX: Setting = Setting {
    name: "calls_max",
    default: 20_000,
    range: 1..=COUNT_MAX,
    of: "calls open at once, streams among them",
    beyond: "RESOURCE_EXHAUSTED, retry in 500 ms",
};
/// One for each rank and data loader worker, of a large site.
pub(super) const STREAMS_MAX: Setting = Setting {
    name: "streams_max",
    default: 16_384,
    range: 1..=COUNT_MAX,
    of: "streams of batches and of active samplers open at once",
    beyond: "RESOURCE_EXHAUSTED, retry in 500 ms",
};
/// 14,000 streams at batch 256, 900 at 4,096, or an unary answer of the most draws.
pub(super) const ANSWER_BYTES_MAX: Setting = Setting {
    name: "answer_bytes_max",
    default: 128 << 20,
    range: 1 << 20..=MEMORY_BYTES_MAX,
    of: "bytes of batches on their way: one batch of each stream, four times, and all of each unary answer",
    beyond: "RESOURCE_EXHAUSTED, retry in 500 ms; one that alone is larger waits for the others to end in the same way",
};
/// Imports that send at once have a chunk or two each here.
pub(super) const REQUEST_BYTES_MAX: Setting = Setting {
    name: "request_bytes_max",
    default: 64 << 20,
    range: 8 << 20..=MEMORY_BYTES_MAX,
    of: "bytes of requests being received, up to 4 MiB of each; its first 4 KiB are not counted",
    beyond: "RESOURCE_EXHAUSTED, retry in 500 ms",
};
/// A dataset may have to be fetched, and its sampler built, before a call is answered.
pub(super) const REQUEST_TIMEOUT: Setting = Setting {
    name: "request_timeout",
    default: 120,
    range: 1..=24 * 3600,
    of: "seconds until a call is answered, or begins to be; uploads are held to their chunks instead",
    beyond: "DEADLINE_EXCEEDED; a shorter `grpc-timeout` of the client's counts",
};
/// Those of the epochs that the jobs of now are in. Made again where they are not held.
pub(super) const PLANS_BYTES_MAX: Setting = Setting {
    name: "plans_bytes_max",
    default: 512 << 20,
    range: 0..=MEMORY_BYTES_MAX,
    of: "bytes of the plans of epochs without repeats that are kept, beside those in use",
    beyond: "those used longest ago are let go of, and made again when they are asked for",
};
pub(super) const IMPORT_BYTES_MAX: Setting = Setting {
    name: "import_bytes_max",
    default: 64 << 30,
    range: 1..=u64::MAX,
    of: "bytes of the files of one import or refresh, and of the columns of an import, at 8 a value",
    beyond: "RESOURCE_EXHAUSTED",
};
pub(super) const ROWS_MAX: Setting = Setting {
    name: "rows_max",
    default: 1 << 30,
    range: 1..=u64::MAX,
    of: "rows of one dataset; 2^32 - 1 at most",
    beyond: "RESOURCE_EXHAUSTED",
};
/// The program itself takes about 40 MiB; a large import a few blocks a thread beside.
pub(super) const PARSE_MEMORY_BYTES_MAX: Setting = Setting {
    name: "parse_memory_bytes_max",
    default: 4 << 30,
    range: 64 << 20..=MEMORY_BYTES_MAX,
    of: "bytes of address space of the process that parses the files of an upload",
    beyond: "RESOURCE_EXHAUSTED",
};
/// 10^9 rows take a few minutes.
pub(super) const PARSE_TIMEOUT: Setting = Setting {
    name: "parse_timeout",
    default: 3600,
    range: 1..=30 * 24 * 3600,
    of: "seconds in which the files of an upload are parsed",
    beyond: "RESOURCE_EXHAUSTED",
};
pub(super) const DATASETS_MAX: Setting = Setting {
    name: "datasets_max",
    default: 1024,
    range: 1..=COUNT_MAX,
    of: "datasets of the registry",
    beyond: "RESOURCE_EXHAUSTED: remove one",
};
/// Candidates of ended studies are collected.
pub(super) const SAMPLERS_A_DATASET_MAX: Setting = Setting {
    name: "samplers_a_dataset_max",
    default: 16_384,
    range: 2..=COUNT_MAX,
    of: "sampler versions of one dataset, candidates of running studies among them",
    beyond: "RESOURCE_EXHAUSTED",
};
/// Their list is one answer: about 10 MiB of it.
pub(super) const JOBS_MAX: Setting = Setting {
    name: "jobs_max",
    default: 16_384,
    range: 1..=COUNT_MAX,
    of: "jobs of the registry",
    beyond: "RESOURCE_EXHAUSTED: remove some (`samplerctl job remove`)",
};
pub(super) const STUDIES_MAX: Setting = Setting {
    name: "studies_max",
    default: 4096,
    range: 1..=COUNT_MAX,
    of: "studies of the registry",
    beyond: "RESOURCE_EXHAUSTED: remove one",
};

/// All of them.
pub const SETTINGS: [&Setting; 16] = [
    &CONNECTIONS_MAX,
    &CONNECTIONS_A_PEER_MAX,
    &CALLS_MAX,
    &STREAMS_MAX,
    &ANSWER_BYTES_MAX,
    &REQUEST_BYTES_MAX,
    &REQUEST_TIMEOUT,
    &PLANS_BYTES_MAX,
    &IMPORT_BYTES_MAX,
    &ROWS_MAX,
    &PARSE_MEMORY_BYTES_MAX,
    &PARSE_TIMEOUT,
    &DATASETS_MAX,
    &SAMPLERS_A_DATASET_MAX,
    &JOBS_MAX,
    &STUDIES_MAX,
];
