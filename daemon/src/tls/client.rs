//! TLS of this daemon as a client of others.

use std::path::Path;
use std::sync::Arc;

use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use super::files::Contents;
use super::{TlsError, TlsFiles};

/// Reads what it takes to connect to daemons of the authorities in `ca`, or of those that this machine trusts, and to show
/// them this daemon's own certificate. Blocks.
pub(crate) fn connector(ca: Option<&Path>, own: Option<&TlsFiles>) -> Result<TlsConnector, TlsError> {
    let roots = match ca {
        Some(path) => Contents::authorities_of(path)?,
        None => {
            let mut roots = RootCertStore::empty();
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            roots
        }
    };
    let fault = |error: tokio_rustls::rustls::Error| TlsError::File {
        path: own.map(|own| own.certificate.clone()).unwrap_or_default(),
        reason: format!("{error}"),
    };
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(fault)?
        .with_root_certificates(roots);
    let mut config = match own {
        None => builder.with_no_client_auth(),
        Some(files) => {
            let pair = Contents::read(files)?.pair(files, std::time::SystemTime::now())?;
            builder.with_client_auth_cert(pair.chain, pair.key).map_err(fault)?
        }
    };
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(TlsConnector::from(Arc::new(config)))
}
