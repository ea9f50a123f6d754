//! Where a shared registry is: one server, or a master that Sentinels name.

use std::fmt;
use std::str::FromStr;

use redis::{ConnectionAddr, ConnectionInfo, IntoConnectionInfo, RedisConnectionInfo};

/// The forms of an address, for messages.
const FORMS: &str = "redis://[USER:PASSWORD@]HOST:PORT[/DATABASE], or \
                         redis-sentinel://[USER:PASSWORD@]HOST:PORT,HOST:PORT/MASTER[/DATABASE]";
/// Port of a Sentinel that names none.
const SENTINEL_PORT: u16 = 26_379;

/// A server's host and port.
pub(super) type Address = (String, u16);

/// Where a shared registry is. Neither `Display` nor `Debug` shows the password.
#[derive(Clone)]
pub struct RedisUrl {
    servers: Servers,
    /// User, password and database of the server that holds the registry.
    login: RedisConnectionInfo,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Servers {
    /// This server.
    One(Address),
    /// The server that these Sentinels name as the master of this name.
    Sentinels { sentinels: Vec<Address>, master: String },
}

/// An address that is not one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}: right would be {FORMS}")]
pub struct RedisUrlError {
    reason: String,
}

impl RedisUrl {
    pub(super) fn servers(&self) -> &Servers {
        &self.servers
    }

    /// Returns how a connection to a server that holds the registry is opened.
    pub(super) fn login_at(&self, (host, port): &Address) -> Result<ConnectionInfo, redis::RedisError> {
        let connection = ConnectionAddr::Tcp(host.clone(), *port).into_connection_info()?;
        Ok(connection.set_redis_settings(self.login.clone()))
    }
}

impl FromStr for RedisUrl {
    type Err = RedisUrlError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Some(rest) = text.strip_prefix("redis-sentinel://") {
            return sentinels(rest);
        }
        if !text.starts_with("redis://") {
            return Err(refuse("the scheme is neither redis:// nor redis-sentinel://"));
        }
        let (address, login) = server(text)?;
        Ok(Self { servers: Servers::One(address), login })
    }
}

/// Parses `[USER:PASSWORD@]HOST:PORT,…/MASTER[/DATABASE]`.
fn sentinels(rest: &str) -> Result<RedisUrl, RedisUrlError> {
    let (authority, path) =
        rest.split_once('/').ok_or_else(|| refuse("the name of the master is missing after the Sentinels"))?;
    let (credentials, hosts) = authority.rsplit_once('@').unwrap_or(("", authority));
    let (master, database) = path.split_once('/').unwrap_or((path, ""));
    if master.is_empty() {
        return Err(refuse("the name of the master is empty"));
    }
    let sentinels = hosts.split(',').map(sentinel).collect::<Result<_, _>>()?;
    // The host is of no account here: this is how credentials and database are read in the other form.
    let at = if credentials.is_empty() { String::new() } else { format!("{credentials}@") };
    let (_, login) = server(&format!("redis://{at}localhost/{database}"))?;
    Ok(RedisUrl { servers: Servers::Sentinels { sentinels, master: master.to_owned() }, login })
}

fn sentinel(host: &str) -> Result<Address, RedisUrlError> {
    let (host, port) = match host.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => {
            (host, port.parse().map_err(|_not_a_port| refuse("the port of a Sentinel is not a number up to 65535"))?)
        }
        _ => (host, SENTINEL_PORT),
    };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    if host.is_empty() { Err(refuse("a Sentinel has no host")) } else { Ok((host.to_owned(), port)) }
}

fn server(url: &str) -> Result<(Address, RedisConnectionInfo), RedisUrlError> {
    // What redis-rs says may quote the address, and with it the password.
    let info = url.into_connection_info().map_err(|_may_quote| refuse("host, port or database cannot be read"))?;
    match info.addr() {
        ConnectionAddr::Tcp(host, port) if !host.is_empty() => {
            Ok(((host.clone(), *port), info.redis_settings().clone().set_skip_set_lib_name()))
        }
        _ => Err(refuse("there is no host")),
    }
}

fn refuse(reason: &str) -> RedisUrlError {
    RedisUrlError { reason: reason.to_owned() }
}

impl fmt::Display for RedisUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, hosts, master) = match &self.servers {
            Servers::One((host, port)) => ("redis", format!("{host}:{port}"), String::new()),
            Servers::Sentinels { sentinels, master } => {
                let hosts: Vec<_> = sentinels.iter().map(|(host, port)| format!("{host}:{port}")).collect();
                ("redis-sentinel", hosts.join(","), format!("/{master}"))
            }
        };
        let user = self.login.username().map(|user| format!("{user}@")).unwrap_or_default();
        write!(formatter, "{scheme}://{user}{hosts}{master}")?;
        if self.login.db() == 0 { Ok(()) } else { write!(formatter, "/{}", self.login.db()) }
    }
}

impl fmt::Debug for RedisUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "RedisUrl({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> String {
        text.parse::<RedisUrl>().unwrap().to_string()
    }

    #[test]
    fn addresses_are_shown_as_given_but_for_the_password() {
        for text in [
            "redis://127.0.0.1:6379",
            "redis://host:7000/3",
            "redis-sentinel://a:26379,b:26380/main",
            "redis-sentinel://a:26379/main/2",
        ] {
            assert_eq!(shown(text), text);
        }
        assert_eq!(shown("redis://me:s%3Acret@host:6379"), "redis://me@host:6379");
        assert_eq!(shown("redis://:secret@host:6379/1"), "redis://host:6379/1");
        assert_eq!(shown("redis-sentinel://me:secret@a,b:1/main"), "redis-sentinel://me@a:26379,b:1/main");
        let url: RedisUrl = "redis://me:s%3Acret@host:6379".parse().unwrap();
        assert!(!format!("{url:?}").contains("cret"));
        assert_eq!(url.login.password(), Some("s:cret"));
    }

    #[test]
    fn what_is_no_address_is_refused_with_the_right_form_and_without_the_password() {
        for text in [
            "rediss://me:secret@host:1",
            "redis://me:secret@host:port",
            "redis://me:secret@host:1/x",
            "redis-sentinel://me:secret@a:1",
            "redis-sentinel://me:secret@a:1/",
            "redis-sentinel://me:secret@a:99999/m",
            "redis-sentinel://me:secret@a:1/m/x",
        ] {
            let error = text.parse::<RedisUrl>().unwrap_err().to_string();
            assert!(error.contains("redis://[USER:PASSWORD@]HOST:PORT") && !error.contains("secret"), "{error}");
        }
    }
}
