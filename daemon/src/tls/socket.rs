//! A connection that is encrypted, or not.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use prometheus::IntCounter;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;
use tokio_rustls::server::TlsStream;
use tokio_rustls::{Accept, TlsAcceptor};

/// How long a handshake may take.
const HANDSHAKE_MAX: Duration = Duration::from_secs(10);

/// Whether the client of a connection has shown a certificate of the authorities for clients; known once it sends.
#[derive(Debug, Clone, Default)]
pub struct PeerCertificate(Arc<AtomicBool>);

impl PeerCertificate {
    /// Tells whether it has.
    #[must_use]
    pub fn is_shown(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// A connection that is encrypted, or not. The handshake is made where it is first read or written, on its own task.
pub struct TlsSocket<S> {
    state: State<S>,
    certificate: PeerCertificate,
}

enum State<S> {
    Plain(S),
    Handshake(Box<Handshake<S>>),
    Encrypted(Box<TlsStream<S>>),
    Failed,
}

struct Handshake<S> {
    accept: Accept<S>,
    deadline: Pin<Box<Sleep>>,
    failures: IntCounter,
}

impl<S: AsyncRead + AsyncWrite + Unpin> TlsSocket<S> {
    /// Takes a connection as it is.
    pub(super) fn plain(socket: S) -> Self {
        Self { state: State::Plain(socket), certificate: PeerCertificate::default() }
    }

    /// Takes a connection whose client is to begin with a handshake; counts one that fails.
    pub(super) fn encrypted(socket: S, acceptor: &TlsAcceptor, failures: IntCounter) -> Self {
        let accept = acceptor.accept(socket);
        let deadline = Box::pin(tokio::time::sleep(HANDSHAKE_MAX));
        let state = State::Handshake(Box::new(Handshake { accept, deadline, failures }));
        Self { state, certificate: PeerCertificate::default() }
    }

    /// Returns what will tell whether the client has shown a certificate.
    pub fn certificate(&self) -> PeerCertificate {
        self.certificate.clone()
    }

    fn poll_open(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let State::Handshake(handshake) = &mut self.state else { return Poll::Ready(Ok(())) };
        let late = || {
            let message = format!("no TLS handshake within {} s", HANDSHAKE_MAX.as_secs());
            io::Error::new(io::ErrorKind::TimedOut, message)
        };
        let made = match handshake.deadline.as_mut().poll(context) {
            Poll::Ready(()) => Err(late()),
            Poll::Pending => ready!(Pin::new(&mut handshake.accept).poll(context)),
        };
        match made {
            Ok(stream) => {
                let shown = stream.get_ref().1.peer_certificates().is_some_and(|chain| !chain.is_empty());
                self.certificate.0.store(shown, Ordering::Relaxed);
                self.state = State::Encrypted(Box::new(stream));
                Poll::Ready(Ok(()))
            }
            Err(error) => {
                tracing::debug!(%error, "a TLS handshake failed");
                handshake.failures.inc();
                self.state = State::Failed;
                Poll::Ready(Err(error))
            }
        }
    }
}

fn failed<T>() -> Poll<io::Result<T>> {
    Poll::Ready(Err(io::ErrorKind::NotConnected.into()))
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for TlsSocket<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        ready!(self.poll_open(context))?;
        match &mut self.state {
            State::Plain(socket) => Pin::new(socket).poll_read(context, buffer),
            State::Encrypted(stream) => Pin::new(stream.as_mut()).poll_read(context, buffer),
            State::Handshake(_) | State::Failed => failed(),
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for TlsSocket<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.poll_open(context))?;
        match &mut self.state {
            State::Plain(socket) => Pin::new(socket).poll_write(context, bytes),
            State::Encrypted(stream) => Pin::new(stream.as_mut()).poll_write(context, bytes),
            State::Handshake(_) | State::Failed => failed(),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_open(context))?;
        match &mut self.state {
            State::Plain(socket) => Pin::new(socket).poll_write_vectored(context, slices),
            State::Encrypted(stream) => Pin::new(stream.as_mut()).poll_write_vectored(context, slices),
            State::Handshake(_) | State::Failed => failed(),
        }
    }

    fn is_write_vectored(&self) -> bool {
        // Both kinds of socket under it are, and rustls takes slices as they come.
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.state {
            State::Plain(socket) => Pin::new(socket).poll_flush(context),
            State::Encrypted(stream) => Pin::new(stream.as_mut()).poll_flush(context),
            // Nothing was written yet.
            State::Handshake(_) | State::Failed => Poll::Ready(Ok(())),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.state {
            State::Plain(socket) => Pin::new(socket).poll_shutdown(context),
            State::Encrypted(stream) => Pin::new(stream.as_mut()).poll_shutdown(context),
            State::Handshake(_) | State::Failed => Poll::Ready(Ok(())),
        }
    }
}
