//! Connections that retire at a certain age, so that clients spread anew over the daemons behind one name.
//!
//! A connection of that age accepts no further calls (HTTP/2's GOAWAY), which a client notices by opening another. Calls
//! in flight go on; streams that have not ended a little later do so then, at a batch boundary.

mod listen;
mod unix_socket;

pub use listen::Listen;
pub use unix_socket::{UnixSocket, UnixSocketError};

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;
use tonic::transport::Server;
use tonic::transport::server::Connected;

use crate::metrics::Metrics;

/// Ages differ from the one asked for by up to this share, so that connections made together do not retire together.
const AGE_SPREAD: f64 = 0.1;
/// A connection's streams end when it is older than its age by this share.
const GRACE_SHARE: f64 = 0.1;
/// Pause before connections are accepted again after that failed, as it does when too many files are open.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Accepts connections and serves calls on them until `stop`, then waits until all have ended.
pub async fn serve(
    listener: impl Listen,
    server: Server,
    routes: Routes,
    age_max: Option<Duration>,
    metrics: Metrics,
    stop: CancellationToken,
) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            accepted = listener.accept() => match accepted {
                Ok(socket) => {
                    metrics.connections_accepted.inc();
                    metrics.connections.inc();
                    let serving = serve_one(socket, server.clone(), routes.clone(), age_max, stop.clone());
                    connections.spawn(serving);
                }
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
            Some(ended) = connections.join_next() => note_end(&metrics, ended),
        }
    }
    // Nobody may wait for an answer from a daemon that is going down.
    drop(listener);
    while let Some(ended) = connections.join_next().await {
        note_end(&metrics, ended);
    }
}

/// Serves one connection. Each has a server of its own because tonic gives all connections of a server one age.
async fn serve_one<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    socket: S,
    mut server: Server,
    routes: Routes,
    age_max: Option<Duration>,
    stop: CancellationToken,
) -> Result<(), tonic::transport::Error> {
    let age = age_max.map(|age| age.mul_f64(1.0 + AGE_SPREAD * (2.0 * fastrand::f64() - 1.0)));
    if let Some(age) = age {
        server = server.max_connection_age(age);
    }
    let streams_end = age.map(|age| Instant::now() + age.mul_f64(1.0 + GRACE_SHARE));
    // The connection holds the sender, so the stream of connections ends when this one is closed.
    let (open, incoming) = mpsc::channel(1);
    let connection = Connection { socket, info: ConnectionInfo { streams_end }, _open: open.clone() };
    open.send(Ok::<_, io::Error>(connection)).await.ok();
    drop(open);
    server.add_routes(routes).serve_with_incoming_shutdown(ReceiverStream::new(incoming), stop.cancelled()).await
}

fn note_end(metrics: &Metrics, ended: Result<Result<(), tonic::transport::Error>, tokio::task::JoinError>) {
    metrics.connections.dec();
    match ended {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::warn!(%error, "a connection failed"),
        Err(error) => tracing::error!(%error, "serving a connection failed"),
    }
}

/// What a call may know about the connection it came on.
#[derive(Debug, Clone, Copy)]
pub struct ConnectionInfo {
    streams_end: Option<Instant>,
}

impl ConnectionInfo {
    /// Returns what is known about the connection that a request came on.
    #[must_use]
    pub fn of<T>(request: &tonic::Request<T>) -> Self {
        // Without an entry the call came by no connection of this module's.
        request.extensions().get().copied().unwrap_or(Self { streams_end: None })
    }

    /// Waits until streams on the connection have to end.
    pub async fn streams_end(self) {
        match self.streams_end {
            Some(end) => tokio::time::sleep_until(end).await,
            None => std::future::pending().await,
        }
    }
}

/// An accepted connection.
#[derive(Debug)]
struct Connection<S> {
    socket: S,
    info: ConnectionInfo,
    /// Dropped with the connection.
    _open: mpsc::Sender<io::Result<Connection<S>>>,
}

impl<S> Connected for Connection<S> {
    type ConnectInfo = ConnectionInfo;

    fn connect_info(&self) -> ConnectionInfo {
        self.info
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Connection<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Connection<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(context)
    }
}
