//! Where connections come in.

use std::future::Future;
use std::io;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};

use super::admission::Peer;

/// Where connections come in.
pub trait Listen: Send {
    /// A connection's two directions.
    type Socket: AsyncRead + AsyncWrite + Unpin + Send + 'static;

    /// Waits for the next connection, and tells whose it is.
    fn accept(&self) -> impl Future<Output = io::Result<(Self::Socket, Peer)>> + Send;
}

impl Listen for TcpListener {
    type Socket = TcpStream;

    async fn accept(&self) -> io::Result<(TcpStream, Peer)> {
        loop {
            let (tcp, address) = TcpListener::accept(self).await?;
            match tcp.set_nodelay(true) {
                Ok(()) => return Ok((tcp, Peer::from(address.ip()))),
                Err(error) => tracing::debug!(%error, "a connection ended before it began"),
            }
        }
    }
}
