//! Certificates of a scenario's own.

use std::fs;
use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd};

/// An authority, whose certificate lies in a folder.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    file: PathBuf,
}

/// A certificate and its key, as files.
#[derive(Debug, Clone)]
pub struct Files {
    /// The certificate.
    pub certificate: PathBuf,
    /// The key.
    pub key: PathBuf,
}

impl Authority {
    /// Makes an authority; its certificate is the file `NAME.pem`.
    #[must_use]
    pub fn new(folder: &Path, name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("no names are names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().expect("keys can be made");
        let certificate = params.self_signed(&key).expect("an authority signs itself");
        let file = folder.join(format!("{name}.pem"));
        fs::write(&file, certificate.pem()).expect("a temporary file is written");
        Self { issuer: Issuer::new(params, key), file }
    }

    /// Returns the file of its certificate.
    #[must_use]
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// Makes a certificate for localhost and 127.0.0.1, in files of this name.
    pub fn issue(&self, folder: &Path, name: &str) -> Files {
        self.issue_until(folder, name, 2999)
    }

    /// As [`Self::issue`], good until the begin of a year.
    pub fn issue_until(&self, folder: &Path, name: &str, year: i32) -> Files {
        let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
        let mut params = CertificateParams::new(names).expect("these are names");
        params.not_before = date_time_ymd(2000, 1, 1);
        params.not_after = date_time_ymd(year, 1, 1);
        let key = KeyPair::generate().expect("keys can be made");
        let certificate = params.signed_by(&key, &self.issuer).expect("an authority signs");
        let files = Files { certificate: folder.join(format!("{name}.pem")), key: folder.join(format!("{name}.key")) };
        replace(&files.certificate, &certificate.pem());
        replace(&files.key, &key.serialize_pem());
        files
    }
}

/// Puts a file in another's place at once.
pub fn replace(path: &Path, content: &str) {
    let next = path.with_extension("next");
    fs::write(&next, content).expect("a temporary file is written");
    fs::rename(&next, path).expect("a temporary file is moved");
}
