//! Receives users' files.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::time::Duration;

use swift_sampler_files::{Format, SourceFile};
use swift_sampler_proto::v1;
use swift_sampler_proto::v1::{import_dataset_request, refresh_features_request};
use tonic::{Status, Streaming};

use crate::access::Tenant;
use crate::daemon::Daemon;
use crate::error::{Error, off_runtime};
use crate::store::StoreError;

/// Largest chunk, in bytes.
pub(crate) const CHUNK_BYTES_MAX: usize = 1 << 20;
/// How long an upload waits for its next chunk: others may be waiting for it to end.
pub(crate) const CHUNK_WAIT_MAX: Duration = Duration::from_secs(60);
/// Most files of one upload.
pub(crate) const FILES_MAX: usize = 4096;

/// A message of a call that brings files: a header, then chunks.
pub(super) trait UploadRequest {
    /// Returns the chunk, if it is one.
    fn into_chunk(self) -> Option<v1::ImportChunk>;
}

impl UploadRequest for v1::ImportDatasetRequest {
    fn into_chunk(self) -> Option<v1::ImportChunk> {
        match self.part? {
            import_dataset_request::Part::Chunk(chunk) => Some(chunk),
            import_dataset_request::Part::Header(_) => None,
        }
    }
}

impl UploadRequest for v1::RefreshFeaturesRequest {
    fn into_chunk(self) -> Option<v1::ImportChunk> {
        match self.part? {
            refresh_features_request::Part::Chunk(chunk) => Some(chunk),
            refresh_features_request::Part::Header(_) => None,
        }
    }
}

/// Names the files that are to be received, in a directory of their own.
pub(super) fn source_files(files: &[v1::ImportFile], directory: &Path) -> Result<Vec<SourceFile>, Error> {
    if files.len() > FILES_MAX {
        return Err(Error::Invalid(format!("{} files: one upload takes at most {FILES_MAX}", files.len())));
    }
    let source_file = |(position, file): (usize, &v1::ImportFile)| {
        let format = match v1::FileFormat::try_from(file.format) {
            Ok(v1::FileFormat::Unspecified) => Format::of_file_name(&file.name)?,
            Ok(v1::FileFormat::Parquet) => Format::Parquet,
            Ok(v1::FileFormat::Safetensors) => Format::Safetensors,
            Ok(v1::FileFormat::Npz) => Format::Npz,
            Ok(v1::FileFormat::Csv) => Format::Csv,
            Err(_) => return Err(Error::Invalid(format!("format {} of file {:?} is none", file.format, file.name))),
        };
        Ok(SourceFile { name: file.name.clone(), path: directory.join(position.to_string()), format })
    };
    files.iter().enumerate().map(source_file).collect()
}

/// Writes the chunks to their files, of which none stays open.
pub(super) async fn receive<R: UploadRequest>(
    daemon: &Daemon,
    tenant: Option<&Tenant>,
    parts: &mut Streaming<R>,
    files: &[SourceFile],
) -> Result<(), Status> {
    let quota = tenant.and_then(|tenant| tenant.quotas.import_bytes_max);
    let bytes_max = quota.unwrap_or(u64::MAX).min(daemon.limits.import_bytes_max);
    let mut bytes_left = bytes_max;
    let mut last = 0;
    loop {
        let part = tokio::select! {
            part = tokio::time::timeout(CHUNK_WAIT_MAX, parts.message()) => part.map_err(|_elapsed| {
                Error::Invalid(format!("no chunk came for {} s: send all of it again", CHUNK_WAIT_MAX.as_secs()))
            })??,
            () = daemon.shutdown.cancelled() => return Err(Error::ShuttingDown.into()),
        };
        let Some(request) = part else { break };
        let Some(chunk) = request.into_chunk() else {
            return Err(Error::Invalid("after the header of an upload only chunks may follow".into()).into());
        };
        let (position, size) = (chunk.file as usize, chunk.data.len());
        if position < last || position >= files.len() || size > CHUNK_BYTES_MAX {
            return Err(Error::Invalid(format!(
                "chunk of {size} bytes for file {position} after file {last} of {}: files follow in order, chunks have \
                 at most {CHUNK_BYTES_MAX} bytes",
                files.len()
            ))
            .into());
        }
        last = position;
        bytes_left = bytes_left.checked_sub(size as u64).ok_or_else(|| {
            let whose = if bytes_max < daemon.limits.import_bytes_max { ", its tenant's quota" } else { "" };
            Error::Exhausted(format!("the files have more than {bytes_max} bytes{whose}"))
        })?;
        let path = files[position].path.clone();
        off_runtime(move || append(&path, &chunk.data)).await?;
    }
    // Files that no chunk came for are there as well, and empty.
    let paths: Vec<_> = files.iter().map(|file| file.path.clone()).collect();
    Ok(off_runtime(move || paths.iter().try_for_each(|path| append(path, &[]))).await?)
}

/// Blocks.
fn append(path: &Path, data: &[u8]) -> Result<(), Error> {
    let file = File::options().create(true).append(true).open(path);
    file.and_then(|mut file| file.write_all(data))
        .map_err(|source| StoreError::Io { path: path.display().to_string(), source }.into())
}
