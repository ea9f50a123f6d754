//! Encrypted connections.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{self, InvalidMessage, RootCertStore};

use crate::ClientError;

/// How daemons whose addresses begin with `https://` are known, and how this client shows who it is.
///
/// Without an authority those that this machine trusts are taken: a company's own is usually among them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TlsConfig {
    /// File of the authorities (PEM) that the daemon's certificate may be of.
    pub ca: Option<PathBuf>,
    /// File of this client's certificate (PEM), where the daemon asks for one; with its key.
    pub cert: Option<PathBuf>,
    /// File of its private key (PEM).
    pub key: Option<PathBuf>,
    /// The name that the daemon's certificate has to have, where that is not the host of its address.
    pub domain: Option<String>,
}

/// Makes connections encrypted.
#[derive(Clone)]
pub(crate) struct Encryption {
    config: Arc<rustls::ClientConfig>,
    domain: ServerName<'static>,
}

impl fmt::Debug for Encryption {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Encryption").field("domain", &self.domain).finish_non_exhaustive()
    }
}

impl TlsConfig {
    /// Reads the files.
    pub(crate) fn read(&self) -> Result<Arc<rustls::ClientConfig>, ClientError> {
        let builder = rustls::ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| ClientError::Access(format!("TLS: {error}")))?
            .with_root_certificates(self.roots()?);
        let mut config = match (&self.cert, &self.key) {
            (None, None) => builder.with_no_client_auth(),
            (Some(cert), Some(key)) => {
                let chain = certificates(cert)?;
                let secret = PrivateKeyDer::from_pem_file(key).map_err(|error| match error {
                    rustls::pki_types::pem::Error::Io(reason) => ClientError::File { path: key.clone(), reason },
                    _contents_are_secret => unfit(key, "there is no private key in PEM"),
                })?;
                builder.with_client_auth_cert(chain, secret).map_err(|error| {
                    ClientError::Access(format!("TLS: {} and {}: {error}", cert.display(), key.display()))
                })?
            }
            (Some(_), None) => return Err(ClientError::Access("TLS: a client certificate needs its key".into())),
            (None, Some(_)) => return Err(ClientError::Access("TLS: a client key needs its certificate".into())),
        };
        config.alpn_protocols = vec![b"h2".to_vec()];
        Ok(Arc::new(config))
    }

    fn roots(&self) -> Result<RootCertStore, ClientError> {
        let mut roots = RootCertStore::empty();
        match &self.ca {
            Some(path) => {
                for certificate in certificates(path)? {
                    roots.add(certificate).map_err(|error| unfit(path, &error.to_string()))?;
                }
            }
            None => {
                roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
                if roots.is_empty() {
                    let message = "TLS: this machine trusts no authority; name the daemon's (--tls-ca FILE)";
                    return Err(ClientError::Access(message.into()));
                }
            }
        }
        Ok(roots)
    }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, ClientError> {
    let found = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let found = found.map_err(|error| match error {
        rustls::pki_types::pem::Error::Io(reason) => ClientError::File { path: path.to_owned(), reason },
        error => unfit(path, &error.to_string()),
    })?;
    if found.is_empty() {
        return Err(unfit(path, "there is no certificate in PEM, which begins with -----BEGIN CERTIFICATE-----"));
    }
    Ok(found)
}

fn unfit(path: &Path, reason: &str) -> ClientError {
    ClientError::Access(format!("TLS: {}: {reason}", path.display()))
}

impl Encryption {
    /// Takes what was read, and the host that the daemon has to be.
    pub(crate) fn new(config: Arc<rustls::ClientConfig>, host: &str) -> Result<Self, ClientError> {
        let domain = ServerName::try_from(host.to_owned())
            .map_err(|_unfit| ClientError::Access(format!("TLS: {host:?} is no name that a certificate can have")))?;
        Ok(Self { config, domain })
    }

    /// Makes a connection encrypted.
    pub(crate) async fn connect(&self, tcp: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        let connected = TlsConnector::from(Arc::clone(&self.config)).connect(self.domain.clone(), tcp).await;
        connected.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, explain(&error)))
    }
}

fn explain(error: &io::Error) -> String {
    let cause = error.get_ref().and_then(|cause| cause.downcast_ref::<rustls::Error>());
    match cause {
        Some(rustls::Error::InvalidMessage(InvalidMessage::InvalidContentType)) => {
            "it does not speak TLS: leave https:// out of its address".to_owned()
        }
        Some(rustls::Error::InvalidCertificate(rustls::CertificateError::UnknownIssuer)) => {
            "its certificate is of no authority that is trusted here: name the daemon's (--tls-ca FILE)".to_owned()
        }
        _ => format!("TLS: {error}"),
    }
}
