//! How a daemon is to run: flags, else environment, else the file, else defaults.

mod flags;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use swift_sampler_proto::unix_path::{self, UnixPathError};

use crate::limits::{Limits, Setting};
use crate::parsing::Parsing;
use crate::registry::{RedisUrl, RedisUrlError};
use crate::replicas::{PeerAccess, ReplicaSettings};
use crate::tls::TlsFiles;
use flags::FileSettings;

pub use flags::{Flags, LogFormat};

/// Age at which a connection retires unless told otherwise.
pub(crate) const CONNECTION_AGE_MAX_DEFAULT: Duration = Duration::from_secs(30 * 60);
/// Seconds after which a connection may be told to retire at most.
const CONNECTION_AGE_MAX_MAX_S: u64 = 365 * 24 * 3600;

/// Seconds that calls may take to end unless told otherwise: with [`ABANDON_AFTER`], within the 30 s that Kubernetes, Docker and
/// systemd wait, or more, before they kill.
pub(crate) const DRAIN_TIMEOUT_DEFAULT_S: u64 = 20;
/// Seconds that they may be told to take at most.
const DRAIN_TIMEOUT_MAX_S: u64 = 24 * 3600;
/// How long work that was not done when the drain ended may still take.
pub const ABANDON_AFTER: Duration = Duration::from_secs(1);
const _: () =
    assert!(DRAIN_TIMEOUT_DEFAULT_S + ABANDON_AFTER.as_secs() < 30, "a daemon that is told to end is gone in 30 s");

/// Seconds between two checks of all stored datasets unless told otherwise.
const SCRUB_INTERVAL_DEFAULT_S: u64 = 24 * 3600;
/// Seconds that may be between them at most.
const SCRUB_INTERVAL_MAX_S: u64 = 365 * 24 * 3600;

/// Seconds that a dataset removed elsewhere is kept unless told otherwise.
const REMOVAL_GRACE_DEFAULT_S: u64 = 10 * 60;
/// Seconds that it may be kept at most.
const REMOVAL_GRACE_MAX_S: u64 = 365 * 24 * 3600;

/// How a daemon is to run, checked.
#[derive(Debug, Clone)]
pub struct Config {
    /// Directory of the registry and of imported columns.
    pub data_dir: PathBuf,
    /// Address of gRPC.
    pub listen: SocketAddr,
    /// Unix socket on which gRPC is served as well.
    pub listen_unix: Option<PathBuf>,
    /// Address of HTTP.
    pub http: SocketAddr,
    /// Where records are kept.
    pub registry: RegistryPlace,
    /// What is logged.
    pub log: String,
    /// How it is logged.
    pub log_format: LogFormat,
    /// What may be asked of it.
    pub limits: Limits,
    /// Age at which a connection retires; `None`: never.
    pub connection_age_max: Option<Duration>,
    /// How long calls may take to end once the daemon is told to.
    pub drain_timeout: Duration,
    /// Where other daemons reach this one; `None`: where it listens.
    pub advertise: Option<String>,
    /// Its certificates; `None`: nothing is encrypted.
    pub tls: Option<TlsFiles>,
    /// The file of tokens; `None`: none are asked for.
    pub tokens: Option<PathBuf>,
    /// How it works together with others.
    pub replicas: ReplicaSettings,
    /// Where users' files are parsed: in the daemon's own process, unless whoever resolved this says which program does it.
    pub parsing: Parsing,
    /// Time between two checks of all stored datasets; `None`: none are made.
    pub scrub_interval: Option<Duration>,
}

/// Where records are kept.
#[derive(Debug, Clone)]
pub enum RegistryPlace {
    /// In the data directory, for this daemon alone.
    Sqlite,
    /// In Redis or Valkey, for all daemons of the same address.
    Redis(RedisUrl),
}

