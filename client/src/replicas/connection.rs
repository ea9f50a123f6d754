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
use tokio_util::either::Either;
use tonic::codegen::Service;
use tonic::codegen::http::Uri;
use tonic::transport::{Channel, Endpoint};

use crate::target::Address;

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
    type Response = TokioIo<Either<TcpStream, UnixStream>>;
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
        let Route { address, timeout, .. } = self.route.clone();
        Box::pin(async move {
            let stream = tokio::time::timeout(timeout, connect(&address)).await;
            let late = || format!("no connection to {address} within {:.1} s", timeout.as_secs_f64());
            Ok(TokioIo::new(stream.map_err(|_elapsed| io::Error::new(io::ErrorKind::TimedOut, late()))??))
        })
    }
}

async fn connect(address: &Address) -> io::Result<Either<TcpStream, UnixStream>> {
    match address {
        Address::Tcp(address) => {
            let stream = TcpStream::connect(address).await?;
            stream.set_nodelay(true)?;
            Ok(Either::Left(stream))
        }
        Address::Unix(path) => Ok(Either::Right(UnixStream::connect(path).await?)),
    }
}
