//! One fetch at a time of each dataset, from whichever source gives it whole.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tokio::sync::{Semaphore, watch};

use super::receiving::SourceError;
use super::{FetchError, peer};
use crate::daemon::Daemon;
use crate::error::{Error, off_runtime};
use crate::store::StoreError;

/// Datasets fetched at once; others wait.
const FETCHES_MAX: usize = 2;
/// How often all sources are asked before a fetch fails. Only a transfer that broke off is worth another round.
const ROUNDS_MAX: u32 = 3;
/// Pause before the second round, twice as long before the third, give or take half.
const ROUND_PAUSE: Duration = Duration::from_millis(200);

type Outcome = Result<(), FetchError>;

/// The datasets that are being fetched.
#[derive(Debug)]
pub(super) struct Flights {
    open: Mutex<HashMap<String, watch::Receiver<Option<Outcome>>>>,
    places: Semaphore,
}

impl Default for Flights {
    fn default() -> Self {
        Self { open: Mutex::default(), places: Semaphore::new(FETCHES_MAX) }
    }
}

impl Flights {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, watch::Receiver<Option<Outcome>>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where a dataset may be.
enum Source {
    SharedFolder,
    Peer(String),
}

impl Source {
    /// Returns the kind, as metrics label it.
    fn kind(&self) -> &'static str {
        match self {
            Self::SharedFolder => "shared_folder",
            Self::Peer(_) => "peer",
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SharedFolder => formatter.write_str("the shared folder"),
            Self::Peer(address) => write!(formatter, "the daemon at {address}"),
        }
    }
}

impl Daemon {
    /// Fetches a dataset, or waits for a fetch under way. What is here and whole is fetched no more.
    ///
    /// # Errors
    /// [`FetchError`]; when `wait_max` is over the fetch goes on.
    pub async fn fetch_dataset(self: &Arc<Self>, hash: &str, wait_max: Duration) -> Result<(), FetchError> {
        let mut flight = self.flight(hash);
        let slow = || FetchError::Slow { hash: hash.to_owned(), waited_s: wait_max.as_secs() };
        match tokio::time::timeout(wait_max, flight.wait_for(Option::is_some)).await {
            Ok(Ok(outcome)) => outcome.clone().unwrap_or_else(|| Err(slow())),
            Ok(Err(_abandoned)) => {
                let reasons = "samplerd is shutting down".to_owned();
                Err(FetchError::Nowhere { hash: hash.to_owned(), reasons })
            }
            Err(_elapsed) => Err(slow()),
        }
    }

    /// Joins the fetch of a dataset, or begins one.
    fn flight(self: &Arc<Self>, hash: &str) -> watch::Receiver<Option<Outcome>> {
        let mut open = self.replicas.flights.lock();
        if let Some(flight) = open.get(hash) {
            return flight.clone();
        }
        let (sender, receiver) = watch::channel(None);
        open.insert(hash.to_owned(), receiver.clone());
        drop(open);
        let flight = Flight { daemon: Arc::clone(self), hash: hash.to_owned(), sender };
        let stop = self.shutdown.clone();
        tokio::spawn(async move { stop.run_until_cancelled(flight.fly()).await });
        receiver
    }
}

/// One fetch; it ends when dropped.
struct Flight {
    daemon: Arc<Daemon>,
    hash: String,
    sender: watch::Sender<Option<Outcome>>,
}

impl Drop for Flight {
    fn drop(&mut self) {
        self.daemon.replicas.flights.lock().remove(&self.hash);
    }
}

impl Flight {
    async fn fly(self) {
        let outcome = self.fetch().await;
        if let Err(error) = &outcome {
            tracing::warn!(%error, "a dataset was not fetched");
        }
        self.sender.send_replace(Some(outcome));
    }

    async fn fetch(&self) -> Outcome {
        let Ok(_place) = self.daemon.replicas.flights.places.acquire().await else { return Ok(()) };
        let unkept = |error: Error| FetchError::Unkept { hash: self.hash.clone(), reason: error.to_string() };
        let (mut round, mut damaged_share) = (1, false);
        loop {
            if self.is_here().await {
                return Ok(());
            }
            let (mut reasons, mut broke_off) = (Vec::new(), false);
            for source in self.sources().await.map_err(unkept)? {
                let started = Instant::now();
                let reason = match self.fetch_from(&source).await {
                    Ok(bytes) => {
                        self.note(&source, bytes, started.elapsed());
                        if damaged_share {
                            self.mend_share();
                        }
                        return Ok(());
                    }
                    Err(SourceError::Absent) => "does not have it".to_owned(),
                    Err(SourceError::Damaged(reason)) => {
                        damaged_share |= matches!(source, Source::SharedFolder);
                        format!("has a damaged copy: {reason}")
                    }
                    Err(SourceError::Broken(reason)) => {
                        broke_off = true;
                        reason
                    }
                    Err(SourceError::Unkept(error)) => return Err(unkept(error.into())),
                };
                self.daemon.metrics.fetch_failures.with_label_values(&[source.kind()]).inc();
                tracing::info!(hash = self.hash, %source, reason, "a source did not give a dataset");
                reasons.push(format!("{source}: {reason}"));
            }
            if !broke_off || round == ROUNDS_MAX {
                let none = "no other daemon is known, and there is no shared folder".to_owned();
                let reasons = if reasons.is_empty() { none } else { reasons.join("; ") };
                return Err(FetchError::Nowhere { hash: self.hash.clone(), reasons });
            }
            tokio::time::sleep((ROUND_PAUSE * round).mul_f64(0.5 + fastrand::f64())).await;
            round += 1;
        }
    }

