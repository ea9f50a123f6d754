//! The flags by which commands take TLS and tokens.

use std::path::PathBuf;

use clap::Args;

use crate::config::environment::{TLS_CA, TLS_CERT, TLS_KEY, TOKEN_FILE};
use crate::{ClientConfig, ClientError, TokenSource};

/// TLS and the token of a command. There is no flag with a token itself, as everybody on the machine would see it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Args)]
pub struct AccessFlags {
    /// Authorities (PEM) that the daemon's certificate may be of, for addresses https://HOST:PORT [default: this machine's]
    #[arg(long, value_name = "FILE", env = TLS_CA, global = true)]
    pub tls_ca: Option<PathBuf>,
    /// This client's certificate (PEM), where the daemon asks for one
    #[arg(long, value_name = "FILE", env = TLS_CERT, global = true)]
    pub tls_cert: Option<PathBuf>,
    /// Its private key (PEM)
    #[arg(long, value_name = "FILE", env = TLS_KEY, global = true)]
    pub tls_key: Option<PathBuf>,
    /// File that holds the token, which SWIFTSAMPLER_TOKEN may be instead
    #[arg(long, value_name = "FILE", env = TOKEN_FILE, global = true)]
    pub token_file: Option<PathBuf>,
}

impl AccessFlags {
    /// Returns the configuration for addresses, with the environment's where no flag is given.
    ///
    /// # Errors
    /// As [`ClientConfig::from_environment`].
    pub fn config(&self, addresses: &str) -> Result<ClientConfig, ClientError> {
        let mut config = ClientConfig::from_environment(addresses)?;
        let of = |flag: &Option<PathBuf>, known: Option<PathBuf>| flag.clone().or(known);
        config.tls.ca = of(&self.tls_ca, config.tls.ca);
        config.tls.cert = of(&self.tls_cert, config.tls.cert);
        config.tls.key = of(&self.tls_key, config.tls.key);
        config.token = self.token_file.clone().map(TokenSource::File).or(config.token);
        Ok(config)
    }

    /// Returns the variables that give another process the same.
    #[must_use]
    pub fn variables(&self) -> Vec<(&'static str, PathBuf)> {
        let flags = [
            (TLS_CA, &self.tls_ca),
            (TLS_CERT, &self.tls_cert),
            (TLS_KEY, &self.tls_key),
            (TOKEN_FILE, &self.token_file),
        ];
        flags.into_iter().filter_map(|(name, value)| Some((name, value.clone()?))).collect()
    }
}
