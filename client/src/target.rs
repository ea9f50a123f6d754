//! What an address of the configuration names.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use swift_sampler_proto::unix_path;
use tonic::codegen::http::Uri;

use crate::ClientError;

/// What calls over a Unix socket name the daemon, as gRPC has it everywhere.
const UNIX_ORIGIN: &str = "http://localhost";

/// One replica, or a DNS name of several.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    /// `http://HOST:PORT` or `https://HOST:PORT`, as calls name the daemon.
    pub(crate) uri: Uri,
    pub(crate) place: Place,
}

/// Where to look for replicas.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    /// No name has to be looked up.
    Known(Address),
    /// A DNS name.
    Name { host: String, port: u16 },
}

/// Where one replica listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Address {
    Tcp(SocketAddr),
    /// A socket in this machine's file system.
    Unix(PathBuf),
}

impl fmt::Display for Address {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(formatter),
            Self::Unix(path) => write!(formatter, "{}{}", unix_path::PREFIX, path.display()),
        }
    }
}

impl Target {
    /// Reads `HOST:PORT`, with `http://`, `https://` or neither, or `unix:PATH`.
    pub(crate) fn parse(address: &str) -> Result<Self, ClientError> {
        let refused = |reason: &str| ClientError::Address { address: address.to_owned(), reason: reason.to_owned() };
        if let Some(path) = address.strip_prefix(unix_path::PREFIX) {
            unix_path::check(Path::new(path)).map_err(|error| refused(&error.to_string()))?;
            return Ok(Self { uri: Uri::from_static(UNIX_ORIGIN), place: Place::Known(Address::Unix(path.into())) });
        }
        let whole = if address.contains("://") { address.to_owned() } else { format!("http://{address}") };
        let uri: Uri = whole.parse().map_err(|error| refused(&format!("{error}")))?;
        if uri.path() != "/" || uri.query().is_some() {
            return Err(refused("nothing may follow the port"));
        }
        match (uri.scheme_str(), uri.host(), uri.port_u16()) {
            (Some("http" | "https"), Some(host), Some(port)) => {
                let host = host.trim_start_matches('[').trim_end_matches(']');
                let place = match host.parse::<IpAddr>() {
                    Ok(ip) => Place::Known(Address::Tcp(SocketAddr::new(ip, port))),
                    Err(_is_a_name) => Place::Name { host: host.to_owned(), port },
                };
                Ok(Self { uri, place })
            }
            (Some("http" | "https"), _, None) => Err(refused("the port is missing")),
            (Some("http" | "https"), None, _) => Err(refused("the host is missing")),
            _ => Err(refused("only http and https are spoken")),
        }
    }

    /// Tells whether connections are encrypted.
    pub(crate) fn is_encrypted(&self) -> bool {
        self.uri.scheme_str() == Some("https")
    }

    /// Returns the host, as a certificate names it.
    pub(crate) fn host(&self) -> &str {
        self.uri.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']')
    }

    /// Tells whether what is sent could be read on a network.
    pub(crate) fn can_be_overheard(&self) -> bool {
        let stays_here = match &self.place {
            Place::Known(Address::Tcp(address)) => address.ip().is_loopback(),
            Place::Known(Address::Unix(_)) => true,
            Place::Name { host, .. } => host.eq_ignore_ascii_case("localhost"),
        };
        !self.is_encrypted() && !stays_here
    }

    /// Returns where the replica is, where no name has to be looked up.
    pub(crate) fn literal(&self) -> Option<&Address> {
        match &self.place {
            Place::Known(address) => Some(address),
            Place::Name { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ip_address_is_its_own_replica_and_a_name_is_not() {
        let literal = |address| Target::parse(address).unwrap().literal().cloned();
        assert_eq!(literal("127.0.0.1:7431"), Some(Address::Tcp("127.0.0.1:7431".parse().unwrap())));
        assert_eq!(literal("http://[::1]:7431"), Some(Address::Tcp("[::1]:7431".parse().unwrap())));
        assert_eq!(literal("unix:/run/s.sock"), Some(Address::Unix("/run/s.sock".into())));
        assert_eq!(literal("localhost:7431"), None);
    }

    #[test]
    fn a_socket_path_that_the_system_does_not_take_is_named() {
        let long = format!("unix:/{}", "x".repeat(unix_path::BYTES_MAX));
        let error = Target::parse(&long).unwrap_err().to_string();
        assert!(error.contains(&long) && error.contains("at most 107"), "{error}");
        let error = Target::parse("unix:").unwrap_err().to_string();
        assert!(error.contains("missing") && error.contains("unix:PATH"), "{error}");
    }
}
