//! Fetching the columns of a dataset.

use std::fs::File;
use std::io::Write;
use std::path::Path;

use swift_sampler_proto::v1;
use tonic::{Response, Status};

use crate::client::{Limit, Repeat};
use crate::{Client, ClientError};

/// The file of a dataset that its columns are in.
const COLUMNS_FILE: &str = "columns.safetensors";

impl Client {
    /// Writes the columns of the dataset with this content to a safetensors file, as the daemon keeps them: a tensor of
    /// 64-bit or 32-bit floats a column.
    ///
    /// # Errors
    /// [`ClientError::NotFound`] when no replica holds the dataset, [`ClientError::File`] when the file cannot be written.
    pub async fn fetch_columns(&self, hash: &str, path: &Path) -> Result<(), ClientError> {
        let mut asked = 1;
        loop {
            let fetch = |call: &crate::replicas::Call| {
                let (service, hash) = (call.replicas(), hash.to_owned());
                async move { receive(service, hash, path).await.map(Response::new) }
            };
            let written = self.unary(Limit::None, Repeat::Safe, fetch).await;
            match written {
                // A replica that never needed the dataset has no copy of it; the next is asked.
                Err(ClientError::NotFound(_)) if asked < self.replica_count() => asked += 1,
                Ok(written) => {
                    return written.map_err(|reason| ClientError::File { path: path.to_owned(), reason });
                }
                Err(error) => return Err(error),
            }
        }
    }
}

async fn receive(
    mut service: v1::replicas_client::ReplicasClient<crate::replicas::Line>,
    hash: String,
    path: &Path,
) -> Result<std::io::Result<()>, Status> {
    let mut chunks = service.fetch_dataset(v1::FetchDatasetRequest { hash }).await?.into_inner();
    let mut file = match File::create(path) {
        Ok(file) => file,
        Err(error) => return Ok(Err(error)),
    };
    let (mut written, mut size) = (0, None);
    while let Some(chunk) = chunks.message().await? {
        if chunk.file != COLUMNS_FILE {
            continue;
        }
        if chunk.offset != written {
            return Err(Status::data_loss(format!(
                "byte {} of the columns came where {written} was due",
                chunk.offset
            )));
        }
        if let Err(error) = file.write_all(&chunk.data) {
            return Ok(Err(error));
        }
        written += chunk.data.len() as u64;
        size = Some(chunk.size);
        if written == chunk.size {
            // The cells that follow can be made from the columns.
            return Ok(Ok(()));
        }
    }
    Err(Status::data_loss(format!("{written} bytes of the columns came of {}", size.unwrap_or(0))))
}
