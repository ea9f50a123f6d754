//! `samplerd`: configuration, listeners, one line on stdout, serve, drain.

use std::io::{IsTerminal, Write, stderr, stdout};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use swift_sampler_daemon::app::{App, Listeners, StartError};
use swift_sampler_daemon::config::{ABANDON_AFTER, Config, ConfigError, Flags, LogFormat};
use swift_sampler_daemon::connections::{UnixSocket, UnixSocketError};
use swift_sampler_daemon::descriptors;
use swift_sampler_daemon::parsing::{self, Parsing};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

/// Exit codes beyond success; clap exits with the one for usage by itself.
#[derive(Debug, Clone, Copy)]
enum Failure {
    Failed = 1,
    Usage = 2,
    Config = 3,
    Unavailable = 4,
    BadData = 5,
}

fn main() -> ExitCode {
    if std::env::args_os().nth(1).is_some_and(|first| first == parsing::CHILD_ARGUMENT) {
        return parsing::run_child();
    }
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err((failure, error)) => {
            eprintln!("samplerd: {error:#}");
            ExitCode::from(failure as u8)
        }
    }
}

fn run() -> Result<(), (Failure, anyhow::Error)> {
    let mut config = Config::resolve(Flags::parse()).map_err(|error| (config_failure(&error), error.into()))?;
    config.parsing = Parsing::Child(this_program().map_err(|error| (Failure::Failed, error.into()))?);
    start_log(&config).map_err(|error| (Failure::Config, error))?;
    descriptors::raise();
    let app = App::build(&config).map_err(|error| (start_failure(&error), error.into()))?;
    let runtime = tokio::runtime::Runtime::new().map_err(|error| (Failure::Failed, error.into()))?;
    let served = runtime.block_on(serve(&config, app));
    // Dropping the runtime would wait for blocking work, such as an import, however long that takes.
    runtime.shutdown_timeout(ABANDON_AFTER);
    served
}

/// Names this program, so that it is this one also when another was installed meanwhile.
fn this_program() -> std::io::Result<PathBuf> {
    if cfg!(target_os = "linux") { Ok("/proc/self/exe".into()) } else { std::env::current_exe() }
}

async fn serve(config: &Config, app: App) -> Result<(), (Failure, anyhow::Error)> {
    let (grpc, http) = (bind(config.listen).await?, bind(config.http).await?);
    let unix = match &config.listen_unix {
        Some(path) => Some(UnixSocket::bind(path).await.map_err(|error| (unix_failure(&error), error.into()))?),
        None => None,
    };
    let listeners = Listeners { grpc, unix, http };
    let failed = |error: std::io::Error| (Failure::Failed, error.into());
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    if let Some(now) = app.reload_now() {
        let mut hangup = signal(SignalKind::hangup()).map_err(failed)?;
        tokio::spawn(async move {
            while hangup.recv().await.is_some() {
                now.notify_one();
            }
        });
    }
    announce(&listeners).map_err(failed)?;
    let shutdown = async move {
        tokio::select! {
            _ = terminate.recv() => tracing::info!("SIGTERM"),
            _ = interrupt.recv() => tracing::info!("SIGINT"),
        }
    };
    app.serve(listeners, shutdown).await.map_err(|error| (Failure::Failed, error.into()))
}

async fn bind(address: std::net::SocketAddr) -> Result<TcpListener, (Failure, anyhow::Error)> {
    let listener = TcpListener::bind(address).await;
    listener.map_err(|error| (Failure::Unavailable, anyhow::anyhow!("cannot listen on {address}: {error}")))
}

/// Tells whoever started the daemon where it serves: connections are accepted from here on.
fn announce(listeners: &Listeners) -> std::io::Result<()> {
    let mut line = serde_json::json!({
        "grpc": listeners.grpc.local_addr()?.to_string(),
        "http": listeners.http.local_addr()?.to_string(),
    });
    if let Some(unix) = &listeners.unix {
        line["unix"] = serde_json::json!(unix.path());
    }
    let mut stdout = stdout().lock();
    writeln!(stdout, "{line}")?;
    stdout.flush()
}

fn start_log(config: &Config) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(&config.log)
        .map_err(|error| anyhow::anyhow!("--log {:?}: {error}: it must be a level or filters by module", config.log))?;
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(stderr).with_ansi(stderr().is_terminal());
    let started = match config.log_format {
        LogFormat::Text => log.try_init(),
        LogFormat::Json => log.json().try_init(),
    };
    started.map_err(|error| anyhow::anyhow!("the log cannot be started: {error}"))
}

fn config_failure(error: &ConfigError) -> Failure {
    match error {
        ConfigError::NoDataDir => Failure::Usage,
        _ => Failure::Config,
    }
}

fn unix_failure(error: &UnixSocketError) -> Failure {
    match error {
        UnixSocketError::NoSocket(_) => Failure::Config,
        UnixSocketError::InUse(_) | UnixSocketError::Refused { .. } => Failure::Unavailable,
    }
}

fn start_failure(error: &StartError) -> Failure {
    use swift_sampler_daemon::registry::BackendError;
    match error {
        StartError::DataDir { .. } | StartError::Tls(_) | StartError::Tokens(_) => Failure::Config,
        StartError::Locked(_) | StartError::Registry(BackendError::Unavailable(_)) => Failure::Unavailable,
        StartError::Registry(BackendError::Unusable(_)) | StartError::Read(_) => Failure::BadData,
        StartError::Store(_) | StartError::Metrics(_) | StartError::Threads(_) => Failure::Failed,
    }
}
