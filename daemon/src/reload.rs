//! Certificates and tokens are looked at again while the daemon serves.

use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;

use prometheus::IntCounter;
use tokio::sync::Notify;

use crate::access::Access;
use crate::daemon::Daemon;
use crate::tls::Tls;

/// How often the files are read; they are small, and a clock of a file system may be too coarse to tell a change.
const RELOAD_INTERVAL: Duration = Duration::from_secs(2);

/// What has files that may change.
#[derive(Debug, Clone)]
pub(crate) struct Reloaded {
    pub(crate) tls: Option<Arc<Tls>>,
    pub(crate) access: Arc<Access>,
    /// Told when it is not to wait.
    pub(crate) now: Arc<Notify>,
}

/// Looks at the files at intervals, and when told to, until the daemon goes down.
pub(crate) async fn follow(daemon: Arc<Daemon>, reloaded: Reloaded) {
    loop {
        tokio::select! {
            () = daemon.shutdown.cancelled() => return,
            () = tokio::time::sleep(RELOAD_INTERVAL) => {}
            () = reloaded.now.notified() => {}
        }
        let (of, to) = (reloaded.clone(), Arc::clone(&daemon));
        if let Err(error) = tokio::task::spawn_blocking(move || look(&to, &of)).await {
            tracing::error!(%error, "certificates and tokens cannot be looked at");
        }
    }
}

fn look(daemon: &Daemon, reloaded: &Reloaded) {
    let metrics = &daemon.metrics.security;
    if let Some(tls) = &reloaded.tls {
        note("certificates", tls.reload(), &metrics.tls_reload_failures);
        metrics.show_expiry(tls.expires_s());
    }
    note("tokens", reloaded.access.reload(), &metrics.tokens_reload_failures);
}

fn note(what: &str, reload: Result<bool, impl Display>, failures: &IntCounter) {
    match reload {
        Ok(true) => tracing::info!("new {what} are in force"),
        Ok(false) => {}
        Err(error) => {
            failures.inc();
            tracing::error!(%error, "the {what} changed and cannot be taken: those before stay in force");
        }
    }
}
