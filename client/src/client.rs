//! The client: lazy channels, calls that are tried again.

mod control;
mod sampling;
mod studies;

pub use sampling::JobConfig;

use std::future::Future;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use swift_sampler_proto::v1::control_client::ControlClient;
use swift_sampler_proto::v1::sampling_client::SamplingClient;
use swift_sampler_proto::v1::studies_client::StudiesClient;
use tonic::Status;
use tonic::codegen::http::Uri;
use tonic::transport::{Channel, Endpoint};

use crate::retry::{Attempts, Lost};
use crate::{ClientConfig, ClientError};

/// Largest message accepted, in bytes: a single batch of the largest size, 2^24 draws of 8 bytes, and its header.
const MESSAGE_BYTES_MAX: usize = (128 << 20) + (64 << 10);
/// Bytes a stream may send before it waits for the reader.
const STREAM_WINDOW_BYTES: u32 = 4 << 20;
/// The same for a connection, over all its streams.
const CONNECTION_WINDOW_BYTES: u32 = 16 << 20;
/// How often a silent connection is asked whether it still lives.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(20);
/// How long it may take to answer.
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(20);

/// A client of the daemon. Cheap to clone; clones share connections.
///
/// Creating one does no I/O; every method must be called on a tokio runtime. Calls that fail because the daemon cannot
/// be reached are tried again with jittered exponential back-off until [`ClientConfig::retry_deadline`].
#[derive(Debug, Clone)]
pub struct Client {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    config: ClientConfig,
    replicas: Vec<Replica>,
    /// The replica that calls go to.
    current: AtomicUsize,
    /// Whether the daemon has ever answered.
    reached: AtomicBool,
}

#[derive(Debug)]
struct Replica {
    uri: Uri,
    /// Made on first use: a channel belongs to the runtime it was made on.
    channel: OnceLock<Channel>,
}

/// Whether a call whose answer was lost may be sent once more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Repeat {
    /// Doing it twice is doing it once.
    Safe,
    /// Only where the daemon cannot have seen the first.
    Unsent,
}

impl Client {
    /// Takes where the daemon is; connects when first used.
    ///
    /// # Errors
    /// [`ClientError::Address`] when an address cannot be one.
    pub fn new(config: impl Into<ClientConfig>) -> Result<Self, ClientError> {
        let config = config.into();
        let replicas = config.uris()?.into_iter().map(|uri| Replica { uri, channel: OnceLock::new() }).collect();
        let shared = Shared { config, replicas, current: AtomicUsize::new(0), reached: AtomicBool::new(false) };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Returns where the daemon is.
    #[must_use]
    pub fn config(&self) -> &ClientConfig {
        &self.shared.config
    }

    /// Returns the channel to the present replica.
    fn channel(&self) -> Channel {
        let replica = &self.shared.replicas[self.shared.current.load(Ordering::Relaxed)];
        let connect_timeout = self.shared.config.connect_timeout;
        replica.channel.get_or_init(|| connect_lazily(&replica.uri, connect_timeout)).clone()
    }

    pub(crate) fn control(&self) -> ControlClient<Channel> {
        ControlClient::new(self.channel()).max_decoding_message_size(MESSAGE_BYTES_MAX)
    }

    pub(crate) fn sampling(&self) -> SamplingClient<Channel> {
        SamplingClient::new(self.channel()).max_decoding_message_size(MESSAGE_BYTES_MAX)
    }

    pub(crate) fn studies(&self) -> StudiesClient<Channel> {
        StudiesClient::new(self.channel()).max_decoding_message_size(MESSAGE_BYTES_MAX)
    }

    /// Notes that the daemon answered.
    pub(crate) fn note_reached(&self) {
        self.shared.reached.store(true, Ordering::Relaxed);
    }

    /// Waits before the next attempt, which goes to the next replica; the error when there is to be none.
    pub(crate) async fn retry(&self, attempts: &mut Attempts, lost: Lost) -> Result<(), ClientError> {
        let Shared { config, replicas, current, reached } = &*self.shared;
        let next = (current.load(Ordering::Relaxed) + 1) % replicas.len();
        current.store(next, Ordering::Relaxed);
        let deadline = if reached.load(Ordering::Relaxed) {
            config.retry_deadline
        } else {
            config.retry_deadline.min(config.first_contact_deadline)
        };
        if attempts.pause(deadline).await { Ok(()) } else { Err(self.unavailable(attempts, lost)) }
    }

    fn unavailable(&self, attempts: &Attempts, lost: Lost) -> ClientError {
        let address = self.shared.config.addresses.join(", ");
        let reason = if lost.unsent { format!("{}; is it running there?", lost.reason) } else { lost.reason };
        ClientError::Unavailable { address, waited: attempts.waited(), reason }
    }

    /// Makes a unary call, again and again while the daemon cannot be reached. `timeout` is for one attempt.
    pub(crate) async fn unary<T, F, Fut>(
        &self,
        repeat: Repeat,
        timeout: Option<Duration>,
        call: F,
    ) -> Result<T, ClientError>
    where
        F: Fn() -> Fut,
        Fut: Future<Output = Result<tonic::Response<T>, Status>>,
    {
        let mut attempts = Attempts::new();
        loop {
            let answer = match timeout {
                Some(timeout) => tokio::time::timeout(timeout, call()).await.map_err(|_elapsed| timeout),
                None => Ok(call().await),
            };
            let lost = match answer {
                Ok(Ok(response)) => {
                    self.note_reached();
                    return Ok(response.into_inner());
                }
                Ok(Err(status)) => match Lost::from_status(&status) {
                    Some(lost) => lost,
                    None => {
                        self.note_reached();
                        return Err(ClientError::from_status(&status));
                    }
                },
                Err(timeout) => Lost::timed_out(timeout),
            };
            if repeat == Repeat::Unsent && !lost.unsent {
                return Err(self.unavailable(&attempts, lost));
            }
            self.retry(&mut attempts, lost).await?;
        }
    }
}

fn connect_lazily(uri: &Uri, connect_timeout: Duration) -> Channel {
    Endpoint::from(uri.clone())
        .connect_timeout(connect_timeout)
        .tcp_nodelay(true)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .http2_keep_alive_interval(KEEP_ALIVE_INTERVAL)
        .keep_alive_timeout(KEEP_ALIVE_TIMEOUT)
        .connect_lazy()
}

/// Calls method `$method` of service `$service` with `$request`, on `$client`.
macro_rules! unary {
    ($client:expr, $repeat:ident, $service:ident . $method:ident, $request:expr) => {{
        let (client, request) = ($client, $request);
        let timeout = Some(client.config().request_timeout);
        client
            .unary($crate::client::Repeat::$repeat, timeout, || {
                let (mut service, request) = (client.$service(), request.clone());
                async move { service.$method(request).await }
            })
            .await
    }};
}
pub(crate) use unary;
