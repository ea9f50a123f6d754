//! What a user may set, as it is given.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, ValueEnum};
use serde::Deserialize;

/// Serves weighted batches of examples to training jobs.
#[derive(Debug, Clone, Default, Parser)]
#[command(name = "samplerd", version, about)]
pub struct Flags {
    /// Directory of the registry and of imported columns; created if it is not there.
    #[arg(long, env = "SAMPLERD_DATA_DIR", value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// Address of gRPC; port 0 takes a free one. [default: 127.0.0.1:7431]
    #[arg(long, env = "SAMPLERD_LISTEN", value_name = "ADDRESS:PORT")]
    pub listen: Option<SocketAddr>,
    /// Unix socket on which gRPC is served as well, for clients on this machine, which name it unix:PATH. Its mode is 0600:
    /// only the daemon's user may connect. What a dead daemon left there is replaced; removed at the end.
    #[arg(long, env = "SAMPLERD_LISTEN_UNIX", value_name = "PATH")]
    pub listen_unix: Option<PathBuf>,
    /// Address of metrics, health and the page; port 0 takes a free one. [default: 127.0.0.1:7432]
    #[arg(long, env = "SAMPLERD_HTTP", value_name = "ADDRESS:PORT")]
    pub http: Option<SocketAddr>,
    /// Where records are kept: sqlite (in the data directory), redis://HOST:PORT/DATABASE, or
    /// redis-sentinel://HOST:PORT,HOST:PORT/MASTER/DATABASE, with USER:PASSWORD@ before the hosts and /DATABASE left out
    /// as need be. Several daemons may share what is not sqlite. [default: sqlite]
    #[arg(long, env = "SAMPLERD_REGISTRY", hide_env_values = true, value_name = "REGISTRY")]
    pub registry: Option<String>,
    /// TOML file with any of these settings, named as the flags with underscores.
    #[arg(long, env = "SAMPLERD_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Certificate of the daemon, and those between it and the authority (PEM): gRPC and HTTP are encrypted. Looked at
    /// again every 2 seconds and on SIGHUP.
    #[arg(long, env = "SAMPLERD_TLS_CERT", value_name = "FILE")]
    pub tls_cert: Option<PathBuf>,
    /// Its private key (PEM).
    #[arg(long, env = "SAMPLERD_TLS_KEY", value_name = "FILE")]
    pub tls_key: Option<PathBuf>,
    /// Authorities (PEM) of which clients of gRPC have to show a certificate. HTTP's /metrics and / need one, or a token.
    #[arg(long, env = "SAMPLERD_TLS_CLIENT_CA", value_name = "FILE")]
    pub tls_client_ca: Option<PathBuf>,
    /// Tokens of those who may call, and what (TOML; `samplerctl token new` makes them). Looked at again every 2 seconds
    /// and on SIGHUP.
    #[arg(long, env = "SAMPLERD_TOKENS", value_name = "FILE")]
    pub tokens: Option<PathBuf>,
    /// Accepts addresses that other machines reach without TLS, or with neither tokens nor client certificates.
    #[arg(long, env = "SAMPLERD_INSECURE")]
    pub insecure: bool,
    /// What is logged, to stderr: error, warn, info, debug, trace, or filters by module. [default: info]
    #[arg(long, env = "SAMPLERD_LOG", value_name = "FILTER")]
    pub log: Option<String>,
    /// How it is logged. [default: text]
    #[arg(long, env = "SAMPLERD_LOG_FORMAT", value_name = "FORMAT")]
    pub log_format: Option<LogFormat>,
    /// How much may be asked of it; docs/limits.md has all limits.
    #[command(flatten)]
    pub limits: LimitFlags,
    /// Age in seconds, give or take a tenth, at which a connection retires, so that clients spread anew over the daemons
    /// behind one name; 0: never. [default: 1800]
    #[arg(long, env = "SAMPLERD_MAX_CONNECTION_AGE", value_name = "SECONDS")]
    pub max_connection_age: Option<u64>,
    /// How many seconds calls may take to end once the daemon is told to (SIGTERM); what is still open then is closed. With 1 s more,
    /// the longest time to exit. [default: 20]
    #[arg(long, env = "SAMPLERD_DRAIN_TIMEOUT", value_name = "SECONDS")]
    pub drain_timeout: Option<u64>,
    /// Folder that all daemons of a registry mount: imports put a copy there, and daemons fetch from it what they
    /// lack. Its file system must be able to rename directories.
    #[arg(long, env = "SAMPLERD_SHARED_DIR", value_name = "DIR")]
    pub shared_dir: Option<PathBuf>,
    /// Where other daemons of the registry reach this one's gRPC. [default: the address it listens on]
    #[arg(long, env = "SAMPLERD_ADVERTISE", value_name = "HOST:PORT")]
    pub advertise: Option<String>,
    /// How many seconds a dataset's copy is kept after the dataset was removed through another daemon. [default: 600]
    #[arg(long, env = "SAMPLERD_REMOVAL_GRACE", value_name = "SECONDS")]
    pub removal_grace: Option<u64>,
    /// Seconds after which all stored datasets are checked again, at up to 64 MiB a second; 0: never. [default: 86400]
    #[arg(long, env = "SAMPLERD_SCRUB_INTERVAL", value_name = "SECONDS")]
    pub scrub_interval: Option<u64>,
    /// Authorities (PEM) that the certificates of the registry's other daemons may be of. [default: this machine's]
    #[arg(long, env = "SAMPLERD_PEER_TLS_CA", value_name = "FILE")]
    pub peer_tls_ca: Option<PathBuf>,
    /// File with the token that the registry's other daemons are shown; its role must be admin.
    #[arg(long, env = "SAMPLERD_PEER_TOKEN_FILE", value_name = "FILE")]
    pub peer_token_file: Option<PathBuf>,
}

