//! Connections: how many there may be, and when each ends.
//!
//! A connection retires at a certain age, so that clients spread anew over the daemons behind one name. One that does not
//! begin to speak HTTP/2, or whose client does not take what it asked for, or sends frames that bring nothing without end, is
//! closed.
//!
//! A connection of that age accepts no further calls (HTTP/2's GOAWAY), which a client notices by opening another. Calls
//! in flight go on; streams that have not ended a little later do so then, at a batch boundary.

mod activity;
mod admission;
pub(crate) mod allowance;
mod frames;
mod listen;
mod unix_socket;

pub(crate) use activity::OpenAnswer;
pub use admission::{Admission, Peer};
pub use listen::Listen;
pub use unix_socket::{UnixSocket, UnixSocketError};

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, Sleep};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tonic::service::Routes;
use tonic::transport::Server;
use tonic::transport::server::Connected;

use self::activity::Activity;
use self::admission::Place;
use self::allowance::{Allowance, BYTES_AN_EARNED_FRAME, PAUSE};
use self::frames::Frames;
use crate::metrics::Metrics;

/// Ages differ from the one asked for by up to this share, so that connections made together do not retire together.
const AGE_SPREAD: f64 = 0.1;
/// A connection's streams end when it is older than its age by this share.
const GRACE_SHARE: f64 = 0.1;
/// Pause before connections are accepted again after that failed, as it does when too many files are open.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How long a client may take until it speaks HTTP/2, whatever else it has to say before.
pub(crate) const HANDSHAKE_MAX: Duration = Duration::from_secs(10);
/// How long a client may leave what it asked for. Every other wait on a connection's calls is shorter, or for work.
pub(crate) const ANSWER_STALL_MAX: Duration = Duration::from_secs(10 * 60);
/// How often it is looked whether a connection is to be closed.
const LOOK_INTERVAL: Duration = Duration::from_secs(5);

/// How connections are served.
#[derive(Debug, Clone)]
pub struct Terms {
    /// How many there may be, over all listeners.
    pub admission: Admission,
    /// The age at which they retire; `None`: never.
    pub age_max: Option<Duration>,
}

