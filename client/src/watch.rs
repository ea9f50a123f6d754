//! Watching which sampler is active.

use swift_sampler_proto::v1::{ActiveSampler, WatchActiveSamplerRequest};
use tonic::Streaming;

use crate::retry::{Attempts, Lost};
use crate::{Client, ClientError};

/// A dataset's active sampler: the present one, then every change. Reconnects by itself.
#[derive(Debug)]
pub struct ActiveSamplerWatch {
    client: Client,
    dataset: String,
    changes: Option<Streaming<ActiveSampler>>,
    generation: Option<u64>,
    attempts: Attempts,
}

impl ActiveSamplerWatch {
    pub(crate) fn new(client: Client, dataset: &str) -> Self {
        Self { client, dataset: dataset.into(), changes: None, generation: None, attempts: Attempts::new() }
    }

    /// Waits for the next change; the first call returns the present sampler. Dropping the future loses nothing.
    ///
    /// # Errors
    /// [`ClientError::NotFound`] without the dataset, [`ClientError::Unavailable`] when the daemon could not be reached
    /// until the retry deadline.
    pub async fn next(&mut self) -> Result<ActiveSampler, ClientError> {
        loop {
            let change = match &mut self.changes {
                Some(changes) => changes.message().await,
                None => {
                    let request = WatchActiveSamplerRequest { dataset: self.dataset.clone() };
                    match self.client.control().watch_active_sampler(request).await {
                        Ok(response) => {
                            self.changes = Some(response.into_inner());
                            continue;
                        }
                        Err(status) => Err(status),
                    }
                }
            };
            match change {
                Ok(Some(active)) => {
                    self.client.note_reached();
                    self.attempts = Attempts::new();
                    // After a reconnection the daemon sends the present sampler, which may be known already.
                    if self.generation.is_none_or(|known| active.generation > known) {
                        self.generation = Some(active.generation);
                        return Ok(active);
                    }
                }
                Ok(None) => self.lost(Lost { reason: "the watch was ended".into(), unsent: false }).await?,
                Err(status) => match Lost::from_status(&status) {
                    Some(lost) => self.lost(lost).await?,
                    None => return Err(ClientError::from_status(&status)),
                },
            }
        }
    }

    async fn lost(&mut self, lost: Lost) -> Result<(), ClientError> {
        self.changes = None;
        self.client.retry(&mut self.attempts, lost).await
    }
}
