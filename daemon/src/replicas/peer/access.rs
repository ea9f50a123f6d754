//! How this daemon knows others, and what it shows them.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_util::either::Either;
use tonic::codegen::Service;
use tonic::codegen::http::Uri;
use tonic::metadata::{Ascii, MetadataValue};

use crate::tls::{self, TlsFiles};

/// How this daemon knows others, and what it shows them.
#[derive(Debug, Clone, Default)]
pub struct PeerAccess {
    /// Authorities that their certificates may be of; `None`: those that this machine trusts.
    pub ca: Option<PathBuf>,
    /// File with the token that this daemon shows, of the role admin.
    pub token_file: Option<PathBuf>,
    /// Its own certificate, which it shows where it is asked for one.
    pub own: Option<TlsFiles>,
}

/// Longest token, in bytes.
const TOKEN_BYTES_MAX: usize = 512;

impl PeerAccess {
    /// Returns what makes connections to an address, `https://HOST:PORT` or `http://HOST:PORT`. Blocks.
    pub(super) fn connector(&self, origin: &Uri) -> Result<Connector, String> {
        let host = origin.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']').to_owned();
        let tls = if origin.scheme_str() == Some("https") {
            let connector = tls::connector(self.ca.as_deref(), self.own.as_ref()).map_err(|error| error.to_string())?;
            let domain = ServerName::try_from(host.clone()).map_err(|error| format!("{host}: {error}"))?;
            Some((connector, domain))
        } else {
            None
        };
        Ok(Connector { host, port: origin.port_u16().unwrap_or_default(), tls })
    }

    /// Returns the header with the token, if there is one. Blocks.
    pub(super) fn authorization(&self) -> Result<Option<MetadataValue<Ascii>>, String> {
        self.token_file.as_deref().map(authorization).transpose()
    }
}

/// What the file holds is not shown.
fn authorization(path: &Path) -> Result<MetadataValue<Ascii>, String> {
    let text = std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let token = text.trim();
    let fits = (1..=TOKEN_BYTES_MAX).contains(&token.len()) && token.bytes().all(|byte| byte.is_ascii_graphic());
    let value = format!("Bearer {token}").parse::<MetadataValue<Ascii>>();
    match value {
        Ok(mut value) if fits => {
            value.set_sensitive(true);
            Ok(value)
        }
        _ => Err(format!("{}: it must hold a token and nothing else", path.display())),
    }
}

/// Connects to another daemon.
pub(super) struct Connector {
    host: String,
    port: u16,
    tls: Option<(TlsConnector, ServerName<'static>)>,
}

impl Connector {
    /// Tells whether what is sent stays secret: it is encrypted, or does not leave this machine.
    pub(super) fn is_private(&self) -> bool {
        let is_loopback = |host: &str| host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback());
        self.tls.is_some() || is_loopback(&self.host) || self.host.eq_ignore_ascii_case("localhost")
    }
}

/// A connection's two directions.
type Socket = Either<TcpStream, Box<tokio_rustls::client::TlsStream<TcpStream>>>;

impl Service<Uri> for Connector {
    type Response = TokioIo<Socket>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let (host, port, tls) = (self.host.clone(), self.port, self.tls.clone());
        Box::pin(async move {
            let connected = tokio::time::timeout(super::CONNECT_MAX, connect(&host, port, tls)).await;
            let late = |_elapsed| io::Error::new(io::ErrorKind::TimedOut, late(&host, port, super::CONNECT_MAX));
            Ok(TokioIo::new(connected.map_err(late)??))
        })
    }
}

fn late(host: &str, port: u16, after: Duration) -> String {
    format!("no connection to {host}:{port} within {} s", after.as_secs())
}

async fn connect(host: &str, port: u16, tls: Option<(TlsConnector, ServerName<'static>)>) -> io::Result<Socket> {
    let addresses: Vec<SocketAddr> = tokio::net::lookup_host((host, port)).await?.collect();
    let tcp = TcpStream::connect(addresses.as_slice()).await?;
    tcp.set_nodelay(true)?;
    match tls {
        None => Ok(Either::Left(tcp)),
        Some((connector, domain)) => Ok(Either::Right(Box::new(connector.connect(domain, tcp).await?))),
    }
}
