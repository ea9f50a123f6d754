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
    known: Option<ActiveSampler>,
    /// Since the last loss; a watch may be quiet for longer than a daemon is tried.
    attempts: Option<Attempts>,
}

impl ActiveSamplerWatch {
    pub(crate) fn new(client: Client, dataset: &str) -> Self {
        Self { client, dataset: dataset.into(), changes: None, known: None, attempts: None }
    }

    /// Waits for the next change; the first call returns the present sampler. Dropping the future loses nothing.
    ///
    /// After an error the next call asks anew, so that a dataset may be waited for again once it was removed.
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
                    self.attempts = None;
                    // After a reconnection the daemon sends the present sampler, which may be known already. Whether it
                    // is newer does not matter: a dataset that was removed and imported anew may count from the start.
                    if self.known.as_ref() != Some(&active) {
                        self.known = Some(active.clone());
                        return Ok(active);
                    }
                }
                Ok(None) => self.lost(Lost { reason: "the watch was ended".into(), unsent: false }).await?,
                Err(status) => match Lost::from_status(&status) {
                    Some(lost) => self.lost(lost).await?,
                    None => {
                        self.changes = None;
                        return Err(ClientError::from_status(&status));
                    }
                },
            }
        }
    }

    async fn lost(&mut self, lost: Lost) -> Result<(), ClientError> {
        self.changes = None;
        let retried = self.client.retry(self.attempts.get_or_insert_with(Attempts::new), lost).await;
        if retried.is_err() {
            self.attempts = None;
        }
        retried
    }
}
