//! Contents come and go: a dataset's, and those of its revisions.

use std::sync::Arc;

use crate::daemon::Daemon;
use crate::error::{Error, off_runtime};
use crate::store::{Built, StoreError};

/// Makes content off the runtime; what the end of the daemon interrupts says so.
pub(super) async fn make<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    off_runtime(work).await.map_err(|error| match error.store() {
        Some(StoreError::Interrupted) => Error::ShuttingDown,
        _ => error,
    })
}

/// Stores what was made, here and in the shared folder, and registers it: what is acknowledged is where other daemons find
/// it. What is refused is deleted again, unless a dataset has the same content.
pub(super) async fn keep<T: Send + 'static>(
    daemon: &Arc<Daemon>,
    built: Built,
    register: impl FnOnce(&Daemon) -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    let _placing = daemon.place().await;
    let hash = built.hash().to_owned();
    daemon.with_registry(move |daemon| daemon.loaded.store().keep(&built)).await?;
    if let Err(error) = daemon.replicas.share(&hash, &daemon.loaded.store().place(&hash)).await {
        forget(daemon, hash).await?;
        return Err(error.into());
    }
    let registered = daemon.with_registry(register).await;
    // Where the registry did not answer, it may have the content all the same.
    if registered.as_ref().is_err_and(Error::is_refusal) && forget(daemon, hash.clone()).await? {
        daemon.replicas.unshare(&hash).await?;
    }
    registered
}

/// Deletes what was stored and is in no record, unless a dataset has the same content; tells whether it did.
async fn forget(daemon: &Arc<Daemon>, hash: String) -> Result<bool, Error> {
    let forgotten = daemon.with_registry(move |daemon| {
        let datasets = daemon.registry.datasets()?;
        let is_needed = datasets.iter().any(|dataset| dataset.hashes().any(|of| of == hash));
        if !is_needed {
            daemon.loaded.forget(&hash);
            daemon.loaded.store().remove(&hash)?;
        }
        Ok::<_, Error>(!is_needed)
    });
    forgotten.await
}

/// Removes from the registry, and deletes the contents that no dataset has any more, which `removed` returns.
pub(super) async fn remove(
    daemon: &Arc<Daemon>,
    removed: impl FnOnce(&Daemon) -> Result<Vec<String>, Error> + Send + 'static,
) -> Result<(), Error> {
    let _placing = daemon.place().await;
    let remove = move |daemon: &Daemon| {
        let orphans = removed(daemon)?;
        for hash in &orphans {
            daemon.loaded.forget(hash);
            daemon.loaded.store().remove(hash)?;
        }
        daemon.show_committed();
        Ok::<_, Error>(orphans)
    };
    for hash in daemon.with_registry(remove).await? {
        if let Err(error) = daemon.replicas.unshare(&hash).await {
            // It is in no record. Daemons that hold a copy try again when they delete that.
            tracing::warn!(hash, %error, "removed columns are still in the shared folder");
        }
    }
    Ok(())
}

/// Deletes the revisions of a dataset's features that nothing refers to any more. The call that it follows has done its work:
/// a failure is logged, and what is left goes with the next one.
pub(super) async fn drop_revisions(daemon: &Arc<Daemon>, dataset: String) {
    let name = dataset.clone();
    let dropped = remove(daemon, move |daemon| Ok(daemon.registry.drop_revisions(&name)?));
    if let Err(error) = dropped.await {
        tracing::warn!(dataset, %error, "revisions of features that nothing needs are still kept");
    }
}
