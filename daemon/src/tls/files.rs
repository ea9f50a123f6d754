//! What the files of TLS hold, checked before it serves.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use sha2::{Digest, Sha256};
use tokio_rustls::rustls::RootCertStore;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use x509_cert::Certificate;
use x509_cert::der::Decode;

use super::TlsFiles;

/// Most bytes of a file; a chain or a company's authorities have a few thousand.
const FILE_BYTES_MAX: u64 = 4 << 20;

/// Why files do not make TLS. What a key's file holds is never shown.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read, or holds something else.
    #[error("{}: {reason}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The key is not the certificate's, or neither can serve.
    #[error("{} and {}: {reason}: the key must be the one of the first certificate", certificate.display(), key.display())]
    Pair {
        /// The certificate's file.
        certificate: PathBuf,
        /// The key's file.
        key: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// No client would take the certificate at this time.
    #[error(
        "{}: the certificate is good from {from_s} to {until_s} s of Unix time, and it is {now_s} now: put one there \
         that is, or set the clock",
        path.display()
    )]
    Time {
        /// The certificate's file.
        path: PathBuf,
        /// From when it is good, in seconds of Unix time.
        from_s: u64,
        /// Until when.
        until_s: u64,
        /// The present time.
        now_s: u64,
    },
}

/// The bytes of the files.
pub(super) struct Contents {
    certificate: Vec<u8>,
    key: Vec<u8>,
    client_ca: Option<Vec<u8>>,
}

/// A certificate that can serve.
pub(super) struct Pair {
    pub(super) chain: Vec<CertificateDer<'static>>,
    pub(super) key: PrivateKeyDer<'static>,
    pub(super) expires_s: u64,
}

impl Contents {
    pub(super) fn read(files: &TlsFiles) -> Result<Self, TlsError> {
        Ok(Self {
            certificate: read(&files.certificate)?,
            key: read(&files.key)?,
            client_ca: files.client_ca.as_deref().map(read).transpose()?,
        })
    }

    /// Differs where any of them does.
    pub(super) fn digest(&self) -> [u8; 32] {
        let mut digest = Sha256::new();
        for file in [Some(&self.certificate), Some(&self.key), self.client_ca.as_ref()].into_iter().flatten() {
            digest.update(Sha256::digest(file));
        }
        digest.finalize().into()
    }

    /// Returns the certificate and its key, if it is good at `now`.
    pub(super) fn pair(&self, files: &TlsFiles, now: SystemTime) -> Result<Pair, TlsError> {
        let chain = certificates(&files.certificate, &self.certificate)?;
        let key = PrivateKeyDer::from_pem_slice(&self.key).map_err(|_contents_are_secret| TlsError::File {
            path: files.key.clone(),
            reason: "there is no private key in PEM, which begins with -----BEGIN PRIVATE KEY-----".into(),
        })?;
        let first = Certificate::from_der(&chain[0]).map_err(|error| TlsError::File {
            path: files.certificate.clone(),
            reason: format!("the first certificate cannot be read: {error}"),
        })?;
        let validity = first.tbs_certificate.validity;
        let seconds = |time: Duration| time.as_secs();
        let from_s = seconds(validity.not_before.to_unix_duration());
        let until_s = seconds(validity.not_after.to_unix_duration());
        let now_s = seconds(now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default());
        if !(from_s..=until_s).contains(&now_s) {
            return Err(TlsError::Time { path: files.certificate.clone(), from_s, until_s, now_s });
        }
        Ok(Pair { chain, key, expires_s: until_s })
    }

    /// Returns the authorities of clients, if there are to be any.
    pub(super) fn authorities(&self, files: &TlsFiles) -> Result<Option<RootCertStore>, TlsError> {
        match (&files.client_ca, &self.client_ca) {
            (Some(path), Some(contents)) => authorities(path, contents).map(Some),
            _ => Ok(None),
        }
    }

    /// Reads a file of authorities.
    pub(super) fn authorities_of(path: &Path) -> Result<RootCertStore, TlsError> {
        authorities(path, &read(path)?)
    }
}

fn authorities(path: &Path, contents: &[u8]) -> Result<RootCertStore, TlsError> {
    let mut authorities = RootCertStore::empty();
    for certificate in certificates(path, contents)? {
        let added = authorities.add(certificate);
        added.map_err(|error| TlsError::File { path: path.to_owned(), reason: format!("{error}") })?;
    }
    Ok(authorities)
}

fn certificates(path: &Path, contents: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let file = |reason: String| TlsError::File { path: path.to_owned(), reason };
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(contents).collect();
    let found = found.map_err(|error| file(format!("{error}")))?;
    if found.is_empty() {
        return Err(file("there is no certificate in PEM, which begins with -----BEGIN CERTIFICATE-----".into()));
    }
    Ok(found)
}

fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    let file = |reason: String| TlsError::File { path: path.to_owned(), reason };
    let mut contents = Vec::new();
    let open = File::open(path).map_err(|error| file(error.to_string()))?;
    open.take(FILE_BYTES_MAX + 1).read_to_end(&mut contents).map_err(|error| file(error.to_string()))?;
    if contents.len() as u64 > FILE_BYTES_MAX {
        return Err(file(format!("it has more than {FILE_BYTES_MAX} bytes")));
    }
    Ok(contents)
}