    /// Begins to replace a damaged copy in the shared folder by the one that was fetched.
    fn mend_share(&self) {
        let (daemon, hash) = (Arc::clone(&self.daemon), self.hash.clone());
        tokio::spawn(async move {
            match daemon.replicas.share(&hash, &daemon.loaded.store().place(&hash)).await {
                Ok(()) => tracing::info!(hash, "replaced a damaged dataset in the shared folder"),
                Err(error) => tracing::warn!(hash, %error, "a damaged dataset is still in the shared folder"),
            }
        });
    }

    async fn is_here(&self) -> bool {
        let (daemon, hash) = (Arc::clone(&self.daemon), self.hash.clone());
        off_runtime(move || daemon.loaded.check(&hash)).await.is_ok()
    }

    /// Returns the sources: the shared folder, which is no daemon's burden, before the others.
    async fn sources(&self) -> Result<Vec<Source>, Error> {
        let replicas = &self.daemon.replicas;
        let mut sources = Vec::new();
        sources.extend(replicas.shared_folder.as_ref().map(|_| Source::SharedFolder));
        if replicas.registry_is_shared {
            let daemon = Arc::clone(&self.daemon);
            let peers = off_runtime(move || Ok::<_, Error>(daemon.replicas.presence.peers(&daemon.registry))).await?;
            sources.extend(peers.into_iter().map(Source::Peer));
        }
        Ok(sources)
    }

    async fn fetch_from(&self, source: &Source) -> Result<u64, SourceError> {
        let daemon = Arc::clone(&self.daemon);
        let scratch = unblocked(move || daemon.loaded.store().scratch().map_err(SourceError::Unkept)).await?;
        let bytes = match (source, &self.daemon.replicas.shared_folder) {
            (Source::Peer(address), _) => {
                peer::fetch(&self.daemon.replicas.peer_access, address, &self.hash, scratch.path()).await?
            }
            (Source::SharedFolder, Some(folder)) => folder.fetch(&self.hash, scratch.path()).await?,
            (Source::SharedFolder, None) => return Err(SourceError::Absent),
        };
        self.adopt(scratch).await?;
        Ok(bytes)
    }

    /// Checks what arrived, and makes it the daemon's own.
    async fn adopt(&self, scratch: TempDir) -> Result<(), SourceError> {
        let placing = self.daemon.place().await;
        let (daemon, hash) = (Arc::clone(&self.daemon), self.hash.clone());
        unblocked(move || {
            let _placing = placing;
            let dataset = daemon.loaded.store().adopt(&scratch, &hash).map_err(|error| match error {
                StoreError::Damaged { reason, .. } => SourceError::Damaged(reason),
                error => SourceError::Unkept(error),
            })?;
            daemon.loaded.hold(&hash, dataset);
            Ok(())
        })
        .await
    }

    fn note(&self, source: &Source, bytes: u64, took: Duration) {
        let metrics = &self.daemon.metrics;
        metrics.fetches.with_label_values(&[source.kind()]).inc();
        metrics.fetched_bytes.with_label_values(&[source.kind()]).inc_by(bytes);
        metrics.fetch_duration.observe(took.as_secs_f64());
        let duration_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        tracing::info!(hash = self.hash, %source, bytes, duration_ms, "fetched a dataset");
    }
}

/// Runs blocking work of a fetch off the async runtime.
async fn unblocked<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, SourceError> + Send + 'static,
) -> Result<T, SourceError> {
    tokio::task::spawn_blocking(work).await.map_err(|panic| SourceError::Broken(panic.to_string()))?
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::{Backend, BackendError, Commit, Sqlite, Stored, Write};
    use crate::replicas::test_daemon::daemon;
    use tokio::net::TcpListener;

    /// A registry in which another daemon is announced.
    struct WithPeer(Sqlite, String);

    impl Backend for WithPeer {
        fn get(&self, key: &str) -> Result<Option<Stored>, BackendError> {
            self.0.get(key)
        }

        fn list(&self, prefix: &str) -> Result<Vec<(String, Stored)>, BackendError> {
            self.0.list(prefix)
        }

        fn commit(&self, writes: &[Write]) -> Result<Commit, BackendError> {
            self.0.commit(writes)
        }

        fn generation(&self) -> Result<u64, BackendError> {
            self.0.generation()
        }

        fn daemons(&self) -> Result<Vec<(String, String)>, BackendError> {
            Ok(vec![("peer".into(), self.1.clone())])
        }
    }

    #[tokio::test]
    async fn all_who_need_a_dataset_wait_for_one_fetch_and_not_for_ever() {
        let directory = tempfile::tempdir().unwrap();
        // Takes connections and never says a word.
        let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = silent.local_addr().unwrap().to_string();
        let sqlite = Sqlite::open(&directory.path().join("registry.sqlite")).unwrap();
        let daemon = daemon(directory.path(), Arc::new(WithPeer(sqlite, address)));
        let hash = "0".repeat(64);
        let calls = (0..10).map(|_| {
            let (daemon, hash) = (Arc::clone(&daemon), hash.clone());
            tokio::spawn(async move { daemon.fetch_dataset(&hash, Duration::from_millis(100)).await })
        });
        for call in calls.collect::<Vec<_>>() {
            let error = call.await.unwrap().unwrap_err();
            assert!(matches!(&error, FetchError::Slow { hash: of, .. } if *of == hash), "{error}");
        }
        let _one = silent.accept().await.unwrap();
        let another = tokio::time::timeout(Duration::from_millis(100), silent.accept()).await;
        assert!(another.is_err(), "the fetch that is under way is joined");
        daemon.shutdown.cancel();
        let ended = async {
            while !daemon.replicas.flights.lock().is_empty() {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(60), ended).await.unwrap();
    }
}
