//! Where the daemon is, and how long to wait for it.

use std::str::FromStr;
use std::time::Duration;

use crate::ClientError;

/// Where the daemon is, and how long to wait for it.
///
/// Made from an address (`"127.0.0.1:7431"`, `"http://host:7431"`) or several replicas' addresses separated by commas.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientConfig {
    /// Addresses of replicas, tried in turn; all give the same answers.
    pub addresses: Vec<String>,
    /// Longest wait for one connection.
    pub connect_timeout: Duration,
    /// Longest wait for the answer to one call, or for the next message of a batch stream.
    pub request_timeout: Duration,
    /// How long an unreachable daemon is tried again, once it has been reached.
    pub retry_deadline: Duration,
    /// How long it is tried before it has ever been reached: a wrong address should not take `retry_deadline` to show.
    pub first_contact_deadline: Duration,
}

impl ClientConfig {
    /// Where `samplerd` listens by default.
    pub const ADDRESS_DEFAULT: &'static str = "127.0.0.1:7431";

    /// Takes an address, or several separated by commas, and the default waits.
    #[must_use]
    pub fn new(addresses: &str) -> Self {
        Self {
            addresses: addresses.split(',').map(|address| address.trim().to_owned()).collect(),
            connect_timeout: Duration::from_secs(5),
            request_timeout: Duration::from_secs(60),
            retry_deadline: Duration::from_secs(60),
            first_contact_deadline: Duration::from_secs(2),
        }
    }
}

impl Default for ClientConfig {
    fn default() -> Self {
        Self::new(Self::ADDRESS_DEFAULT)
    }
}

impl From<&str> for ClientConfig {
    fn from(addresses: &str) -> Self {
        Self::new(addresses)
    }
}

impl From<String> for ClientConfig {
    fn from(addresses: String) -> Self {
        Self::new(&addresses)
    }
}

impl FromStr for ClientConfig {
    type Err = ClientError;

    fn from_str(addresses: &str) -> Result<Self, ClientError> {
        let config = Self::new(addresses);
        config.uris()?;
        Ok(config)
    }
}

impl ClientConfig {
    /// Returns the addresses as URIs.
    pub(crate) fn uris(&self) -> Result<Vec<tonic::codegen::http::Uri>, ClientError> {
        let refused = |address: &str, reason: &str| ClientError::Address {
            address: address.to_owned(),
            reason: reason.to_owned(),
        };
        if self.addresses.is_empty() {
            return Err(refused("", "there is none"));
        }
        let uri = |address: &String| {
            let whole = if address.contains("://") { address.clone() } else { format!("http://{address}") };
            let uri: tonic::codegen::http::Uri =
                whole.parse().map_err(|error| refused(address, &format!("{error}")))?;
            match (uri.scheme_str(), uri.port_u16()) {
                (Some("http"), Some(_)) => Ok(uri),
                (Some("http"), None) => Err(refused(address, "the port is missing")),
                _ => Err(refused(address, "only http is spoken")),
            }
        };
        self.addresses.iter().map(uri).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_come_with_or_without_a_scheme_and_in_lists() {
        for text in ["127.0.0.1:7431", "http://sampler.example:7431", "[::1]:7431", "a:1, b:2"] {
            text.parse::<ClientConfig>().unwrap();
        }
        assert_eq!(ClientConfig::new("a:1, b:2").addresses, ["a:1", "b:2"]);
    }

    #[test]
    fn an_unfit_address_is_named() {
        for text in ["", "localhost", "ftp://localhost:1", "a:1,,b:2", "a:99999"] {
            let error = text.parse::<ClientConfig>().unwrap_err();
            assert!(matches!(&error, ClientError::Address { .. }), "{text}: {error}");
            assert_eq!(error.exit_code(), 3);
        }
    }
}
