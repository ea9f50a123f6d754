//! Several daemons of this process over one registry.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use swift_sampler_daemon::registry::{Backend, BackendError, Commit, Sqlite, Stored, Write};
use swift_sampler_proto::v1;
use tempfile::TempDir;

use crate::harness::{Batch, DEADLINE, Server, columns, csv, steps};

/// Pause between two looks.
const POLL_INTERVAL: Duration = Duration::from_millis(10);
/// Removed datasets are not kept.
pub(crate) const NO_GRACE: [&str; 2] = ["--removal-grace", "0"];

/// A registry, and folders for daemons.
pub(crate) struct Site {
    pub(crate) folder: TempDir,
    pub(crate) registry: Arc<SharedRegistry>,
}

impl Site {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self { registry: SharedRegistry::open(folder.path()), folder }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) async fn start(&self, name: &str) -> Server {
        self.start_with(name, &[]).await
    }

    pub(crate) async fn start_with(&self, name: &str, flags: &[&str]) -> Server {
        Server::start_over(self.registry.clone(), &self.path(name), flags).await
    }

    /// Starts a daemon that uses the folder "shared".
    pub(crate) async fn start_sharing(&self, name: &str) -> Server {
        let shared = self.path("shared");
        self.start_with(name, &[&["--shared-dir", shared.to_str().unwrap()], &NO_GRACE[..]].concat()).await
    }

    /// The file of the only dataset in a daemon's folder, or in the shared one.
    pub(crate) fn stored(&self, name: &str, file: &str) -> PathBuf {
        self.datasets(name).pop().unwrap().join(file)
    }

    pub(crate) fn holds_a_dataset(&self, name: &str) -> bool {
        !self.datasets(name).is_empty()
    }

    /// The directories of datasets; not those that are being written or removed.
    pub(crate) fn datasets(&self, name: &str) -> Vec<PathBuf> {
        let Ok(datasets) = std::fs::read_dir(self.path(name).join("datasets")) else { return Vec::new() };
        let entries = datasets.map(|entry| entry.unwrap());
        entries.filter(|entry| entry.file_name().len() == 64).map(|entry| entry.path()).collect()
    }
}

pub(crate) async fn import(server: &Server) -> v1::Dataset {
    server.import("d", &[], &[("d.csv", csv(&columns(1000)))]).await.unwrap()
}

pub(crate) async fn eventually(what: &str, mut look: impl AsyncFnMut() -> bool) {
    let found = async {
        while !look().await {
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    };
    tokio::time::timeout(DEADLINE, found).await.unwrap_or_else(|_| panic!("{what}: not within {DEADLINE:?}"));
}

pub(crate) async fn shows(server: &Server, metric: &str) -> bool {
    let (_, metrics) = server.get("/metrics").await;
    metrics.lines().any(|line| line == format!("swiftsampler_{metric}"))
}

pub(crate) async fn is_up(server: &Server) {
    eventually("the dataset is here", async || shows(server, "dataset_up{dataset=\"d\"} 1").await).await;
}

pub(crate) fn damage(path: &Path) {
    let mut bytes = std::fs::read(path).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    // Another file under the name: the daemon may have this one mapped.
    std::fs::remove_file(path).unwrap();
    std::fs::write(path, bytes).unwrap();
}

pub(crate) async fn read(server: &Server) -> Vec<Batch> {
    server.stream(steps("j", 0, 50)).await.unwrap()
}

/// A registry that several daemons of this process share, and who of them announced itself; nobody is forgotten.
pub(crate) struct SharedRegistry {
    records: Sqlite,
    daemons: Mutex<BTreeMap<String, String>>,
    /// Commits happen, but nobody is told.
    pub(crate) answers_are_lost: AtomicBool,
}

impl SharedRegistry {
    pub(crate) fn open(directory: &Path) -> Arc<Self> {
        let records = Sqlite::open(&directory.join("shared.sqlite")).unwrap();
        Arc::new(Self { records, daemons: Mutex::default(), answers_are_lost: AtomicBool::default() })
    }
}

impl Backend for SharedRegistry {
    fn get(&self, key: &str) -> Result<Option<Stored>, BackendError> {
        self.records.get(key)
    }

    fn list(&self, prefix: &str) -> Result<Vec<(String, Stored)>, BackendError> {
        self.records.list(prefix)
    }

    fn commit(&self, writes: &[Write]) -> Result<Commit, BackendError> {
        let committed = self.records.commit(writes);
        if self.answers_are_lost.load(Ordering::SeqCst) {
            return Err(BackendError::Unavailable("the answer was lost".into()));
        }
        committed
    }

    fn generation(&self) -> Result<u64, BackendError> {
        self.records.generation()
    }

    fn announce(&self, daemon: &str, address: &str) -> Result<(), BackendError> {
        self.daemons.lock().unwrap().insert(daemon.to_owned(), address.to_owned());
        Ok(())
    }

    fn daemons(&self) -> Result<Vec<(String, String)>, BackendError> {
        let daemons = self.daemons.lock().unwrap();
        Ok(daemons.iter().map(|(daemon, address)| (daemon.clone(), address.clone())).collect())
    }
}
