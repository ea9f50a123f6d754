//! Who this client is, and how it knows daemons, from the environment: the same for every program.

use std::env::{VarError, var};
use std::path::PathBuf;

use crate::{ClientConfig, ClientError, TokenSource};

/// Name of the variable with the file of authorities.
pub(crate) const TLS_CA: &str = "SWIFTSAMPLER_TLS_CA";
/// Name of the variable with the file of the client's certificate.
pub(crate) const TLS_CERT: &str = "SWIFTSAMPLER_TLS_CERT";
/// Name of the variable with the file of its key.
pub(crate) const TLS_KEY: &str = "SWIFTSAMPLER_TLS_KEY";
/// Name of the variable with the token's file.
pub(crate) const TOKEN_FILE: &str = "SWIFTSAMPLER_TOKEN_FILE";
const TLS_DOMAIN: &str = "SWIFTSAMPLER_TLS_DOMAIN";
const TOKEN: &str = "SWIFTSAMPLER_TOKEN";
const INSECURE: &str = "SWIFTSAMPLER_INSECURE";

impl ClientConfig {
    /// As [`ClientConfig::new`], with TLS and the token of the environment: `SWIFTSAMPLER_TLS_CA`, `SWIFTSAMPLER_TLS_CERT`,
    /// `SWIFTSAMPLER_TLS_KEY`, `SWIFTSAMPLER_TLS_DOMAIN`, `SWIFTSAMPLER_TOKEN` or `SWIFTSAMPLER_TOKEN_FILE`, and
    /// `SWIFTSAMPLER_INSECURE=1`. An empty variable is one that is not there.
    ///
    /// # Errors
    /// [`ClientError::Access`] when one cannot be what it says.
    pub fn from_environment(addresses: &str) -> Result<Self, ClientError> {
        let mut config = Self::new(addresses);
        config.tls.ca = of(TLS_CA)?.map(PathBuf::from);
        config.tls.cert = of(TLS_CERT)?.map(PathBuf::from);
        config.tls.key = of(TLS_KEY)?.map(PathBuf::from);
        config.tls.domain = of(TLS_DOMAIN)?;
        config.token = match (of(TOKEN)?, of(TOKEN_FILE)?) {
            (None, None) => None,
            (Some(token), None) => Some(TokenSource::Given(token.parse()?)),
            (None, Some(file)) => Some(TokenSource::File(file.into())),
            (Some(_), Some(_)) => {
                let message = format!("{TOKEN} and {TOKEN_FILE} are both set: set one");
                return Err(ClientError::Access(message));
            }
        };
        config.insecure = match of(INSECURE)?.as_deref() {
            None | Some("0" | "false") => false,
            Some("1" | "true") => true,
            Some(other) => return Err(ClientError::Access(format!("{INSECURE} is {other:?}: it must be 1 or 0"))),
        };
        Ok(config)
    }
}

fn of(name: &str) -> Result<Option<String>, ClientError> {
    match var(name) {
        Ok(value) => Ok(Some(value).filter(|value| !value.is_empty())),
        Err(VarError::NotPresent) => Ok(None),
        Err(VarError::NotUnicode(_)) => Err(ClientError::Access(format!("{name} is no text in UTF-8"))),
    }
}
