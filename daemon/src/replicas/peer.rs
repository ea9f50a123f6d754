//! Fetching from another daemon.

mod access;

pub use access::PeerAccess;

use std::path::Path;
use std::time::Duration;

use swift_sampler_proto::v1;
use swift_sampler_proto::v1::replicas_client::ReplicasClient;
use tonic::transport::Endpoint;
use tonic::{Code, Request, Status};

use super::receiving::{CHUNK_BYTES_MAX, Receiving, SourceError};

/// How long a connection may take to be made.
const CONNECT_MAX: Duration = Duration::from_secs(3);
/// How long a chunk may take to come; the first comes once the other daemon has checked its copy.
const CHUNK_WAIT_MAX: Duration = Duration::from_secs(30);
/// What a peer may send ahead, in bytes.
const RECEIVE_WINDOW_BYTES: u32 = 4 << 20;
/// Room for what a message holds beside its bytes.
const MESSAGE_BYTES_MAX: usize = CHUNK_BYTES_MAX + (4 << 10);

/// Receives a dataset's files from the daemon at an address into a directory, and returns their bytes.
pub(super) async fn fetch(access: &PeerAccess, address: &str, hash: &str, into: &Path) -> Result<u64, SourceError> {
    let broken = |error: &dyn std::error::Error| SourceError::Broken(deepest(error));
    let address = if address.contains("://") { address.to_owned() } else { format!("http://{address}") };
    let endpoint = Endpoint::from_shared(address).map_err(|error| broken(&error))?;
    let (access, origin) = (access.clone(), endpoint.uri().clone());
    let read = tokio::task::spawn_blocking(move || Ok((access.connector(&origin)?, access.authorization()?)));
    let (connector, authorization) = read.await.map_err(|error| broken(&error))?.map_err(SourceError::Broken)?;
    if authorization.is_some() && !connector.is_private() {
        let reason = "its address has no TLS, so others could read the token that it is to be shown";
        return Err(SourceError::Broken(reason.to_owned()));
    }
    let endpoint =
        endpoint.initial_stream_window_size(RECEIVE_WINDOW_BYTES).initial_connection_window_size(RECEIVE_WINDOW_BYTES);
    let channel = in_time(endpoint.connect_with_connector(connector)).await?.map_err(|error| broken(&error))?;
    let mut peer = ReplicasClient::new(channel).max_decoding_message_size(MESSAGE_BYTES_MAX);
    let mut request = Request::new(v1::FetchDatasetRequest { hash: hash.to_owned() });
    if let Some(authorization) = authorization {
        request.metadata_mut().insert("authorization", authorization);
    }
    let mut chunks = in_time(peer.fetch_dataset(request)).await?.map_err(|status| refused(&status))?.into_inner();
    let mut receiving = Receiving::new(into.to_owned(), hash);
    while let Some(chunk) = in_time(chunks.message()).await?.map_err(|status| refused(&status))? {
        let v1::FileChunk { file, offset, size, data } = chunk;
        let written = tokio::task::spawn_blocking(move || {
            receiving.write(&file, offset, size, &data)?;
            Ok(receiving)
        });
        receiving = written.await.map_err(|error| broken(&error))??;
    }
    receiving.finish()
}

async fn in_time<T>(answer: impl Future<Output = T>) -> Result<T, SourceError> {
    let elapsed = |_| SourceError::Broken(format!("nothing came for {} s", CHUNK_WAIT_MAX.as_secs()));
    tokio::time::timeout(CHUNK_WAIT_MAX, answer).await.map_err(elapsed)
}

fn refused(status: &Status) -> SourceError {
    match status.code() {
        Code::NotFound => SourceError::Absent,
        Code::DataLoss => SourceError::Damaged(status.message().to_owned()),
        // A daemon of an earlier version.
        Code::Unimplemented => SourceError::Absent,
        _ => SourceError::Broken(deepest(status)),
    }
}

/// Returns the cause at the end of an error's chain, which names what the others only wrap.
fn deepest(error: &dyn std::error::Error) -> String {
    let last = std::iter::successors(Some(error), |error| error.source()).last().unwrap_or(error);
    last.to_string()
}
