//! A listener whose connections are encrypted where there are certificates.

use std::io;
use std::sync::Arc;

use prometheus::IntCounter;
use tokio::net::{TcpListener, TcpStream};

use super::{Protocol, Tls, TlsSocket};
use crate::connections::{Listen, Peer};

/// A listener whose connections are encrypted where there are certificates.
#[derive(Debug)]
pub struct TlsListener {
    tcp: TcpListener,
    tls: Option<Arc<Tls>>,
    protocol: Protocol,
    handshake_failures: IntCounter,
}

impl TlsListener {
    /// Takes the listener under it, and what counts handshakes that fail.
    #[must_use]
    pub fn new(tcp: TcpListener, tls: Option<Arc<Tls>>, protocol: Protocol, handshake_failures: IntCounter) -> Self {
        Self { tcp, tls, protocol, handshake_failures }
    }

    fn wrap(&self, tcp: TcpStream) -> TlsSocket<TcpStream> {
        match &self.tls {
            None => TlsSocket::plain(tcp),
            Some(tls) => TlsSocket::encrypted(tcp, &tls.acceptor(self.protocol), self.handshake_failures.clone()),
        }
    }
}

impl Listen for TlsListener {
    type Socket = TlsSocket<TcpStream>;

    async fn accept(&self) -> io::Result<(TlsSocket<TcpStream>, Peer)> {
        let (tcp, peer) = Listen::accept(&self.tcp).await?;
        Ok((self.wrap(tcp), peer))
    }
}
