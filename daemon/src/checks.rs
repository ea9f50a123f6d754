//! Checks large datasets after they were opened: they are served meanwhile, and a damaged one is not from then on.

use std::sync::Arc;

use crate::daemon::Daemon;
use crate::error::{Error, off_runtime};
use crate::store::{Progress, StoreError};

/// Checks one dataset after the other until the daemon goes down.
pub(crate) async fn check(daemon: Arc<Daemon>) {
    let stop = daemon.shutdown.clone();
    stop.run_until_cancelled(async {
        loop {
            let hash = daemon.loaded.unchecked().next().await;
            check_one(&daemon, &hash).await;
            daemon.loaded.unchecked().done(&hash);
        }
    })
    .await;
}

async fn check_one(daemon: &Arc<Daemon>, hash: &str) {
    let (checker, of) = (Arc::clone(daemon), hash.to_owned());
    let checked = off_runtime(move || {
        let progress = Progress::new(checker.shutdown.clone());
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
