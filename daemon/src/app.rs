//! A daemon from its parts to its end: built from a configuration, served on listeners, drained.

use std::fs::{File, TryLockError};
use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use swift_sampler_proto::v1;
use swift_sampler_proto::v1::sampling_server::SamplingServer;
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tonic::service::Routes;
use tonic::transport::Server;

use crate::access::{self, Access, TokenFileError};
use crate::clock::{Clock, SystemClock};
use crate::config::{Config, RegistryPlace};
use crate::connections::{Admission, Terms, UnixSocket};
use crate::daemon::Daemon;
use crate::error::Error;
use crate::loaded::Loaded;
use crate::metrics::Metrics;
use crate::registry::{Backend, BackendError, Mirrored, Registry, Sqlite};
use crate::reload::{self, Reloaded};
use crate::replicas::{self, Replicas};
use crate::store::{Store, StoreError};
use crate::tls::{Protocol, Tls, TlsError, TlsListener};
use crate::{checks, connections, descriptors, grpc, http};

/// How often the registry is asked whether it is there, and whether another process changed it.
const POLL_INTERVAL: Duration = Duration::from_secs(1);
/// How often a silent connection is probed.
pub(crate) const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(30);
/// How long a probed connection may stay silent before it is closed.
pub(crate) const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(20);
/// Calls open at once on one connection.
pub(crate) const CALLS_A_CONNECTION_MAX: u32 = 256;
/// What a client may send ahead on one call and on one connection, in bytes.
pub(crate) const RECEIVE_WINDOW_BYTES: u32 = 4 << 20;
/// Largest frame that clients may send, in bytes.
pub(crate) const FRAME_BYTES_MAX: u32 = 512 << 10;
/// Largest headers of a call, in bytes.
pub(crate) const HEADERS_BYTES_MAX: u32 = 16 << 10;

/// Calls that a client may take back on one connection before they were begun.
pub(crate) const CALLS_RESET_MAX: usize = 20;
/// Calls on one connection that may end for a client's breach of the protocol.
pub(crate) const CALLS_IN_ERROR_MAX: usize = 128;

