//! Watching which sampler is active.

use swift_sampler_proto::v1::{ActiveSampler, WatchActiveSamplerRequest};
use tonic::{Status, Streaming};

use crate::replicas::Call;
use crate::retry::{Attempts, Lost};
use crate::{Client, ClientError};

/// A dataset's active sampler: the present one, then every change. Reconnects by itself.
#[derive(Debug)]
pub struct ActiveSamplerWatch {
    client: Client,
    dataset: String,
    /// One call, which stays with its replica until it fails.
    changes: Option<(Call, Streaming<ActiveSampler>)>,
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
            let Some((call, changes)) = &mut self.changes else {
                self.ask().await?;
                continue;
            };
            match changes.message().await {
                Ok(Some(active)) => {
                    self.client.note_answer(call);
                    self.attempts = None;
                    // After a reconnection the daemon sends the present sampler, which may be known already. Whether it
                    // is newer does not matter: a dataset that was removed and imported anew may count from the start.
                    if self.known.as_ref() != Some(&active) {
                        self.known = Some(active.clone());
                        return Ok(active);
                    }
                }
                Ok(None) => self.lost(Lost::ended("the watch was ended")).await?,
                Err(status) => {
                    let lost = self.client.lost(call, &status);
                    self.retry(lost, &status).await?;
                }
            }
        }
    }

    /// Asks for the changes, once.
    async fn ask(&mut self) -> Result<(), ClientError> {
        let call = match self.client.call().await {
            Ok(call) => call,
            Err(lost) => return self.lost(lost).await,
        };
        let request = WatchActiveSamplerRequest { dataset: self.dataset.clone() };
        let timeout = self.client.timeout(self.attempts.as_ref().unwrap_or(&Attempts::new()));
        match tokio::time::timeout(timeout, call.control().watch_active_sampler(request)).await {
            Ok(Ok(response)) => {
                self.changes = Some((call, response.into_inner()));
                Ok(())
            }
            Ok(Err(status)) => {
                let lost = self.client.lost(&call, &status);
                self.retry(lost, &status).await
            }
            Err(_elapsed) => {
                let lost = Lost::timed_out(timeout);
                call.failed(&lost);
                self.lost(lost).await
            }
        }
    }

    async fn retry(&mut self, lost: Option<Lost>, status: &Status) -> Result<(), ClientError> {
        match lost {
            Some(lost) => self.lost(lost).await,
            None => {
                self.changes = None;
                self.attempts = None;
                Err(ClientError::from_status(status))
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
