//! TLS on the daemon's listeners, with certificates that are replaced while it serves.
//!
//! Each handshake takes the newest good pair of certificate and key; connections that stand go on with theirs. A pair
//! that cannot serve leaves the one before it in force.

mod client;
mod files;
mod listener;
mod socket;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::SystemTime;

use sha2::{Digest, Sha256};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::CryptoProvider;
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{RootCertStore, ServerConfig, crypto::ring};

pub(crate) use client::connector;
pub use files::TlsError;
use files::{Contents, Pair};
pub use listener::TlsListener;
pub use socket::{PeerCertificate, TlsSocket};

/// Where the daemon's certificate and what goes with it are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate, and those between it and the authority: PEM.
    pub certificate: PathBuf,
    /// Its private key: PEM.
    pub key: PathBuf,
    /// The authorities whose certificates clients are to show: PEM.
    pub client_ca: Option<PathBuf>,
}

/// What is spoken over TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/2. Clients show a certificate where there is an authority for them.
    Grpc,
    /// HTTP/1.1. Clients may leave theirs out: those that ask for a daemon's health have none.
    Http,
}

/// The certificates in force.
#[derive(Debug)]
pub struct Tls {
    files: TlsFiles,
    current: RwLock<Current>,
    /// Digest of the files that were read last, good or bad.
    seen: Mutex<[u8; 32]>,
}

#[derive(Debug, Clone)]
struct Current {
    grpc: Arc<ServerConfig>,
    http: Arc<ServerConfig>,
    expires_s: u64,
}

impl Tls {
    /// Reads the files.
    ///
    /// # Errors
    /// [`TlsError`] when they make no pair that can serve now.
    pub fn open(files: TlsFiles) -> Result<Self, TlsError> {
        let contents = Contents::read(&files)?;
        let current = Current::of(&files, &contents)?;
        Ok(Self { files, current: RwLock::new(current), seen: Mutex::new(contents.digest()) })
    }

    /// Takes what the files hold now, if they changed since they were read last; tells whether it did.
    ///
    /// # Errors
    /// [`TlsError`] when they make no pair that can serve now; said once of each content. The one before it stays.
    pub fn reload(&self) -> Result<bool, TlsError> {
        let read = Contents::read(&self.files);
        let digest = match &read {
            Ok(contents) => contents.digest(),
            Err(error) => Sha256::digest(error.to_string()).into(),
        };
        {
            let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
            if *seen == digest {
                return Ok(false);
            }
            *seen = digest;
        }
        let current = Current::of(&self.files, &read?)?;
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = current;
        Ok(true)
    }

    /// Returns when the certificate in force ends, in seconds of Unix time.
    #[must_use]
    pub fn expires_s(&self) -> u64 {
        self.current.read().unwrap_or_else(PoisonError::into_inner).expires_s
    }

    fn acceptor(&self, protocol: Protocol) -> TlsAcceptor {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        TlsAcceptor::from(Arc::clone(match protocol {
            Protocol::Grpc => &current.grpc,
            Protocol::Http => &current.http,
        }))
    }
}

impl Current {
    fn of(files: &TlsFiles, contents: &Contents) -> Result<Self, TlsError> {
        let pair = contents.pair(files, SystemTime::now())?;
        let authorities = contents.authorities(files)?.map(Arc::new);
        let config = |protocol| server_config(files, &pair, authorities.as_ref(), protocol).map(Arc::new);
        Ok(Self { grpc: config(Protocol::Grpc)?, http: config(Protocol::Http)?, expires_s: pair.expires_s })
    }
}

fn server_config(
    files: &TlsFiles,
    pair: &Pair,
    authorities: Option<&Arc<RootCertStore>>,
    protocol: Protocol,
) -> Result<ServerConfig, TlsError> {
    let provider = Arc::new(ring::default_provider());
    let pair_fault = |error| TlsError::Pair {
        certificate: files.certificate.clone(),
        key: files.key.clone(),
        reason: format!("{error}"),
    };
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions();
    let builder = builder.map_err(pair_fault)?;
    let builder = match authorities {
        None => builder.with_no_client_auth(),
        Some(authorities) => builder.with_client_cert_verifier(verifier(files, authorities, provider, protocol)?),
    };
    let mut config = builder.with_single_cert(pair.chain.clone(), pair.key.clone_key()).map_err(pair_fault)?;
    config.alpn_protocols = vec![match protocol {
        Protocol::Grpc => b"h2".to_vec(),
        Protocol::Http => b"http/1.1".to_vec(),
    }];
    Ok(config)
}

fn verifier(
    files: &TlsFiles,
    authorities: &Arc<RootCertStore>,
    provider: Arc<CryptoProvider>,
    protocol: Protocol,
) -> Result<Arc<dyn tokio_rustls::rustls::server::danger::ClientCertVerifier>, TlsError> {
    let builder = WebPkiClientVerifier::builder_with_provider(Arc::clone(authorities), provider);
    let builder = if protocol == Protocol::Http { builder.allow_unauthenticated() } else { builder };
    builder.build().map_err(|error| TlsError::File {
        path: files.client_ca.clone().unwrap_or_default(),
        reason: format!("{error}"),
    })
}