/// Accepts connections and serves calls on them until `stop`, then waits until all have ended.
pub async fn serve(
    listener: impl Listen,
    server: Server,
    routes: Routes,
    terms: Terms,
    metrics: Metrics,
    stop: CancellationToken,
) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            accepted = listener.accept() => match accepted {
                Ok((socket, peer)) => {
                    metrics.connections_accepted.inc();
                    match terms.admission.admit(peer) {
                        Ok(place) => {
                            metrics.connections.inc();
                            let watch = Watch { place, metrics: metrics.clone(), activity: Arc::new(Activity::new()) };
                            let (server, routes) = (server.clone(), routes.clone());
                            connections.spawn(serve_one(socket, server, routes, terms.age_max, watch, stop.clone()));
                        }
                        Err(full) => {
                            tracing::debug!(?peer, reason = full.reason(), "a connection is closed at once");
                            metrics.note_closed(full.reason());
                        }
                    }
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
    watch: Watch,
    stop: CancellationToken,
) -> Result<(), tonic::transport::Error> {
    let age = age_max.map(|age| age.mul_f64(1.0 + AGE_SPREAD * (2.0 * fastrand::f64() - 1.0)));
    if let Some(age) = age {
        server = server.max_connection_age(age);
    }
    let streams_end = age.map(|age| Instant::now() + age.mul_f64(1.0 + GRACE_SHARE));
    let closing = CancellationToken::new();
    // The connection holds the sender, so the stream of connections ends when this one is closed.
    let (open, incoming) = mpsc::channel(1);
    let info = ConnectionInfo { peer: watch.place.peer(), streams_end, activity: Arc::clone(&watch.activity) };
    let closed = Box::pin(closing.clone().cancelled_owned());
    open.send(Ok::<_, io::Error>(Connection::new(socket, info, closed, open.clone()))).await.ok();
    drop(open);
    let incoming = ReceiverStream::new(incoming);
    let served = server.add_routes(routes).serve_with_incoming_shutdown(incoming, stop.cancelled());
    tokio::pin!(served);
    tokio::select! {
        ended = &mut served => return ended,
        reason = watch.until_to_be_closed(&stop) => {
            tracing::debug!(peer = ?watch.place.peer(), reason, "a connection is closed");
            watch.metrics.note_closed(reason);
            closing.cancel();
        }
    }
    served.await
}

/// What is watched of a connection.
struct Watch {
    place: Place,
    metrics: Metrics,
    activity: Arc<Activity>,
}

impl Watch {
    /// Waits until the connection has to be closed, and returns why. Who has not begun to speak when the daemon goes down is
    /// not waited for.
    async fn until_to_be_closed(&self, stop: &CancellationToken) -> &'static str {
        tokio::select! {
            () = tokio::time::sleep(HANDSHAKE_MAX.saturating_sub(self.activity.age())) => {}
            () = stop.cancelled() => {}
        }
        if !self.activity.has_begun() {
            return "handshake";
        }
        loop {
            if self.activity.is_flooded() {
                return "flood";
            }
            if self.activity.stalled() > ANSWER_STALL_MAX {
                return "stalled";
            }
            tokio::time::sleep(LOOK_INTERVAL).await;
        }
    }
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
#[derive(Debug, Clone)]
pub struct ConnectionInfo {
    peer: Peer,
    streams_end: Option<Instant>,
    activity: Arc<Activity>,
}

impl ConnectionInfo {
    /// Returns what is known about the connection that a request came on.
    #[must_use]
    pub fn of<T>(request: &tonic::Request<T>) -> Self {
        // Without an entry the call came by no connection of this module's.
        request.extensions().get().cloned().unwrap_or_else(Self::unknown)
    }

    /// Returns what is known of a call that came by no connection of this module's.
    pub(crate) fn unknown() -> Self {
        Self { peer: Peer::ThisMachine, streams_end: None, activity: Arc::new(Activity::new()) }
    }

    /// Returns whose connection it is.
    #[must_use]
    pub fn peer(&self) -> Peer {
        self.peer
    }

    /// Watches an answer that is to be sent on the connection.
    pub(crate) fn open_answer(&self) -> OpenAnswer {
        OpenAnswer::new(Arc::clone(&self.activity))
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
    frames: Frames,
    allowance: Allowance,
    /// Bytes sent since the last that earned a frame.
    sent: u64,
    /// Done when the client is listened to again.
    pause: Option<Pin<Box<Sleep>>>,
    /// Done when it is to be closed.
    closed: Pin<Box<WaitForCancellationFutureOwned>>,
    /// Dropped with the connection.
    _open: mpsc::Sender<io::Result<Connection<S>>>,
}

impl<S> Connected for Connection<S> {
    type ConnectInfo = ConnectionInfo;

    fn connect_info(&self) -> ConnectionInfo {
        self.info.clone()
    }
}

impl<S> Connection<S> {
    fn new(
        socket: S,
        info: ConnectionInfo,
        closed: Pin<Box<WaitForCancellationFutureOwned>>,
        open: mpsc::Sender<io::Result<Self>>,
    ) -> Self {
        let allowance = Allowance::new(std::time::Instant::now());
        Self { socket, info, frames: Frames::new(), allowance, sent: 0, pause: None, closed, _open: open }
    }

    /// Waits while the client has sent more frames that bring nothing than it may.
    fn poll_allowance(&mut self, context: &mut Context<'_>) -> Poll<()> {
        self.allowance.fill(std::time::Instant::now(), self.info.activity.take_earned());
        while self.allowance.is_spent() {
            // Who earns more goes on at once.
            self.info.activity.pause(context.waker());
            let pause = self.pause.get_or_insert_with(|| Box::pin(tokio::time::sleep(PAUSE)));
            std::task::ready!(pause.as_mut().poll(context));
            self.pause = None;
            self.allowance.fill(std::time::Instant::now(), self.info.activity.take_earned());
        }
        Poll::Ready(())
    }

    fn note_received(&mut self, bytes: &[u8]) {
        self.info.activity.note_received(bytes.len());
        let now = std::time::Instant::now();
        self.allowance.spend(now, self.frames.count(bytes));
        if self.allowance.is_flood(now) {
            self.info.activity.note_flood();
        }
    }

    fn note_sent(&mut self, sent: &Poll<io::Result<usize>>) {
        if let Poll::Ready(Ok(bytes)) = sent {
            self.sent += *bytes as u64;
            if self.sent >= BYTES_AN_EARNED_FRAME {
                self.info.activity.earn(self.sent / BYTES_AN_EARNED_FRAME);
                self.sent %= BYTES_AN_EARNED_FRAME;
            }
        }
    }

    /// Fails once the connection is to be closed, and wakes the task then.
    fn check_open(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        match self.closed.as_mut().poll(context) {
            Poll::Ready(()) => Err(io::ErrorKind::ConnectionAborted.into()),
            Poll::Pending => Ok(()),
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Connection<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.check_open(context)?;
        std::task::ready!(self.poll_allowance(context));
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.socket).poll_read(context, buffer);
        self.note_received(&buffer.filled()[before..]);
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Connection<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.check_open(context)?;
        let sent = Pin::new(&mut self.socket).poll_write(context, bytes);
        self.note_sent(&sent);
        sent
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.check_open(context)?;
        let sent = Pin::new(&mut self.socket).poll_write_vectored(context, slices);
        self.note_sent(&sent);
        sent
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