/// Why the settings do not make a configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("config file {path}: {reason}")]
    File {
        /// Its path.
        path: String,
        /// Why.
        reason: String,
    },
    /// Calls would have too long to end.
    #[error("drain_timeout is {0} s: it must be at most {DRAIN_TIMEOUT_MAX_S}")]
    DrainTimeout(u64),
    /// No data directory.
    #[error("no data directory: give --data-dir DIR, SAMPLERD_DATA_DIR, or data_dir in the config file")]
    NoDataDir,
    /// No path that a Unix socket can have.
    #[error("listen_unix is {path:?}: {reason}", path = .path.display())]
    ListenUnix {
        /// What was given.
        path: PathBuf,
        /// Why a socket cannot have it.
        reason: UnixPathError,
    },
    /// Neither SQLite nor an address of Redis. What was given is not shown where it may hold a password.
    #[error("registry{shown}: {reason}, or sqlite", shown = shown(.given))]
    Registry {
        /// What was given.
        given: String,
        /// Why it is no address of Redis.
        reason: RedisUrlError,
    },
    /// A limit that cannot be kept.
    #[error("{name} is {given}: it must be from {start} to {end}", name = .setting.name, start = .setting.range.start(), end = .setting.range.end())]
    Limit {
        /// The limit.
        setting: &'static Setting,
        /// What was given.
        given: u64,
    },
    /// A connection's age that no connection reaches.
    #[error("max_connection_age is {0} s: it must be at most {CONNECTION_AGE_MAX_MAX_S}, or 0 for never")]
    ConnectionAge(u64),
    /// A time that no clock counts to.
    #[error("removal_grace is {0} s: it must be at most {REMOVAL_GRACE_MAX_S}")]
    RemovalGrace(u64),
    /// A time that no clock counts to.
    #[error("scrub_interval is {0} s: it must be at most {SCRUB_INTERVAL_MAX_S}, or 0 for never")]
    ScrubInterval(u64),
    /// No address that other daemons could reach.
    #[error("advertise is {0:?}: it must be HOST:PORT, such as samplerd-0.samplerd:7431, with a port above 0")]
    Advertise(String),
    /// No address that other daemons could reach is known.
    #[error(
        "listening on {0} does not say where the other daemons of the registry reach this one: give --advertise HOST:PORT"
    )]
    NoAdvertise(SocketAddr),
    /// A certificate without its key, or the other way round.
    #[error("{given} is given without {missing}: TLS needs both")]
    TlsHalf {
        /// What is given.
        given: &'static str,
        /// What is not.
        missing: &'static str,
    },
    /// An address that other machines reach.
    #[error(
        "{name} {address} can be reached from other machines: give {missing}, use a loopback address such as 127.0.0.1, \
         or say --insecure"
    )]
    Exposed {
        /// The flag.
        name: &'static str,
        /// The address.
        address: SocketAddr,
        /// What would make that safe.
        missing: &'static str,
    },
}

impl Config {
    /// Brings flags, environment, file and defaults together.
    ///
    /// # Errors
    /// [`ConfigError`] naming the setting that is wrong.
    pub fn resolve(flags: Flags) -> Result<Self, ConfigError> {
        let file = flags.config.as_deref().map(read_file).transpose()?.unwrap_or_default();
        let connection_age_max_s =
            flags.max_connection_age.or(file.max_connection_age).unwrap_or(CONNECTION_AGE_MAX_DEFAULT.as_secs());
        let removal_grace_s = flags.removal_grace.or(file.removal_grace).unwrap_or(REMOVAL_GRACE_DEFAULT_S);
        let drain_timeout_s = flags.drain_timeout.or(file.drain_timeout).unwrap_or(DRAIN_TIMEOUT_DEFAULT_S);
        let limits_of_file = file.limits();
        let limits = Limits::from_settings(|setting| {
            let given = flags.limits.get(setting.name).or_else(|| limits_of_file.get(setting.name));
            let value = given.unwrap_or(setting.default);
            if setting.range.contains(&value) { Ok(value) } else { Err(ConfigError::Limit { setting, given: value }) }
        })?;
        let scrub_interval_s = flags.scrub_interval.or(file.scrub_interval).unwrap_or(SCRUB_INTERVAL_DEFAULT_S);
        let loopback = |port| SocketAddr::from(([127, 0, 0, 1], port));
        let tls = tls(
            flags.tls_cert.or(file.tls_cert),
            flags.tls_key.or(file.tls_key),
            flags.tls_client_ca.or(file.tls_client_ca),
        )?;
        let peers = PeerAccess {
            ca: flags.peer_tls_ca.or(file.peer_tls_ca),
            token_file: flags.peer_token_file.or(file.peer_token_file),
            own: tls.clone(),
        };
        let config = Self {
            data_dir: flags.data_dir.or(file.data_dir).ok_or(ConfigError::NoDataDir)?,
            listen: flags.listen.or(file.listen).unwrap_or(loopback(7431)),
            listen_unix: flags.listen_unix.or(file.listen_unix),
            http: flags.http.or(file.http).unwrap_or(loopback(7432)),
            log: flags.log.or(file.log).unwrap_or_else(|| "info".to_owned()),
            log_format: flags.log_format.or(file.log_format).unwrap_or_default(),
            registry: registry(flags.registry.or(file.registry).as_deref())?,
            limits,
            tls,
            tokens: flags.tokens.or(file.tokens),
            advertise: flags.advertise.or(file.advertise),
            replicas: ReplicaSettings {
                shared_dir: flags.shared_dir.or(file.shared_dir),
                removal_grace: Duration::from_secs(removal_grace_s),
                peers,
            },
            drain_timeout: Duration::from_secs(drain_timeout_s),
            parsing: Parsing::InProcess,
            scrub_interval: (scrub_interval_s > 0).then(|| Duration::from_secs(scrub_interval_s)),
            connection_age_max: (connection_age_max_s > 0).then(|| Duration::from_secs(connection_age_max_s)),
        };
        if let Some(path) = &config.listen_unix {
            unix_path::check(path).map_err(|reason| ConfigError::ListenUnix { path: path.clone(), reason })?;
        }
        if connection_age_max_s > CONNECTION_AGE_MAX_MAX_S {
            return Err(ConfigError::ConnectionAge(connection_age_max_s));
        }
        if drain_timeout_s > DRAIN_TIMEOUT_MAX_S {
            return Err(ConfigError::DrainTimeout(drain_timeout_s));
        }
        if scrub_interval_s > SCRUB_INTERVAL_MAX_S {
            return Err(ConfigError::ScrubInterval(scrub_interval_s));
        }
        if removal_grace_s > REMOVAL_GRACE_MAX_S {
            return Err(ConfigError::RemovalGrace(removal_grace_s));
        }
        if let Some(advertise) = &config.advertise {
            if !is_host_and_port(advertise) {
                return Err(ConfigError::Advertise(advertise.clone()));
            }
        } else if matches!(config.registry, RegistryPlace::Redis(_)) && config.listen.ip().is_unspecified() {
            return Err(ConfigError::NoAdvertise(config.listen));
        }
        if !(flags.insecure || file.insecure.unwrap_or(false)) {
            for (name, address) in [("--listen", config.listen), ("--http", config.http)] {
                if let Some(missing) = config.missing_to_be_reached().filter(|_| !address.ip().is_loopback()) {
                    return Err(ConfigError::Exposed { name, address, missing });
                }
            }
        }
        Ok(config)
    }

