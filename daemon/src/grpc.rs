//! The gRPC services: requests are checked and converted here; the rules stand in `registry`, the draws in `batches`.

mod admission;
mod contents;
mod control;
mod convert;
pub(crate) mod crops;
mod import;
mod refresh;
mod replicas;
pub(crate) mod sampling;
mod status;
pub(crate) mod stream;
mod studies;
pub(crate) mod upload;
mod watch;

use std::sync::Arc;

use swift_sampler_proto::v1::control_server::ControlServer;
use swift_sampler_proto::v1::replicas_server::ReplicasServer;
use swift_sampler_proto::v1::sampling_server::SamplingServer;
use swift_sampler_proto::v1::studies_server::StudiesServer;

use crate::daemon::Daemon;

pub(crate) use admission::limited;
pub use control::ControlService;
pub use replicas::ReplicasService;
pub use sampling::SamplingService;
pub use studies::StudiesService;

/// Largest request accepted, in bytes: a chunk of an import with some room.
pub(crate) const REQUEST_BYTES_MAX: usize = 4 << 20;
/// Largest answer sent, in bytes: clients take no larger one.
pub(crate) const ANSWER_BYTES_MAX: usize = (128 << 20) + (64 << 10);

/// Returns the service of batches.
#[must_use]
pub fn sampling(daemon: &Arc<Daemon>) -> SamplingServer<SamplingService> {
    SamplingServer::new(SamplingService::new(Arc::clone(daemon)))
        .max_decoding_message_size(REQUEST_BYTES_MAX)
        .max_encoding_message_size(ANSWER_BYTES_MAX)
}

/// Returns the service of datasets, samplers and jobs.
#[must_use]
pub fn control(daemon: &Arc<Daemon>) -> ControlServer<ControlService> {
    ControlServer::new(ControlService::new(Arc::clone(daemon)))
        .max_decoding_message_size(REQUEST_BYTES_MAX)
        .max_encoding_message_size(ANSWER_BYTES_MAX)
}

/// Returns the service of studies and trials.
#[must_use]
pub fn studies(daemon: &Arc<Daemon>) -> StudiesServer<StudiesService> {
    StudiesServer::new(StudiesService::new(Arc::clone(daemon)))
        .max_decoding_message_size(REQUEST_BYTES_MAX)
        .max_encoding_message_size(ANSWER_BYTES_MAX)
}

/// Returns the service of copies for other daemons.
#[must_use]
pub fn replicas(daemon: &Arc<Daemon>) -> ReplicasServer<ReplicasService> {
    ReplicasServer::new(ReplicasService::new(Arc::clone(daemon)))
        .max_decoding_message_size(REQUEST_BYTES_MAX)
        .max_encoding_message_size(ANSWER_BYTES_MAX)
}