/// The [limits](crate::limits::Limits) as they are given.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Limits")]
pub struct LimitFlags {
    /// Connections of gRPC open at once. [default: 8,192]
    #[arg(long, env = "SAMPLERD_CONNECTIONS_MAX", value_name = "COUNT")]
    pub connections_max: Option<u64>,
    /// Connections from one address. [default: 2,048]
    #[arg(long, env = "SAMPLERD_CONNECTIONS_A_PEER_MAX", value_name = "COUNT")]
    pub connections_a_peer_max: Option<u64>,
    /// Calls open at once, streams among them. [default: 20,000]
    #[arg(long, env = "SAMPLERD_CALLS_MAX", value_name = "COUNT")]
    pub calls_max: Option<u64>,
    /// Streams open at once, 1 to 1,048,576. [default: 16,384]
    #[arg(long, env = "SAMPLERD_STREAMS_MAX", value_name = "COUNT")]
    pub streams_max: Option<u64>,
    /// Bytes of batches on their way to clients. [default: 128 MiB]
    #[arg(long, env = "SAMPLERD_ANSWER_BYTES_MAX", value_name = "BYTES")]
    pub answer_bytes_max: Option<u64>,
    /// Bytes of requests being received. [default: 64 MiB]
    #[arg(long, env = "SAMPLERD_REQUEST_BYTES_MAX", value_name = "BYTES")]
    pub request_bytes_max: Option<u64>,
    /// Seconds that a call may take to answer, or to begin to; uploads may take longer. [default: 120]
    #[arg(long, env = "SAMPLERD_REQUEST_TIMEOUT", value_name = "SECONDS")]
    pub request_timeout: Option<u64>,
    /// Bytes of the plans of epochs without repeats that are kept. [default: 512 MiB]
    #[arg(long, env = "SAMPLERD_PLANS_BYTES_MAX", value_name = "BYTES")]
    pub plans_bytes_max: Option<u64>,
    /// Bytes of one import. [default: 64 GiB]
    #[arg(long, env = "SAMPLERD_IMPORT_BYTES_MAX", value_name = "BYTES")]
    pub import_bytes_max: Option<u64>,
    /// Rows of one dataset. [default: 2^30]
    #[arg(long, env = "SAMPLERD_ROWS_MAX", value_name = "COUNT")]
    pub rows_max: Option<u64>,
    /// Address space of the process that parses the files of one upload. [default: 4 GiB]
    #[arg(long, env = "SAMPLERD_PARSE_MEMORY_BYTES_MAX", value_name = "BYTES")]
    pub parse_memory_bytes_max: Option<u64>,
    /// Seconds in which the files of one upload are parsed. [default: 3600]
    #[arg(long, env = "SAMPLERD_PARSE_TIMEOUT", value_name = "SECONDS")]
    pub parse_timeout: Option<u64>,
    /// Datasets kept. [default: 1,024]
    #[arg(long, env = "SAMPLERD_DATASETS_MAX", value_name = "COUNT")]
    pub datasets_max: Option<u64>,
    /// Sampler versions of one dataset. [default: 16,384]
    #[arg(long, env = "SAMPLERD_SAMPLERS_A_DATASET_MAX", value_name = "COUNT")]
    pub samplers_a_dataset_max: Option<u64>,
    /// Jobs kept. [default: 16,384]
    #[arg(long, env = "SAMPLERD_JOBS_MAX", value_name = "COUNT")]
    pub jobs_max: Option<u64>,
    /// Studies kept. [default: 4,096]
    #[arg(long, env = "SAMPLERD_STUDIES_MAX", value_name = "COUNT")]
    pub studies_max: Option<u64>,
}

