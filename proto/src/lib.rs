//! The gRPC protocol of Swift Sampler, package `swiftsampler.v1`.
//!
//! [`v1`] holds the generated messages, clients and servers; the contracts stand as comments in
//! `proto/swiftsampler/v1/*.proto`. [`columns`] packs and unpacks the byte columns of a batch block;
//! [`unix_path`] says which paths a daemon's Unix socket can have.

pub mod columns;
pub mod unix_path;

/// The generated messages and services of `swiftsampler.v1`.
#[allow(missing_docs, unreachable_pub, reason = "documented in the .proto files, whose comments prost carries over")]
#[allow(clippy::all, clippy::pedantic, clippy::restriction, reason = "generated")]
pub mod v1 {
    tonic::include_proto!("swiftsampler.v1");

    /// The encoded file descriptors, for gRPC reflection.
    pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptor.bin"));
}
