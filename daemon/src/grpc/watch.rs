//! Tells watchers which sampler is active.

use std::sync::Arc;

use swift_sampler_proto::v1;
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use super::convert;
use crate::connections::ConnectionInfo;
use crate::daemon::Daemon;
use crate::error::Error;
use crate::registry::ActiveRecord;

/// Changes that wait for a watcher. One that is slower sees the latest of those it missed.
const QUEUE: usize = 4;

/// Returns a stream of the active sampler: at once, and after every change.
pub(super) async fn watch(
    daemon: &Arc<Daemon>,
    dataset: String,
    connection: ConnectionInfo,
) -> Result<ReceiverStream<Result<v1::ActiveSampler, Status>>, Error> {
    let permit = daemon.admit_stream(connection.peer())?;
    // Subscribed before the first reading, so that no change falls between.
    let changes = daemon.registry.watch();
    let active = read_active(daemon, &dataset).await?;
    let (sender, receiver) = mpsc::channel(QUEUE);
    let daemon = Arc::clone(daemon);
    tokio::spawn(async move {
        let _permit = permit;
        let fed = tokio::select! {
            biased;
            () = connection.streams_end() => Err(Error::ConnectionRetired),
            fed = feed(&daemon, &dataset, active, changes, &sender) => fed,
        };
        if let Err(error) = fed {
            // The watcher may be gone already.
            sender.send(Err(error.into())).await.ok();
        }
    });
    Ok(ReceiverStream::new(receiver))
}

async fn feed(
    daemon: &Arc<Daemon>,
    dataset: &str,
    mut active: ActiveRecord,
    mut changes: watch::Receiver<u64>,
    sender: &mpsc::Sender<Result<v1::ActiveSampler, Status>>,
) -> Result<(), Error> {
    loop {
        if sender.send(Ok(convert::active(dataset.to_owned(), &active))).await.is_err() {
            return Ok(());
        }
        let told = active.generation;
        while active.generation <= told {
            tokio::select! {
                () = daemon.shutdown.cancelled() => return Err(Error::ShuttingDown),
                () = sender.closed() => return Ok(()),
                changed = changes.changed() => if changed.is_err() { return Ok(()) },
            }
            active = read_active(daemon, dataset).await?;
        }
    }
}

async fn read_active(daemon: &Arc<Daemon>, dataset: &str) -> Result<ActiveRecord, Error> {
    let dataset = dataset.to_owned();
    daemon.with_registry(move |daemon| daemon.registry.active(&dataset)).await
}