impl LimitFlags {
    /// Returns what is given of a setting.
    pub(super) fn get(&self, name: &str) -> Option<u64> {
        match name {
            "connections_max" => self.connections_max,
            "connections_a_peer_max" => self.connections_a_peer_max,
            "calls_max" => self.calls_max,
            "streams_max" => self.streams_max,
            "answer_bytes_max" => self.answer_bytes_max,
            "request_bytes_max" => self.request_bytes_max,
            "request_timeout" => self.request_timeout,
            "plans_bytes_max" => self.plans_bytes_max,
            "import_bytes_max" => self.import_bytes_max,
            "rows_max" => self.rows_max,
            "parse_memory_bytes_max" => self.parse_memory_bytes_max,
            "parse_timeout" => self.parse_timeout,
            "datasets_max" => self.datasets_max,
            "samplers_a_dataset_max" => self.samplers_a_dataset_max,
            "jobs_max" => self.jobs_max,
            "studies_max" => self.studies_max,
            _ => unreachable!("{name} is no limit"),
        }
    }
}

/// How log lines look.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// The settings in a file; all may be left out.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FileSettings {
    pub(super) data_dir: Option<PathBuf>,
    pub(super) listen: Option<SocketAddr>,
    pub(super) listen_unix: Option<PathBuf>,
    pub(super) http: Option<SocketAddr>,
    pub(super) registry: Option<String>,
    pub(super) tls_cert: Option<PathBuf>,
    pub(super) tls_key: Option<PathBuf>,
    pub(super) tls_client_ca: Option<PathBuf>,
    pub(super) tokens: Option<PathBuf>,
    pub(super) insecure: Option<bool>,
    pub(super) log: Option<String>,
    pub(super) log_format: Option<LogFormat>,
    pub(super) connections_max: Option<u64>,
    pub(super) connections_a_peer_max: Option<u64>,
    pub(super) calls_max: Option<u64>,
    pub(super) streams_max: Option<u64>,
    pub(super) answer_bytes_max: Option<u64>,
    pub(super) request_bytes_max: Option<u64>,
    pub(super) request_timeout: Option<u64>,
    pub(super) plans_bytes_max: Option<u64>,
    pub(super) import_bytes_max: Option<u64>,
    pub(super) rows_max: Option<u64>,
    pub(super) parse_memory_bytes_max: Option<u64>,
    pub(super) parse_timeout: Option<u64>,
    pub(super) datasets_max: Option<u64>,
    pub(super) samplers_a_dataset_max: Option<u64>,
    pub(super) jobs_max: Option<u64>,
    pub(super) studies_max: Option<u64>,
    pub(super) max_connection_age: Option<u64>,
    pub(super) drain_timeout: Option<u64>,
    pub(super) shared_dir: Option<PathBuf>,
    pub(super) advertise: Option<String>,
    pub(super) removal_grace: Option<u64>,
    pub(super) scrub_interval: Option<u64>,
    pub(super) peer_tls_ca: Option<PathBuf>,
    pub(super) peer_token_file: Option<PathBuf>,
}

impl FileSettings {
    /// Returns the limits.
    pub(super) fn limits(&self) -> LimitFlags {
        LimitFlags {
            connections_max: self.connections_max,
            connections_a_peer_max: self.connections_a_peer_max,
            calls_max: self.calls_max,
            streams_max: self.streams_max,
            answer_bytes_max: self.answer_bytes_max,
            request_bytes_max: self.request_bytes_max,
            request_timeout: self.request_timeout,
            plans_bytes_max: self.plans_bytes_max,
            import_bytes_max: self.import_bytes_max,
            rows_max: self.rows_max,
            parse_memory_bytes_max: self.parse_memory_bytes_max,
            parse_timeout: self.parse_timeout,
            datasets_max: self.datasets_max,
            samplers_a_dataset_max: self.samplers_a_dataset_max,
            jobs_max: self.jobs_max,
            studies_max: self.studies_max,
        }
    }
}
