//! A shared registry with a copy of all its records in a file of this daemon's own.
//!
//! While Redis answers, every read and commit goes to Redis, and the mirror follows it. When it does not, reads are
//! answered from the mirror for as long as it takes, also after a restart; what may not wait, the horizons of jobs that
//! are being read, is held in the mirror; all other writes are refused. When Redis is back, the mirror gives it what it
//! lost, takes over what others wrote, commits what was held, and only then lets calls pass again.

mod file;
mod follow;
mod gate;
mod job_log;

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};
use std::thread::JoinHandle;
use std::time::Instant;

use tokio::sync::watch;

use super::backend::{Backend, BackendError, Commit, Stored, Write};
use super::redis::{Fault, Redis, RedisUrl, Session};
use crate::metrics::MirrorMetrics;
use file::{MirrorFile, Origin};
use gate::{Gate, PATIENCE};

/// A shared registry and its mirror.
#[derive(Debug)]
pub struct Mirrored {
    shared: Arc<Shared>,
    follower: Option<JoinHandle<()>>,
}

/// What calls and the thread that follows the registry share.
#[derive(Debug)]
struct Shared {
    redis: Redis,
    /// Redis' address, without the password.
    name: String,
    file: MirrorFile,
    gate: Gate,
    /// One at a time takes over what changed.
    pulling: Mutex<()>,
    /// Held to read while a record is put aside, to write while the gate opens: nothing is put aside once it is open.
    holding: RwLock<()>,
    watchers: OnceLock<Arc<watch::Sender<u64>>>,
    metrics: MirrorMetrics,
    stop: AtomicBool,
}

/// Why Redis was not asked, or not answered.
enum Failure {
    /// It is down.
    Down(String),
    /// It refuses.
    Refused(String),
}

impl Mirrored {
    /// Joins the registry and brings the mirror in `path` up to date. Where the registry cannot be reached, a mirror that
    /// has been up to date before serves.
    ///
    /// # Errors
    /// [`BackendError::Unavailable`] when the registry cannot be reached within a few seconds and there is no mirror yet;
    /// [`BackendError::Unusable`] when it is another than the one the mirror is of.
    pub fn open(url: RedisUrl, path: &Path, metrics: MirrorMetrics) -> Result<Self, BackendError> {
        let shared = Arc::new(Shared {
            name: url.to_string(),
            redis: Redis::new(url)?,
            file: MirrorFile::open(path)?,
            gate: Gate::shut_now("it was not reached yet"),
            pulling: Mutex::default(),
            holding: RwLock::default(),
            watchers: OnceLock::new(),
            metrics,
            stop: AtomicBool::new(false),
        });
        shared.join_at_start()?;
        let following = Arc::clone(&shared);
        let follower = std::thread::Builder::new().name("registry-mirror".to_owned()).spawn(move || following.follow());
        let follower =
            follower.map_err(|error| BackendError::Unusable(format!("no thread can be started: {error}")))?;
        Ok(Self { shared, follower: Some(follower) })
    }
}

impl Drop for Mirrored {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        if let Some(follower) = self.follower.take() {
            // A thread that panicked has said so.
            follower.join().ok();
        }
    }
}

impl Backend for Mirrored {
    fn get(&self, key: &str) -> Result<Option<Stored>, BackendError> {
        let ask = |session: &Session| {
            let found = self.shared.redis.get(session, key)?;
            self.shared.mirror_found(session, &found)?;
            Ok(found)
        };
        self.shared.read(ask, || self.shared.file.get(key))
    }

    fn list(&self, prefix: &str) -> Result<Vec<(String, Stored)>, BackendError> {
        let ask = |session: &Session| {
            let found = self.shared.redis.list(session, prefix)?;
            self.shared.mirror_found(session, found.iter().map(|(_, stored)| stored))?;
            Ok(found)
        };
        self.shared.read(ask, || self.shared.file.list(prefix))
    }

    fn count(&self, prefix: &str) -> Result<usize, BackendError> {
        let ask = |session: &Session| self.shared.redis.count(session, prefix);
        self.shared.read(ask, || Ok(self.shared.file.list(prefix)?.len()))
    }

