//! Connections to one address.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use hyper_util::rt::TokioIo;
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::client::TlsStream;
use tokio_util::either::Either;
use tonic::codegen::Service;
use tonic::codegen::http::Uri;
use tonic::transport::{Channel, Endpoint};

use super::plain::Plain;
use crate::target::Address;
use crate::tls::Encryption;
use crate::token::Credentials;

/// Bytes a stream may send before it waits for the reader.
/// A batch on its way is frozen, so this holds back activations: it is what 40 M draws a second need in 3 ms.
const STREAM_WINDOW_BYTES: u32 = 1 << 20;
/// The same for a connection, over all its streams.
const CONNECTION_WINDOW_BYTES: u32 = 16 << 20;
/// Largest frame that a daemon may send, in bytes: each takes a system call on both sides.
const FRAME_BYTES_MAX: u32 = 512 << 10;
/// How often a connection with open calls is asked whether it still lives.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(10);
/// How long it may take to answer. This is what ends a watch or an import, which have no time-out, on a dead connection.
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(10);

/// Where a connection goes, and who is told when it is made.
#[derive(Debug, Clone)]
pub(super) struct Route {
    /// The replica.
    pub(super) address: Address,
    /// What calls name it.
    pub(super) origin: Uri,
    /// How it is encrypted, if it is.
    pub(super) encryption: Option<Encryption>,
    /// What calls show.
    pub(super) credentials: Credentials,
    /// Longest wait for the connection.
    pub(super) timeout: Duration,
    /// Set when a connection has to be made again: replicas may have come or gone.
    pub(super) remade: Arc<AtomicBool>,
}

/// A connection, made when first used and again when it is lost.
#[derive(Debug, Default)]
pub(super) struct Connection {
    /// A channel belongs to the runtime it was made on, so it is made on first use.
    channel: Mutex<Option<Channel>>,
    /// Calls that are under way on it.
    pub(super) calls: AtomicUsize,
}

impl Connection {
    /// Returns a channel over this connection.
    pub(super) fn channel(&self, route: &Route) -> Channel {
        let mut channel = self.channel.lock().expect("no holder panics");
        channel.get_or_insert_with(|| open(route)).clone()
    }

    /// Lets the next call make a new connection; calls under way keep the present one.
    pub(super) fn discard(&self) {
        *self.channel.lock().expect("no holder panics") = None;
    }
}

fn open(route: &Route) -> Channel {
    Endpoint::from(route.origin.clone())
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_frame_size(FRAME_BYTES_MAX)
        .http2_keep_alive_interval(KEEP_ALIVE_INTERVAL)
        .keep_alive_timeout(KEEP_ALIVE_TIMEOUT)
        .connect_with_connector_lazy(Connector { route: route.clone(), made: false })
}

/// Connects to the address, whatever the name.
struct Connector {
    route: Route,
    made: bool,
}

impl Service<Uri> for Connector {
    type Response = TokioIo<Socket>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        if self.made {
            self.route.remade.store(true, Ordering::Relaxed);
        }
        self.made = true;
        let Route { address, encryption, timeout, .. } = self.route.clone();
        Box::pin(async move {
            let stream = tokio::time::timeout(timeout, connect(&address, encryption.as_ref())).await;
            let late = || format!("no connection to {address} within {:.1} s", timeout.as_secs_f64());
            Ok(TokioIo::new(stream.map_err(|_elapsed| io::Error::new(io::ErrorKind::TimedOut, late()))??))
        })
    }
}

/// A connection's two directions.
type Socket = Either<Either<Plain<TcpStream>, UnixStream>, Box<TlsStream<TcpStream>>>;

async fn connect(address: &Address, encryption: Option<&Encryption>) -> io::Result<Socket> {
    match address {
        Address::Tcp(address) => {
            let stream = TcpStream::connect(address).await?;
            stream.set_nodelay(true)?;
            match encryption {
                None => Ok(Either::Left(Either::Left(Plain::new(stream)))),
                Some(encryption) => Ok(Either::Right(Box::new(encryption.connect(stream).await?))),
            }
        }
        Address::Unix(path) => Ok(Either::Left(Either::Right(UnixStream::connect(path).await?))),
    }
}
