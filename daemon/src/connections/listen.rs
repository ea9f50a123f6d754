//! Where connections come in.

use std::future::Future;
use std::io;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};

/// Where connections come in.
pub trait Listen: Send {
    /// A connection's two directions.
    type Socket: AsyncRead + AsyncWrite + Unpin + Send + 'static;

    /// Waits for the next connection.
    fn accept(&self) -> impl Future<Output = io::Result<Self::Socket>> + Send;
}

impl Listen for TcpListener {
    type Socket = TcpStream;

    async fn accept(&self) -> io::Result<TcpStream> {
        loop {
            let (tcp, _) = TcpListener::accept(self).await?;
            match tcp.set_nodelay(true) {
                Ok(()) => return Ok(tcp),
                Err(error) => tracing::debug!(%error, "a connection ended before it began"),
            }
        }
    }
}
