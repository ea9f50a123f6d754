//! Sending files, or columns in memory, to the daemon.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use swift_sampler_proto::v1;
use swift_sampler_proto::v1::{import_dataset_request, refresh_features_request};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Response, Status};

use crate::ClientError;

/// Bytes of a file sent in one message.
const CHUNK_BYTES: usize = 1 << 20;
/// Chunks read ahead of what is sent.
const CHUNKS_AHEAD_MAX: usize = 4;

/// What is sent as one file.
#[derive(Debug, Clone)]
pub(crate) enum Source {
    /// A file of this machine.
    File(PathBuf),
    /// A file's content.
    Memory(Bytes),
}

/// A message of a call that brings files: a header, then chunks.
pub(crate) trait UploadRequest: Send + 'static {
    /// Wraps a chunk.
    fn of_chunk(chunk: v1::ImportChunk) -> Self;
}

impl UploadRequest for v1::ImportDatasetRequest {
    fn of_chunk(chunk: v1::ImportChunk) -> Self {
        Self { part: Some(import_dataset_request::Part::Chunk(chunk)) }
    }
}

impl UploadRequest for v1::RefreshFeaturesRequest {
    fn of_chunk(chunk: v1::ImportChunk) -> Self {
        Self { part: Some(refresh_features_request::Part::Chunk(chunk)) }
    }
}

/// Sends a header and then the sources while `answer` waits for what the daemon says; `sent` is told the bytes sent so far.
pub(crate) async fn upload<R: UploadRequest, A>(
    sources: Vec<Source>,
    header: R,
    sent: impl Fn(u64) + Send + 'static,
    answer: impl AsyncFnOnce(ReceiverStream<R>) -> Result<A, Status>,
) -> Result<Response<Result<A, ClientError>>, Status> {
    let (parts, receiver) = mpsc::channel(CHUNKS_AHEAD_MAX);
    let mut reader = tokio::task::spawn_blocking(move || {
        let read = send_sources(&parts, header, &sources, &sent);
        // Kept open after a failure: a stream that ends reads as complete files.
        (read, parts)
    });
    let answer = answer(ReceiverStream::new(receiver));
    tokio::pin!(answer);
    tokio::select! {
        biased;
        answer = &mut answer => answer.map(|answer| Response::new(Ok(answer))),
        read = &mut reader => match read {
            Ok((Ok(()), parts)) => {
                drop(parts);
                answer.await.map(|answer| Response::new(Ok(answer)))
            }
            Ok((Err(error), _open)) => Ok(Response::new(Err(error))),
            Err(stopped) => Err(Status::internal(stopped.to_string())),
        },
    }
}

/// Returns what the daemon is told of a file.
pub(crate) fn described(path: &Path, format: v1::FileFormat) -> v1::ImportFile {
    let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
    v1::ImportFile { name, format: format.into() }
}

/// Returns how many bytes there are to send.
pub(crate) fn total_bytes(sources: &[Source]) -> Result<u64, ClientError> {
    let bytes = |source: &Source| match source {
        Source::Memory(data) => Ok(data.len() as u64),
        Source::File(path) => File::open(path)
            .and_then(|file| file.metadata())
            .map(|metadata| metadata.len())
            .map_err(|error| in_file(path, error)),
    };
    sources.iter().map(bytes).sum()
}

fn in_file(path: &Path, reason: std::io::Error) -> ClientError {
    ClientError::File { path: path.to_owned(), reason }
}

/// Reads the sources into a queue, until its reader has gone.
fn send_sources<R: UploadRequest>(
    parts: &mpsc::Sender<R>,
    header: R,
    sources: &[Source],
    sent: &dyn Fn(u64),
) -> Result<(), ClientError> {
    let send = |part| parts.blocking_send(part).is_ok();
    if !send(header) {
        return Ok(());
    }
    let mut done = 0;
    for (file, source) in (0u32..).zip(sources) {
        let mut chunks = Chunks::of(source)?;
        while let Some(data) = chunks.next()? {
            done += data.len() as u64;
            if !send(R::of_chunk(v1::ImportChunk { file, data })) {
                return Ok(());
            }
            sent(done);
        }
    }
    Ok(())
}

/// A source, a chunk at a time.
enum Chunks<'a> {
    File(&'a Path, File),
    Memory(Bytes),
}

impl<'a> Chunks<'a> {
    fn of(source: &'a Source) -> Result<Self, ClientError> {
        match source {
            Source::File(path) => Ok(Self::File(path, File::open(path).map_err(|error| in_file(path, error))?)),
            Source::Memory(data) => Ok(Self::Memory(data.clone())),
        }
    }

    fn next(&mut self) -> Result<Option<Bytes>, ClientError> {
        let data = match self {
            Self::File(path, file) => {
                let mut data = Vec::with_capacity(CHUNK_BYTES);
                let limit = CHUNK_BYTES as u64;
                file.take(limit).read_to_end(&mut data).map_err(|error| in_file(path, error))?;
                Bytes::from(data)
            }
            Self::Memory(data) => data.split_to(data.len().min(CHUNK_BYTES)),
        };
        Ok((!data.is_empty()).then_some(data))
    }
}
