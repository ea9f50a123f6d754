//! Sends datasets to other daemons.

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use swift_sampler_proto::v1;
use swift_sampler_proto::v1::replicas_server::Replicas;
use tokio::sync::mpsc::{self, Sender};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

use crate::daemon::Daemon;
use crate::error::{Error, off_runtime};
use crate::replicas::CHUNK_BYTES_MAX;
use crate::store::{FILES, Store, StoreError, io_error};

/// Chunks that wait for the connection.
const QUEUE_CHUNKS: usize = 2;
/// How long the other daemon may take over one chunk: others may be waiting for the place.
const CHUNK_WAIT_MAX: Duration = Duration::from_secs(60);

/// Serves `swiftsampler.v1.Replicas`.
#[derive(Debug)]
pub struct ReplicasService {
    daemon: Arc<Daemon>,
}

impl ReplicasService {
    pub(super) fn new(daemon: Arc<Daemon>) -> Self {
        Self { daemon }
    }
}

#[tonic::async_trait]
impl Replicas for ReplicasService {
    type FetchDatasetStream = ReceiverStream<Result<v1::FileChunk, Status>>;

    async fn fetch_dataset(
        &self,
        request: Request<v1::FetchDatasetRequest>,
    ) -> Result<Response<Self::FetchDatasetStream>, Status> {
        let hash = request.into_inner().hash;
        if !Store::is_hash(&hash) {
            return Err(Error::Invalid(format!("hash {hash:?}: it must be 64 hexadecimal digits")).into());
        }
        let full = || Error::Busy("as many datasets are being sent as this samplerd sends at once".to_owned());
        let permit = self.daemon.replicas.admit_send().ok_or_else(full)?;
        let (daemon, of) = (Arc::clone(&self.daemon), hash.clone());
        match off_runtime(move || daemon.loaded.check(&of)).await {
            Err(Error::Store(StoreError::Absent { .. })) => {
                return Err(Status::not_found(format!("dataset {hash} is not here")));
            }
            checked => checked?,
        }
        let (sender, receiver) = mpsc::channel(QUEUE_CHUNKS);
        let daemon = Arc::clone(&self.daemon);
        tokio::spawn(async move {
            let _permit = permit;
            let sent = tokio::select! {
                sent = send(&daemon, &hash, &sender) => sent,
                () = daemon.shutdown.cancelled() => Err(Error::ShuttingDown),
            };
            if let Err(error) = sent {
                // The other daemon may be gone already.
                sender.try_send(Err(error.into())).ok();
            }
        });
        Ok(Response::new(ReceiverStream::new(receiver)))
    }
}

/// Sends all files of a dataset, or as many as the other daemon takes.
async fn send(daemon: &Daemon, hash: &str, sender: &Sender<Result<v1::FileChunk, Status>>) -> Result<(), Error> {
    let place = daemon.loaded.store().place(hash);
    for name in FILES {
        let path = place.join(name);
        let mut open = off_runtime(move || OpenFile::open(&path)).await?;
        while open.offset < open.size {
            let (offset, size) = (open.offset, open.size);
            let data;
            (open, data) = off_runtime(move || open.read()).await?;
            daemon.metrics.sent_bytes.inc_by(data.len() as u64);
            let chunk = v1::FileChunk { file: name.to_owned(), offset, size, data };
            match tokio::time::timeout(CHUNK_WAIT_MAX, sender.send(Ok(chunk))).await {
                Ok(Ok(())) => {}
                // Nobody receives any more.
                Ok(Err(_closed)) => return Ok(()),
                Err(_elapsed) => {
                    let message = format!("no chunk was taken for {} s: fetch again", CHUNK_WAIT_MAX.as_secs());
                    return Err(Error::Stalled(message));
                }
            }
        }
    }
    Ok(())
}

/// A file and how far it was read.
struct OpenFile {
    file: File,
    path: std::path::PathBuf,
    offset: u64,
    size: u64,
}

impl OpenFile {
    fn open(path: &Path) -> Result<Self, StoreError> {
        let file = File::open(path).map_err(io_error(path))?;
        let size = file.metadata().map_err(io_error(path))?.len();
        Ok(Self { file, path: path.to_owned(), offset: 0, size })
    }

    fn read(mut self) -> Result<(Self, Bytes), StoreError> {
        let left = usize::try_from(self.size - self.offset).unwrap_or(usize::MAX);
        let mut data = vec![0; left.min(CHUNK_BYTES_MAX)];
        self.file.read_exact(&mut data).map_err(io_error(&self.path))?;
        self.offset += data.len() as u64;
        Ok((self, data.into()))
    }
}