    fn commit(&self, writes: &[Write]) -> Result<Commit, BackendError> {
        self.shared.commit(writes).map_err(|failure| self.shared.unavailable(failure))
    }

    fn commit_or_hold(&self, writes: &[Write]) -> Result<Commit, BackendError> {
        match self.shared.commit(writes) {
            Err(Failure::Down(_)) => self.shared.hold(writes),
            result => result.map_err(|failure| self.shared.unavailable(failure)),
        }
    }

    fn generation(&self) -> Result<u64, BackendError> {
        self.shared.read(|session| self.shared.redis.generation(session), || self.shared.file.generation())
    }

    fn announce(&self, daemon: &str, address: &str) -> Result<(), BackendError> {
        let announced = self.shared.attempt(|session| self.shared.redis.announce(session, daemon, address));
        announced.map_err(|failure| self.shared.unavailable(failure))
    }

    fn daemons(&self) -> Result<Vec<(String, String)>, BackendError> {
        let daemons = self.shared.attempt(|session| self.shared.redis.daemons(session));
        daemons.map_err(|failure| self.shared.unavailable(failure))
    }

    fn outage(&self) -> Option<String> {
        self.shared.gate.outage().map(|reason| format!("{}: {reason}", self.shared.name))
    }

    fn tell(&self, watchers: &Arc<watch::Sender<u64>>) {
        // Told twice, the first stay: a registry has one set of rules over it.
        self.shared.watchers.set(Arc::clone(watchers)).ok();
    }
}

impl Shared {
    /// Asks Redis, and where it is down the mirror.
    fn read<T>(
        &self,
        ask: impl Fn(&Session) -> Result<T, Fault>,
        mirrored: impl FnOnce() -> Result<T, BackendError>,
    ) -> Result<T, BackendError> {
        match self.attempt(ask) {
            Ok(found) => Ok(found),
            Err(Failure::Down(_)) => mirrored(),
            Err(refused) => Err(self.unavailable(refused)),
        }
    }

    /// Commits to Redis; what was committed is in the mirror before it is acknowledged.
    fn commit(&self, writes: &[Write]) -> Result<Commit, Failure> {
        let name = self.redis.fresh_name();
        let committed = self.attempt(|session| {
            let committed = self.redis.commit(session, &name, writes)?;
            if let Commit::Done(generation) = committed.outcome {
                self.mirror_commit(session, writes, generation)?;
            }
            Ok(committed)
        })?;
        if committed.replicas_missing > 0 {
            self.metrics.commits_unreplicated.inc();
            tracing::warn!(
                replicas = committed.replicas_missing,
                "a commit is not on all replicas yet: a failover now would lose it until this daemon gives it back"
            );
        }
        Ok(committed.outcome)
    }

    /// Holds writes in the mirror. If the registry came back meanwhile, they conflict, so that they are decided anew.
    fn hold(&self, writes: &[Write]) -> Result<Commit, BackendError> {
        let _holding = self.holding.read().unwrap_or_else(PoisonError::into_inner);
        if !self.gate.patience_is_over() {
            return Ok(Commit::Conflict(writes.first().map(|write| write.key.clone()).unwrap_or_default()));
        }
        let outcome = self.file.hold(writes)?;
        self.show_held();
        Ok(outcome)
    }

    /// Asks Redis until it answers, or is known to be down. What is asked must bear repetition.
    fn attempt<T>(&self, ask: impl Fn(&Session) -> Result<T, Fault>) -> Result<T, Failure> {
        let started = Instant::now();
        loop {
            let session = self.gate.pass().map_err(Failure::Down)?;
            match ask(&session) {
                Ok(answer) => return Ok(answer),
                Err(Fault::Lost(reason)) => {
                    self.gate.shut(&session, &reason);
                    if started.elapsed() > PATIENCE {
                        return Err(Failure::Down(reason));
                    }
                }
                Err(Fault::Refused(reason) | Fault::Foreign(reason)) => return Err(Failure::Refused(reason)),
            }
        }
    }

    fn unavailable(&self, failure: Failure) -> BackendError {
        let (Failure::Down(reason) | Failure::Refused(reason)) = failure;
        BackendError::Unavailable(format!("{}: {reason}", self.name))
    }
}
