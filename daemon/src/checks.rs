//! Checks large datasets after they were opened, and all of them again from time to time: they are served meanwhile, and a
//! damaged one is not from then on.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use crate::daemon::Daemon;
use crate::error::{Error, off_runtime};
use crate::store::{Progress, StoreError};

/// Rest before every block of 1 MiB that a scrub reads, so that it reads at most 64 MiB a second.
const SCRUB_REST: Duration = Duration::from_micros(15_625);
/// File of the data directory that is written after every scrub, which tells when that was.
const SCRUBBED_FILE: &str = "scrubbed";

/// Checks one dataset after the other until the daemon goes down.
pub(crate) async fn check(daemon: Arc<Daemon>) {
    let stop = daemon.shutdown.clone();
    stop.run_until_cancelled(async {
        loop {
            let hash = daemon.loaded.unchecked().next().await;
            check_one(&daemon, &hash, None).await;
            daemon.loaded.unchecked().done(&hash);
        }
    })
    .await;
}

/// Checks all datasets that are here at intervals, whether or not the daemon was started again meanwhile, until it goes down.
pub(crate) async fn scrub(daemon: Arc<Daemon>, interval: Duration, data_dir: &Path) {
    let (stop, scrubbed) = (daemon.shutdown.clone(), data_dir.join(SCRUBBED_FILE));
    let scrub = async {
        loop {
            let last = std::fs::metadata(&scrubbed).and_then(|metadata| metadata.modified()).ok();
            let passed = last.and_then(|last| SystemTime::now().duration_since(last).ok()).unwrap_or_default();
            tokio::time::sleep(interval.saturating_sub(passed)).await;
            scrub_all(&daemon).await;
            if let Err(error) = std::fs::write(&scrubbed, []) {
                tracing::warn!(%error, "when datasets were scrubbed could not be noted");
                tokio::time::sleep(interval).await;
            }
        }
    };
    stop.run_until_cancelled(scrub).await;
}

async fn scrub_all(daemon: &Arc<Daemon>) {
    let started = Instant::now();
    let hashes = match daemon.with_registry(|daemon| daemon.loaded.store().hashes()).await {
        Ok(hashes) => hashes,
        Err(error) => {
            tracing::warn!(%error, "the datasets that are here cannot be listed");
            return;
        }
    };
    for hash in &hashes {
        check_one(daemon, hash, Some(SCRUB_REST)).await;
    }
    daemon.metrics.show_scrubbed(hashes.len(), started.elapsed());
}

async fn check_one(daemon: &Arc<Daemon>, hash: &str, rest: Option<Duration>) {
    let (checker, of) = (Arc::clone(daemon), hash.to_owned());
    let checked = off_runtime(move || {
        let progress = Progress::new(checker.shutdown.clone());
        let progress = match rest {
            Some(rest) => progress.resting(rest),
            None => progress,
        };
        checker.loaded.store().check(&of, &progress)
    })
    .await;
    match checked {
        Ok(()) => tracing::info!(hash, "checked all of a dataset"),
        Err(Error::Store(StoreError::Interrupted)) => {}
        Err(error) => {
            tracing::error!(hash, %error, "a dataset is no longer served");
            let of = hash.to_owned();
            let shown = daemon.with_registry(move |daemon| {
                daemon.loaded.forget(&of);
                daemon.show_damaged(&of)
            });
            if let Err(error) = shown.await {
                tracing::warn!(hash, %error, "the gauges do not show that a dataset is damaged");
            }
        }
    }
}
