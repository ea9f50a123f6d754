//! Where the daemon is, and how long to wait for it.

pub(crate) mod environment;

use std::num::NonZeroU8;
use std::str::FromStr;
use std::time::Duration;

use crate::target::Target;
use crate::{ClientError, TlsConfig, TokenSource};

/// Connections to each replica. They are made when needed, so a client with one stream at a time has one.
///
/// An HTTP/2 connection is one lock, one task and one share of the network, whatever the number of its streams: past a
/// few streams that are read as fast as they come, more connections help. A daemon, in turn, pays buffers for each.
const CONNECTIONS_DEFAULT: NonZeroU8 = NonZeroU8::new(4).expect("four is not zero");

/// Where the daemon is, and how long to wait for it.
///
/// Made from an address (`"127.0.0.1:7431"`, `"http://host:7431"`, or `"unix:PATH"` where the daemon of this machine
/// was given `--listen-unix PATH`; `"https://host:7431"` where the daemon was given certificates) or several addresses separated by commas. A DNS name may have several records, as a
/// Kubernetes Service without a cluster IP has; each of them is a replica.
///
/// Calls and windows of batches go to the replicas in turn. One that failed is left out until it answers again, so long
/// as there are others. Every setting has a default; see [`ClientConfig::new`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientConfig {
    /// Addresses of replicas, or names of several; all give the same answers.
    pub addresses: Vec<String>,
    /// Most connections to one replica, over which calls and streams are spread. Default 4.
    pub connections: NonZeroU8,
    /// Longest wait for one connection. Default 5 s.
    pub connect_timeout: Duration,
    /// Longest wait for the answer to one call, or for the next message of a batch stream. Default 60 s.
    pub request_timeout: Duration,
    /// The same while another replica can be asked instead, so that one that hangs is soon left. Default 5 s.
    ///
    /// Calls that must not be made twice wait for `request_timeout`.
    pub stall_timeout: Duration,
    /// How long a daemon that was reached before is tried again; `None`: without end. Default 60 s.
    ///
    /// A call that is under way when this has passed may still take its time-out.
    pub retry_deadline: Option<Duration>,
    /// How long it is tried before it has ever been reached: a wrong address should not take `retry_deadline` to show.
    /// Never longer than `retry_deadline`. Default 2 s.
    pub first_contact_deadline: Duration,
    /// How daemons of `https://` addresses are known.
    pub tls: TlsConfig,
    /// The token that calls show; it is sent encrypted or within this machine only, unless `insecure`.
    pub token: Option<TokenSource>,
    /// Sends the token even where others on the network can read it.
    pub insecure: bool,
}

impl ClientConfig {
    /// Where `samplerd` listens by default.
    pub const ADDRESS_DEFAULT: &'static str = "127.0.0.1:7431";

    /// Takes an address, or several separated by commas, and the defaults of everything else.
    #[must_use]
    pub fn new(addresses: &str) -> Self {
        Self {
            addresses: addresses.split(',').map(|address| address.trim().to_owned()).collect(),
            connections: CONNECTIONS_DEFAULT,
            connect_timeout: Duration::from_secs(5),
            request_timeout: Duration::from_secs(60),
            stall_timeout: Duration::from_secs(5),
            retry_deadline: Some(Duration::from_secs(60)),
            first_contact_deadline: Duration::from_secs(2),
            tls: TlsConfig::default(),
            token: None,
            insecure: false,
        }
    }

    /// Returns what the addresses name.
    pub(crate) fn targets(&self) -> Result<Vec<Target>, ClientError> {
        if self.addresses.is_empty() {
            return Err(ClientError::Address { address: String::new(), reason: "there is none".into() });
        }
        let targets: Vec<_> = self.addresses.iter().map(|address| Target::parse(address)).collect::<Result<_, _>>()?;
        if self.token.is_some() && !self.insecure {
            for (target, address) in targets.iter().zip(&self.addresses) {
                if target.can_be_overheard() {
                    return Err(ClientError::Access(format!(
                        "daemon address {address:?}: the token would be sent where others can read it; write \
                         https://HOST:PORT, or say that this is meant (SWIFTSAMPLER_INSECURE=1)"
                    )));
                }
            }
        }
        Ok(targets)
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
        config.targets()?;
        Ok(config)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_come_with_or_without_a_scheme_and_in_lists() {
        for text in [
            "127.0.0.1:7431",
            "http://sampler.example:7431",
            "[::1]:7431",
            "a:1, b:2",
            "unix:/run/s, a:1",
            "https://a:1",
        ] {
            text.parse::<ClientConfig>().unwrap();
        }
        assert_eq!(ClientConfig::new("a:1, b:2").addresses, ["a:1", "b:2"]);
    }

    #[test]
    fn a_token_is_not_sent_where_others_can_read_it_unless_that_is_meant() {
        let with = |addresses: &str, insecure| {
            let token = Some(TokenSource::Given("sst_secret".parse().unwrap()));
            ClientConfig { token, insecure, ..ClientConfig::new(addresses) }.targets()
        };
        for safe in ["127.0.0.1:1", "[::1]:1", "localhost:1", "unix:/run/s", "https://a:1", "https://10.0.0.1:1"] {
            assert!(with(safe, false).is_ok(), "{safe}");
        }
        for open in ["10.0.0.1:1", "a:1", "http://a:1", "https://a:1,b:1"] {
            let error = with(open, false).unwrap_err().to_string();
            assert!(error.contains("https://HOST:PORT") && !error.contains("sst_secret"), "{error}");
            assert!(with(open, true).is_ok(), "{open}");
        }
    }

    #[test]
    fn an_unfit_address_is_named() {
        for text in ["", "localhost", "ftp://localhost:1", "a:1,,b:2", "a:99999", "a:1/path"] {
            let error = text.parse::<ClientConfig>().unwrap_err();
            assert!(matches!(&error, ClientError::Address { .. }), "{text}: {error}");
            assert_eq!(error.exit_code(), 3);
        }
    }
}