    /// Returns what has to be given before other machines may reach the daemon, if anything.
    fn missing_to_be_reached(&self) -> Option<&'static str> {
        let knows_callers = |tls: &TlsFiles| self.tokens.is_some() || tls.client_ca.is_some();
        match (&self.tls, &self.tokens) {
            (None, None) => Some("--tls-cert FILE and --tls-key FILE, and --tokens FILE or --tls-client-ca FILE"),
            (None, Some(_)) => Some("--tls-cert FILE and --tls-key FILE"),
            (Some(tls), _) => (!knows_callers(tls)).then_some("--tokens FILE or --tls-client-ca FILE"),
        }
    }
}

fn tls(
    certificate: Option<PathBuf>,
    key: Option<PathBuf>,
    client_ca: Option<PathBuf>,
) -> Result<Option<TlsFiles>, ConfigError> {
    let half = |given, missing| Err(ConfigError::TlsHalf { given, missing });
    match (certificate, key, client_ca) {
        (Some(certificate), Some(key), client_ca) => Ok(Some(TlsFiles { certificate, key, client_ca })),
        (None, None, None) => Ok(None),
        (Some(_), None, _) => half("--tls-cert", "--tls-key"),
        (None, Some(_), _) => half("--tls-key", "--tls-cert"),
        (None, None, Some(_)) => half("--tls-client-ca", "--tls-cert and --tls-key"),
    }
}

fn registry(given: Option<&str>) -> Result<RegistryPlace, ConfigError> {
    match given {
        None | Some("sqlite") => Ok(RegistryPlace::Sqlite),
        Some(url) => match url.parse() {
            Ok(url) => Ok(RegistryPlace::Redis(url)),
            Err(reason) => Err(ConfigError::Registry { given: url.to_owned(), reason }),
        },
    }
}

/// Returns what was given for a registry, as a message shows it: not at all if it has a place for a password.
fn shown(given: &str) -> String {
    if given.contains('@') { String::new() } else { format!(" {given:?}") }
}

fn is_host_and_port(text: &str) -> bool {
    let host_and_port = text.rsplit_once(':').filter(|(host, _)| !host.is_empty() && !host.contains('/'));
    host_and_port.is_some_and(|(_, port)| port.parse::<u16>().is_ok_and(|port| port > 0))
}

