//! What an address of the configuration names.

use std::net::{IpAddr, SocketAddr};

use tonic::codegen::http::Uri;

use crate::ClientError;

/// A host and a port: one replica, or a DNS name of several.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    /// `http://HOST:PORT`, as calls name the daemon.
    pub(crate) uri: Uri,
    /// A DNS name, or an IP address without brackets.
    pub(crate) host: String,
    pub(crate) port: u16,
}

impl Target {
    /// Reads `HOST:PORT`, with or without `http://`.
    pub(crate) fn parse(address: &str) -> Result<Self, ClientError> {
        let refused = |reason: &str| ClientError::Address { address: address.to_owned(), reason: reason.to_owned() };
        let whole = if address.contains("://") { address.to_owned() } else { format!("http://{address}") };
        let uri: Uri = whole.parse().map_err(|error| refused(&format!("{error}")))?;
        if uri.path() != "/" || uri.query().is_some() {
            return Err(refused("nothing may follow the port"));
        }
        match (uri.scheme_str(), uri.host(), uri.port_u16()) {
            (Some("http"), Some(host), Some(port)) => {
                let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
                Ok(Self { uri, host, port })
            }
            (Some("http"), _, None) => Err(refused("the port is missing")),
            (Some("http"), None, _) => Err(refused("the host is missing")),
            _ => Err(refused("only http is spoken")),
        }
    }

    /// Returns the address itself, where no name has to be looked up.
    pub(crate) fn literal(&self) -> Option<SocketAddr> {
        self.host.parse::<IpAddr>().ok().map(|ip| SocketAddr::new(ip, self.port))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ip_address_is_its_own_replica_and_a_name_is_not() {
        let literal = |address| Target::parse(address).unwrap().literal();
        assert_eq!(literal("127.0.0.1:7431"), Some("127.0.0.1:7431".parse().unwrap()));
        assert_eq!(literal("http://[::1]:7431"), Some("[::1]:7431".parse().unwrap()));
        assert_eq!(literal("localhost:7431"), None);
    }
}
