//! The client: calls that are tried again, on one replica or the next.

mod control;
mod sampling;
mod studies;

pub use sampling::JobConfig;

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tonic::Status;

use crate::replicas::{Call, Replicas, Resolve, SystemResolver};
use crate::retry::{Attempts, Lost};
use crate::{ClientConfig, ClientError};

/// A client of the daemon. Cheap to clone; clones share connections.
///
/// Creating one only reads the files of TLS and of a token, if it has any; every method must be called on a tokio runtime. Calls that fail because the daemon cannot
/// be reached are tried again, on the next replica at once and then with jittered exponential back-off, until
/// [`ClientConfig::retry_deadline`].
#[derive(Debug, Clone)]
pub struct Client {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    config: ClientConfig,
    replicas: Arc<Replicas>,
    /// Whether the daemon has ever answered.
    reached: AtomicBool,
}

/// Whether a call whose answer was lost may be sent once more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Repeat {
    /// Doing it twice is doing it once.
    Safe,
    /// Only where the daemon cannot have seen the first.
    Unsent,
}

/// How long an attempt may take.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Limit {
    /// As the configuration says.
    Request,
    /// As long as the connection lives.
    None,
}

impl Client {
    /// Takes where the daemon is; connects when first used.
    ///
    /// # Errors
    /// [`ClientError::Address`] when an address cannot be one, [`ClientError::Access`] and [`ClientError::File`] when TLS or
    /// the token cannot be used.
    pub fn new(config: impl Into<ClientConfig>) -> Result<Self, ClientError> {
        Self::with_resolver(config, Arc::new(SystemResolver))
    }

    /// As [`Self::new`], finding the addresses of names in another way than the operating system's.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn with_resolver(config: impl Into<ClientConfig>, resolver: Arc<dyn Resolve>) -> Result<Self, ClientError> {
        let config = config.into();
        let replicas = Arc::new(Replicas::new(&config, resolver)?);
        Ok(Self { shared: Arc::new(Shared { config, replicas, reached: AtomicBool::new(false) }) })
    }

    /// Returns where the daemon is.
    #[must_use]
    pub fn config(&self) -> &ClientConfig {
        &self.shared.config
    }

    /// Returns how many replicas are known.
    pub(crate) fn replica_count(&self) -> usize {
        self.shared.replicas.count()
    }

    /// Starts a call to the next replica.
    pub(crate) async fn call(&self) -> Result<Call, Lost> {
        self.shared.replicas.call().await
    }

    /// Notes that the daemon answered.
    pub(crate) fn note_answer(&self, call: &Call) {
        self.shared.reached.store(true, Ordering::Relaxed);
        call.answered();
    }

    /// Reads an answer that is a failure: whether another attempt may mend it.
    pub(crate) fn lost(&self, call: &Call, status: &Status) -> Option<Lost> {
        let lost = Lost::from_status(status);
        match &lost {
            Some(lost) => call.failed(lost),
            None => self.note_answer(call),
        }
        lost
    }

    /// Returns how long the next attempt may wait for its answer, if it may be made twice.
    pub(crate) fn timeout(&self, attempts: &Attempts) -> Duration {
        let Shared { config, replicas, .. } = &*self.shared;
        attempts.timeout(config.request_timeout, config.stall_timeout, replicas.count(), self.deadline())
    }

    /// Tells whether there is a replica that these attempts have not asked.
    pub(crate) fn has_others(&self, attempts: &Attempts) -> bool {
        attempts.failed() + 1 < self.shared.replicas.count()
    }

    /// Waits before the next attempt, which goes to the next replica; the error when there is to be none.
    pub(crate) async fn retry(&self, attempts: &mut Attempts, lost: Lost) -> Result<(), ClientError> {
        let replicas = &self.shared.replicas;
        replicas.note_failure();
        if attempts.pause(&lost, replicas.count(), replicas.any_well(), self.deadline()).await {
            Ok(())
        } else {
            Err(self.unavailable(attempts, lost))
        }
    }

    fn deadline(&self) -> Duration {
        let Shared { config, reached, .. } = &*self.shared;
        let deadline = config.retry_deadline.unwrap_or(Duration::MAX);
        if reached.load(Ordering::Relaxed) { deadline } else { deadline.min(config.first_contact_deadline) }
    }

    fn unavailable(&self, attempts: &Attempts, lost: Lost) -> ClientError {
        let address = self.shared.config.addresses.join(", ");
        let reason =
            if lost.unsent && !lost.strange { format!("{}; is it running there?", lost.reason) } else { lost.reason };
        ClientError::Unavailable { address, waited: attempts.waited(), reason }
    }

    /// Makes a unary call, again and again while the daemon cannot be reached.
    pub(crate) async fn unary<T, F, Fut>(&self, limit: Limit, repeat: Repeat, make: F) -> Result<T, ClientError>
    where
        F: Fn(&Call) -> Fut,
        Fut: Future<Output = Result<tonic::Response<T>, Status>>,
    {
        let mut attempts = Attempts::new();
        loop {
            let lost = match self.call().await {
                Err(lost) => lost,
                Ok(call) => {
                    let timeout = match (limit, repeat) {
                        (Limit::None, _) => Duration::MAX,
                        (Limit::Request, Repeat::Safe) => self.timeout(&attempts),
                        (Limit::Request, Repeat::Unsent) => self.shared.config.request_timeout,
                    };
                    match tokio::time::timeout(timeout, make(&call)).await {
                        Ok(Ok(response)) => {
                            self.note_answer(&call);
                            return Ok(response.into_inner());
                        }
                        Ok(Err(status)) => {
                            self.lost(&call, &status).ok_or_else(|| ClientError::from_status(&status))?
                        }
                        Err(_elapsed) => {
                            let lost = Lost::timed_out(timeout);
                            call.failed(&lost);
                            lost
                        }
                    }
                }
            };
            if repeat == Repeat::Unsent && !lost.unsent {
                return Err(self.unavailable(&attempts, lost));
            }
            self.retry(&mut attempts, lost).await?;
        }
    }
}

/// Calls method `$method` of service `$service` with `$request`, on `$client`.
macro_rules! unary {
    ($client:expr, $repeat:ident, $service:ident . $method:ident, $request:expr) => {{
        let request = $request;
        let make = |call: &$crate::replicas::Call| {
            let (mut service, request) = (call.$service(), request.clone());
            async move { service.$method(request).await }
        };
        $client.unary($crate::client::Limit::Request, $crate::client::Repeat::$repeat, make).await
    }};
}
pub(crate) use unary;