fn read_file(path: &Path) -> Result<FileSettings, ConfigError> {
    let error = |reason: String| ConfigError::File { path: path.display().to_string(), reason };
    let text = std::fs::read_to_string(path).map_err(|source| error(source.to_string()))?;
    // The whole error would quote the line, which may hold the registry's password.
    toml::from_str(&text).map_err(|source| {
        let line = source.span().map_or(0, |span| text[..span.start].lines().count().max(1));
        error(format!("line {line}: {}", source.message()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::SETTINGS;
    use clap::Parser;

    fn flags(arguments: &[&str]) -> Flags {
        Flags::try_parse_from([&["samplerd"], arguments].concat()).unwrap()
    }

    #[test]
    fn flags_win_over_the_file_and_the_file_over_defaults() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("samplerd.toml");
        std::fs::write(&path, "data_dir = \"/file\"\nlisten = \"127.0.0.1:1\"\nstreams_max = 7\n").unwrap();
        let path = path.to_str().unwrap();
        let config = Config::resolve(flags(&["--config", path, "--listen", "127.0.0.1:2"])).unwrap();
        assert_eq!(config.data_dir, Path::new("/file"));
        assert_eq!((config.listen.port(), config.http.port()), (2, 7432));
        assert_eq!(config.limits.streams_max, 7);
    }

    #[test]
    fn an_exposed_address_needs_to_be_meant() {
        let exposed = ["--data-dir", "/d", "--listen", "0.0.0.0:0"];
        let error = Config::resolve(flags(&exposed)).unwrap_err().to_string();
        assert!(error.contains("--insecure") && error.contains("--tls-cert FILE"), "{error}");
        let with = |more: &[&str]| Config::resolve(flags(&[&exposed[..], more].concat()));
        assert!(with(&["--insecure"]).is_ok());
        let tls = ["--tls-cert", "c", "--tls-key", "k"];
        let missing = |more: &[&str]| with(more).unwrap_err().to_string();
        assert!(missing(&tls).contains("give --tokens FILE or --tls-client-ca FILE, use"), "{}", missing(&tls));
        assert!(missing(&["--tokens", "t"]).contains("give --tls-cert FILE and --tls-key FILE, use"));
        assert!(with(&[&tls[..], &["--tokens", "t"]].concat()).is_ok());
        assert!(with(&[&tls[..], &["--tls-client-ca", "a"]].concat()).is_ok());
    }

    #[test]
    fn a_certificate_comes_with_its_key() {
        for (given, missing) in
            [("--tls-cert", "--tls-key"), ("--tls-key", "--tls-cert"), ("--tls-client-ca", "--tls-cert")]
        {
            let error = Config::resolve(flags(&["--data-dir", "/d", given, "f"])).unwrap_err().to_string();
            assert!(error.starts_with(&format!("{given} is given without {missing}")), "{error}");
        }
    }

    #[test]
    fn a_unix_socket_comes_from_flag_or_file_and_has_a_path_that_the_system_takes() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("samplerd.toml");
        std::fs::write(&file, "data_dir = \"/d\"\nlisten_unix = \"/run/file.sock\"\n").unwrap();
        let given = ["--config", file.to_str().unwrap()];
        let listen_unix = |given: &[&str]| Config::resolve(flags(given)).unwrap().listen_unix;
        assert_eq!(listen_unix(&given).as_deref(), Some(Path::new("/run/file.sock")));
        let both = [&given[..], &["--listen-unix", "/run/flag.sock"]].concat();
        assert_eq!(listen_unix(&both).as_deref(), Some(Path::new("/run/flag.sock")));
        let long = format!("/{}", "x".repeat(unix_path::BYTES_MAX));
        let error = Config::resolve(flags(&["--data-dir", "/d", "--listen-unix", &long])).unwrap_err().to_string();
        assert!(error.contains(&long) && error.contains("108 bytes") && error.contains("at most 107"), "{error}");
    }

    #[test]
    fn every_limit_is_set_by_its_flag_or_in_the_file_and_by_default_as_the_page_says() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("samplerd.toml");
        for setting in SETTINGS {
            let other = setting.default - 1;
            let of = |limits: Limits| {
                let mut value = None;
                let shown = format!("{limits:?}");
                let name = format!("{}: ", setting.name);
                if let Some((_, rest)) = shown.split_once(&name) {
                    value = Some(rest.split([',', ' ', '}']).next().unwrap().trim_end_matches('s').to_owned());
                }
                value.unwrap_or_else(|| panic!("no {name}in {shown}"))
            };
            let flagged = Config::resolve(flags(&["--data-dir", "/d", &setting.flag(), &other.to_string()])).unwrap();
            assert_eq!(of(flagged.limits), other.to_string(), "{}", setting.name);
            std::fs::write(&path, format!("data_dir = \"/d\"\n{} = {other}\n", setting.name)).unwrap();
            let filed = Config::resolve(flags(&["--config", path.to_str().unwrap()])).unwrap();
            assert_eq!(of(filed.limits), other.to_string(), "{}", setting.name);
            let plain = Config::resolve(flags(&["--data-dir", "/d"])).unwrap();
            assert_eq!(of(plain.limits), setting.default.to_string(), "{}", setting.name);
        }
    }

    #[test]
    fn numbers_of_streams_that_cannot_be_served_are_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("samplerd.toml");
        std::fs::write(&path, "streams_max = 1048577\n").unwrap();
        let file = ["--config", path.to_str().unwrap()];
        for given in [&["--streams-max", "18446744073709551615"], &["--streams-max", "0"], &file] {
            let error = Config::resolve(flags(&[&["--data-dir", "/d"], &given[..]].concat())).unwrap_err().to_string();
            assert!(error.contains("it must be from 1 to 1048576"), "{error}");
        }
        let most = flags(&["--data-dir", "/d", "--streams-max", "1048576"]);
        assert!(tokio::sync::Semaphore::MAX_PERMITS >= Config::resolve(most).unwrap().limits.streams_max);
    }

    #[test]
    fn connections_may_live_for_ever_but_not_for_longer_than_clocks_count() {
        let age = |given| Config::resolve(flags(&["--data-dir", "/d", "--max-connection-age", given]));
        assert_eq!(age("0").unwrap().connection_age_max, None);
        assert_eq!(age("1").unwrap().connection_age_max, Some(Duration::from_secs(1)));
        let error = age("18446744073709551615").unwrap_err().to_string();
        assert!(error.contains("at most 31536000"), "{error}");
    }

    #[test]
    fn a_registry_is_sqlite_or_an_address_of_redis() {
        let with = |registry| Config::resolve(flags(&["--data-dir", "/d", "--registry", registry]));
        assert!(matches!(with("sqlite").unwrap().registry, RegistryPlace::Sqlite));
        assert!(matches!(with("redis://127.0.0.1:6379/1").unwrap().registry, RegistryPlace::Redis(_)));
        let error = with("postgres://me:secret@host").unwrap_err().to_string();
        assert!(error.contains("redis://") && error.contains("sqlite") && !error.contains("secret"), "{error}");
        let error = with("redsi://host:6379").unwrap_err().to_string();
        assert!(error.starts_with("registry \"redsi://host:6379\": the scheme is neither redis://"), "{error}");
    }

    #[test]
    fn an_advertised_address_has_a_host_and_a_port() {
        let advertise = |given| Config::resolve(flags(&["--data-dir", "/d", "--advertise", given]));
        for good in ["samplerd-0.samplerd:7431", "10.0.0.7:1", "[::1]:7431"] {
            assert_eq!(advertise(good).unwrap().advertise.as_deref(), Some(good));
        }
        for bad in ["samplerd-0", ":7431", "a:0", "a:65536", "http://a:1", ""] {
            let error = advertise(bad).unwrap_err().to_string();
            assert!(error.contains("HOST:PORT"), "{bad}: {error}");
        }
    }

    #[test]
    fn a_daemon_that_listens_everywhere_must_say_where_others_of_its_registry_reach_it() {
        let anywhere = ["--data-dir", "/d", "--insecure", "--listen", "0.0.0.0:7431"];
        assert!(Config::resolve(flags(&anywhere)).is_ok(), "with a registry of its own it need not");
        let shared = [&anywhere[..], &["--registry", "redis://127.0.0.1:6379"]].concat();
        let error = Config::resolve(flags(&shared)).unwrap_err().to_string();
        assert!(error.contains("--advertise HOST:PORT") && error.contains("0.0.0.0:7431"), "{error}");
        assert!(Config::resolve(flags(&[&shared[..], &["--advertise", "a:7431"]].concat())).is_ok());
    }

    #[test]
    fn an_unknown_setting_in_the_file_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("samplerd.toml");
        std::fs::write(&path, "data_dri = \"/file\"\n").unwrap();
        let error = Config::resolve(flags(&["--config", path.to_str().unwrap()])).unwrap_err().to_string();
        assert!(error.contains("line 1") && error.contains("data_dri"), "{error}");
        std::fs::write(&path, "data_dir = \"/d\"\nregistry = redis://me:secret@host:1\n").unwrap();
        let error = Config::resolve(flags(&["--config", path.to_str().unwrap()])).unwrap_err().to_string();
        assert!(error.contains("line 2") && !error.contains("secret"), "{error}");
    }
}