/// Why a daemon cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The data directory cannot be used.
    #[error("data directory {path}: {source}")]
    DataDir {
        /// Its path.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// Another daemon uses the data directory.
    #[error("data directory {0} is in use by another samplerd")]
    Locked(String),
    /// The registry cannot be opened.
    #[error(transparent)]
    Registry(#[from] BackendError),
    /// The store cannot be opened.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The metrics clash.
    #[error(transparent)]
    Metrics(#[from] prometheus::Error),
    /// The system gives no threads.
    #[error("threads to draw with: {0}")]
    Threads(#[from] rayon::ThreadPoolBuildError),
    /// The registry cannot be read.
    #[error(transparent)]
    Read(#[from] Error),
    /// The certificates cannot serve.
    #[error("TLS: {0}")]
    Tls(#[from] TlsError),
    /// The tokens cannot be read.
    #[error(transparent)]
    Tokens(#[from] TokenFileError),
}

/// Why a daemon stopped serving.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The descriptors of the protocol are not usable.
    #[error("reflection: {0}")]
    Reflection(#[from] tonic_reflection::server::Error),
    /// HTTP failed.
    #[error("HTTP: {0}")]
    Http(#[from] std::io::Error),
}

/// Where a daemon serves.
#[derive(Debug)]
pub struct Listeners {
    /// For gRPC.
    pub grpc: TcpListener,
    /// For gRPC as well, from this machine only.
    pub unix: Option<UnixSocket>,
    /// For HTTP.
    pub http: TcpListener,
}

/// A daemon, not yet serving.
#[derive(Debug)]
pub struct App {
    daemon: Arc<Daemon>,
    metrics: prometheus::Registry,
    connection_age_max: Option<Duration>,
    drain_timeout: Duration,
    advertise: Option<String>,
    scrub_interval: Option<Duration>,
    data_dir: PathBuf,
    secured: Reloaded,
    /// Held until the end: no other daemon may use the data directory.
    _lock: File,
}

impl App {
    /// Opens everything under the configuration's data directory, and checks every dataset; of a large one what is held in
    /// memory, and the rest while it is served. Blocks.
    ///
    /// A damaged dataset is logged and refused when it is asked for; the others are served.
    ///
    /// # Errors
    /// [`StartError`].
    pub fn build(config: &Config) -> Result<Self, StartError> {
        Self::build_with_clock(config, Arc::new(SystemClock))
    }

    /// As [`Self::build`], on a clock of the caller's.
    ///
    /// # Errors
    /// [`StartError`].
    pub fn build_with_clock(config: &Config, clock: Arc<dyn Clock>) -> Result<Self, StartError> {
        let lock = lock(&config.data_dir)?;
        let metrics = prometheus::Registry::new();
        let counted = Metrics::register(&metrics)?;
        let (backend, is_shared): (Arc<dyn Backend>, _) = match &config.registry {
            RegistryPlace::Sqlite => (Arc::new(Sqlite::open(&config.data_dir.join("registry.sqlite"))?), false),
            RegistryPlace::Redis(url) => {
                let mirror = config.data_dir.join("mirror.sqlite");
                (Arc::new(Mirrored::open(url.clone(), &mirror, counted.mirror.clone())?), true)
            }
        };
        let replicas = Replicas::new(&config.replicas, is_shared);
        Self::assemble(config, lock, Registry::new(backend, clock), replicas, (metrics, counted))
    }

    /// As [`Self::build`], over a registry of the caller's that other daemons use as well.
    ///
    /// # Errors
    /// [`StartError`].
    pub fn build_over(config: &Config, registry: Registry) -> Result<Self, StartError> {
        let lock = lock(&config.data_dir)?;
        let metrics = prometheus::Registry::new();
        let counted = Metrics::register(&metrics)?;
        Self::assemble(config, lock, registry, Replicas::new(&config.replicas, true), (metrics, counted))
    }

    fn assemble(
        config: &Config,
        lock: File,
        registry: Registry,
        replicas: Replicas,
        (metrics, counted): (prometheus::Registry, Metrics),
    ) -> Result<Self, StartError> {
        let tls = config.tls.clone().map(Tls::open).transpose()?.map(Arc::new);
        let certified = config.tls.as_ref().is_some_and(|tls| tls.client_ca.is_some());
        let access = Access::open(config.tokens.clone(), certified, counted.security.refused.clone())?;
        if let Some(tls) = &tls {
            counted.security.show_expiry(tls.expires_s());
        }
        let secured = Reloaded { tls, access: Arc::new(access), now: Arc::new(Notify::new()) };
        let loaded = Loaded::new(Store::open(&config.data_dir)?, config.limits.plans_bytes_max);
        let registry = registry.limited(config.limits.records);
        let daemon = Daemon::new(registry, loaded, counted, config.limits, replicas, config.parsing.clone())?;
        daemon.registry.poll().map_err(Error::from)?;
        daemon.show_registry();
        daemon.check_datasets()?;
        daemon.show_datasets()?;
        Ok(Self {
            daemon: Arc::new(daemon),
            metrics,
            connection_age_max: config.connection_age_max,
            drain_timeout: config.drain_timeout,
            advertise: config.advertise.clone(),
            scrub_interval: config.scrub_interval,
            data_dir: config.data_dir.clone(),
            secured,
            _lock: lock,
        })
    }

    /// Returns what makes the daemon look at its certificates and tokens at once, if it has any.
    #[must_use]
    pub fn reload_now(&self) -> Option<Arc<Notify>> {
        let has_any = self.secured.tls.is_some() || self.secured.access.wants_tokens();
        has_any.then(|| Arc::clone(&self.secured.now))
    }

    /// Serves until `shutdown` is done, then ends streams at a batch boundary and waits, for a limited time, until all
    /// calls have ended.
    ///
    /// # Errors
    /// [`ServeError`] when a listener fails.
    pub async fn serve(self, listeners: Listeners, shutdown: impl Future<Output = ()>) -> Result<(), ServeError> {
        let Listeners { grpc, unix, http } = listeners;
        let stop = self.daemon.shutdown.clone();
        let address = match self.advertise {
            Some(address) => address,
            None => grpc.local_addr()?.to_string(),
        };
        let Reloaded { tls, access, .. } = self.secured.clone();
        let address = if tls.is_some() { format!("https://{address}") } else { address };
        let failures = &self.daemon.metrics.security.handshake_failures;
        let listener = |tcp, protocol| TlsListener::new(tcp, tls.clone(), protocol, failures.clone());
        let (grpc, http) = (listener(grpc, Protocol::Grpc), listener(http, Protocol::Http));
        let reload = tokio::spawn(reload::follow(Arc::clone(&self.daemon), self.secured));
        let announce = tokio::spawn(replicas::announce(Arc::clone(&self.daemon), address));
        let follow = tokio::spawn(replicas::follow(Arc::clone(&self.daemon)));
        let poll = tokio::spawn(poll(Arc::clone(&self.daemon)));
        let check = tokio::spawn(checks::check(Arc::clone(&self.daemon)));
        let (scrubber, data_dir, interval) = (Arc::clone(&self.daemon), self.data_dir, self.scrub_interval);
        let scrub = tokio::spawn(async move {
            if let Some(interval) = interval {
                checks::scrub(scrubber, interval, &data_dir).await;
            }
        });
        let mut grpc = tokio::spawn(serve_grpc(
            Arc::clone(&self.daemon),
            grpc,
            unix,
            self.connection_age_max,
            Arc::clone(&access),
        ));
        let (shown, counted) = (Arc::clone(&self.daemon), self.metrics.clone());
        let mut http = tokio::spawn(async move { http::serve(shown, counted, http, &access).await });
        let failed = tokio::select! {
            () = shutdown => None,
            ended = &mut grpc => Some(flatten(ended)),
            ended = &mut http => Some(flatten(ended)),
        };
        stop.cancel();
        if let Some(failed) = failed {
            return failed;
        }
        tracing::info!("draining: streams end at a batch boundary");
        let drained = tokio::time::timeout(self.drain_timeout, async {
            let grpc = flatten((&mut grpc).await);
            let http = flatten((&mut http).await);
            let ended = tokio::try_join!(poll, announce, follow, check, scrub, reload);
            grpc.and(http).and(ended.map(drop).map_err(|error| ServeError::Http(std::io::Error::other(error))))
        });
        match drained.await {
            Ok(result) => result,
            Err(_elapsed) => {
                tracing::warn!("calls were still open after {:?}: closing them", self.drain_timeout);
                grpc.abort();
                http.abort();
                Ok(())
            }
        }
    }
}

fn flatten(ended: Result<Result<(), ServeError>, tokio::task::JoinError>) -> Result<(), ServeError> {
    ended.unwrap_or_else(|error| Err(ServeError::Http(std::io::Error::other(error))))
}

async fn serve_grpc(
    daemon: Arc<Daemon>,
    tcp: TlsListener,
    unix: Option<UnixSocket>,
    age_max: Option<Duration>,
    access: Arc<Access>,
) -> Result<(), ServeError> {
    let (health, health_service) = tonic_health::server::health_reporter();
    health.set_serving::<SamplingServer<grpc::SamplingService>>().await;
    let reflection = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(v1::FILE_DESCRIPTOR_SET)
        .build_v1()?;
    let server = Server::builder()
        .http2_keepalive_interval(Some(KEEP_ALIVE_INTERVAL))
        .http2_keepalive_timeout(Some(KEEP_ALIVE_TIMEOUT))
        .max_concurrent_streams(CALLS_A_CONNECTION_MAX)
        .initial_stream_window_size(RECEIVE_WINDOW_BYTES)
        .initial_connection_window_size(RECEIVE_WINDOW_BYTES)
        .max_frame_size(FRAME_BYTES_MAX)
        .http2_max_header_list_size(HEADERS_BYTES_MAX)
        .http2_max_pending_accept_reset_streams(Some(CALLS_RESET_MAX))
        .http2_max_local_error_reset_streams(Some(CALLS_IN_ERROR_MAX));
    let routes = Routes::new(health_service)
        .add_service(reflection)
        .add_service(grpc::sampling(&daemon))
        .add_service(grpc::control(&daemon))
        .add_service(grpc::studies(&daemon))
        .add_service(grpc::replicas(&daemon));
    let routes = grpc::limited(routes, &daemon);
    let routes = access::guard(routes, &access);
    let limits = &daemon.limits;
    let connections_max = descriptors::connections(limits.connections_max);
    let terms = Terms { admission: Admission::new(connections_max, limits.connections_a_peer_max), age_max };
    let stop = daemon.shutdown.clone();
    let stopped = async {
        stop.cancelled().await;
        health.set_not_serving::<SamplingServer<grpc::SamplingService>>().await;
    };
    let metrics = &daemon.metrics;
    let serve_unix = async {
        if let Some(unix) = unix {
            let (server, routes, terms) = (server.clone(), routes.clone(), terms.clone());
            connections::serve(unix, server, routes, terms, metrics.clone(), stop.clone()).await;
        }
    };
    let (tcp_server, tcp_routes, tcp_terms) = (server.clone(), routes.clone(), terms.clone());
    let serve_tcp = connections::serve(tcp, tcp_server, tcp_routes, tcp_terms, metrics.clone(), stop.clone());
    tokio::join!(serve_tcp, serve_unix, stopped);
    Ok(())
}

/// Asks the registry at intervals, and brings gauges up to date when another process changed it.
async fn poll(daemon: Arc<Daemon>) {
    let mut known = 0;
    loop {
        tokio::select! {
            () = daemon.shutdown.cancelled() => return,
            () = tokio::time::sleep(POLL_INTERVAL) => {}
        }
        let polled = daemon
            .with_registry(move |daemon| {
                let generation = daemon.registry.poll()?;
                if generation != known {
                    daemon.show_datasets()?;
                }
                Ok::<_, Error>(generation)
            })
            .await;
        match polled {
            Ok(generation) => {
                known = generation;
                daemon.show_registry();
            }
            Err(error) => {
                tracing::warn!(%error, "the registry did not answer");
                daemon.metrics.registry_up.set(0);
            }
        }
    }
}

fn lock(data_dir: &Path) -> Result<File, StartError> {
    let path = || data_dir.display().to_string();
    let unusable = |source| StartError::DataDir { path: path(), source };
    std::fs::create_dir_all(data_dir).map_err(unusable)?;
    let file =
        File::options().create(true).truncate(false).write(true).open(data_dir.join("lock")).map_err(unusable)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StartError::Locked(path())),
        Err(TryLockError::Error(source)) => Err(unusable(source)),
    }
}
