//! Keeps the daemon's datasets those of the registry: fetches new ones, builds what was activated elsewhere, shares what
//! the shared folder lacks, and removes what was removed.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::daemon::Daemon;
use crate::error::{Error, off_runtime};
use crate::store::StoreError;

/// Least time between two looks at the registry, which changes with every lease of steps.
const PAUSE_MIN: Duration = Duration::from_millis(250);
/// Most time between two looks.
const PAUSE_MAX: Duration = Duration::from_secs(30);
/// Datasets that are made ready at once.
const PREPARATIONS_MAX: usize = 4;
/// How long one preparation waits for its dataset. The fetch goes on, and is waited for again.
const PREPARATION_WAIT_MAX: Duration = Duration::from_secs(600);
/// First pause before a dataset that could not be made ready is tried again; doubled every time.
const RETRY_PAUSE_MIN: Duration = Duration::from_millis(500);
/// Longest such pause.
const RETRY_PAUSE_MAX: Duration = Duration::from_secs(15);
/// How often the shared folder is looked through while no dataset comes or goes.
const SHARE_INTERVAL: Duration = Duration::from_secs(60);

/// Follows the registry until the daemon goes down. A daemon that is alone has nothing to follow.
pub(crate) async fn follow(daemon: Arc<Daemon>) {
    if !daemon.replicas.has_sources() {
        return;
    }
    let stop = daemon.shutdown.clone();
    stop.run_until_cancelled(Following::new(daemon).run()).await;
}

/// A dataset with the sampler that is active.
#[derive(Debug, Clone)]
struct Goal {
    dataset: String,
    /// Content of the features that the version weighs examples by.
    hash: String,
    /// All revisions of the features, which jobs that are not done with them may ask for.
    contents: Vec<String>,
    version: u64,
    /// Of the activation.
    generation: u64,
}

/// A preparation that failed.
#[derive(Debug)]
struct Retry {
    due: Instant,
    pause: Duration,
}

struct Following {
    daemon: Arc<Daemon>,
    preparations: JoinSet<(Goal, Result<(), Error>)>,
    places: Arc<Semaphore>,
    /// Names of datasets that are being prepared.
    under_way: HashSet<String>,
    /// The hash and the activation that are ready, by name.
    ready: HashMap<String, (String, u64)>,
    retries: HashMap<String, Retry>,
    /// Since when removed contents that are still here were seen to be removed, by hash.
    removed: HashMap<String, Instant>,
    sharing: JoinSet<()>,
    /// Hashes that the shared folder was last looked through for, and when it is to be looked through again.
    shared: (BTreeSet<String>, Instant),
}

impl Following {
    fn new(daemon: Arc<Daemon>) -> Self {
        Self {
            daemon,
            preparations: JoinSet::new(),
            places: Arc::new(Semaphore::new(PREPARATIONS_MAX)),
            under_way: HashSet::new(),
            ready: HashMap::new(),
            retries: HashMap::new(),
            removed: HashMap::new(),
            sharing: JoinSet::new(),
            shared: (BTreeSet::new(), Instant::now()),
        }
    }

    async fn run(mut self) {
        let mut changes = self.daemon.registry.watch();
        loop {
            changes.mark_unchanged();
            if let Err(error) = self.pass().await {
                tracing::debug!(%error, "the registry cannot be followed for now");
            }
            tokio::time::sleep(PAUSE_MIN).await;
            let due = self.next_due();
            tokio::select! {
                _ = changes.changed() => {}
                Some(ended) = self.preparations.join_next() => {
                    match ended {
                        Ok((goal, result)) => self.note(goal, result),
                        Err(error) => tracing::error!(%error, "a dataset was not made ready"),
                    }
                }
                Some(_) = self.sharing.join_next() => {}
                () = tokio::time::sleep_until(due) => {}
            }
        }
    }

    fn next_due(&self) -> Instant {
        let grace = self.daemon.replicas.removal_grace;
        let dues = self.retries.values().map(|retry| retry.due).chain(self.removed.values().map(|seen| *seen + grace));
        dues.min().unwrap_or_else(|| Instant::now() + PAUSE_MAX).min(Instant::now() + PAUSE_MAX)
    }

    async fn pass(&mut self) -> Result<(), Error> {
        let (datasets, removed) = self
            .daemon
            .with_registry(|daemon| Ok::<_, Error>((daemon.registry.activations()?, daemon.registry.removed_hashes()?)))
            .await?;
        let goals: Vec<Goal> = datasets
            .into_iter()
            .filter_map(|(dataset, active)| {
                // A revision that was dropped meanwhile is no longer active either.
                let hash = dataset.hash_of(active.revision)?.to_owned();
                let (contents, version) = (dataset.hashes().map(ToOwned::to_owned).collect(), active.version);
                Some(Goal { dataset: dataset.name, hash, contents, version, generation: active.generation })
            })
            .collect();
        self.ready.retain(|name, _| goals.iter().any(|goal| goal.dataset == *name));
        self.retries.retain(|name, _| goals.iter().any(|goal| goal.dataset == *name));
        self.share(goals.iter().flat_map(|goal| goal.contents.iter().cloned()).collect());
        goals.into_iter().for_each(|goal| self.prepare(goal));
        self.remove(removed).await
    }

    /// Begins to make a dataset and its active sampler ready, unless they are.
    fn prepare(&mut self, goal: Goal) {
        let is_ready =
            self.ready.get(&goal.dataset).is_some_and(|(hash, of)| *hash == goal.hash && *of == goal.generation);
        let waits = self.retries.get(&goal.dataset).is_some_and(|retry| retry.due > Instant::now());
        if is_ready || waits || !self.under_way.insert(goal.dataset.clone()) {
            return;
        }
        let (daemon, places) = (Arc::clone(&self.daemon), Arc::clone(&self.places));
        self.preparations.spawn(async move {
            let _place = places.acquire().await;
            let Goal { dataset, hash, contents, version, .. } = goal.clone();
            let built = daemon.with_dataset(PREPARATION_WAIT_MAX, move |daemon| {
                let sampler = daemon.registry.sampler(&dataset, version)?;
                daemon.loaded.sampler(&hash, &sampler.spec_json)?;
                match contents.iter().find(|hash| !daemon.loaded.store().holds(hash)) {
                    Some(hash) => Err(Error::from(StoreError::Absent { hash: hash.clone() })),
                    None => Ok(()),
                }
            });
            let result = built.await;
            (goal, result)
        });
    }

    fn note(&mut self, goal: Goal, result: Result<(), Error>) {
        self.under_way.remove(&goal.dataset);
        self.daemon.metrics.show_dataset_up(&goal.dataset, result.is_ok());
        match result {
            Ok(()) => {
                self.retries.remove(&goal.dataset);
                self.ready.insert(goal.dataset, (goal.hash, goal.generation));
            }
            Err(error) => {
                let before = self.retries.get(&goal.dataset).map(|retry| retry.pause * 2);
                let pause = before.unwrap_or(RETRY_PAUSE_MIN).min(RETRY_PAUSE_MAX);
                tracing::warn!(dataset = goal.dataset, %error, "a dataset is not ready; it is tried again");
                let due = Instant::now() + pause.mul_f64(0.5 + fastrand::f64());
                self.retries.insert(goal.dataset, Retry { due, pause });
            }
        }
    }

    /// Begins to copy what the shared folder lacks, such as what was imported while it was away.
    fn share(&mut self, hashes: BTreeSet<String>) {
        let (known, due) = &self.shared;
        if !self.sharing.is_empty() || (*known == hashes && *due > Instant::now()) {
            return;
        }
        self.shared = (hashes.clone(), Instant::now() + SHARE_INTERVAL);
        self.sharing.spawn(share_missing(Arc::clone(&self.daemon), hashes));
    }

    /// Removes contents that were removed through other daemons a while ago.
    async fn remove(&mut self, removed: Vec<String>) -> Result<(), Error> {
        self.removed.retain(|hash, _| removed.contains(hash));
        let grace = self.daemon.replicas.removal_grace;
        for hash in removed {
            if !self.daemon.loaded.store().holds(&hash) {
                continue;
            }
            let seen = *self.removed.entry(hash.clone()).or_insert_with(Instant::now);
            if seen.elapsed() >= grace {
                self.removed.remove(&hash);
                remove_content(&self.daemon, hash).await?;
            }
        }
        Ok(())
    }
}

async fn share_missing(daemon: Arc<Daemon>, hashes: BTreeSet<String>) {
    let Some(folder) = &daemon.replicas.shared_folder else { return };
    let lacking = match folder.lacking(hashes.into_iter().collect()).await {
        Ok(lacking) => lacking,
        Err(error) => return tracing::warn!(%error, "the shared folder cannot be looked through"),
    };
    for hash in lacking {
        let (checked, of) = (Arc::clone(&daemon), hash.clone());
        if off_runtime(move || checked.loaded.check(&of)).await.is_err() {
            continue;
        }
        match folder.put(&hash, &daemon.loaded.store().place(&hash)).await {
            Ok(()) => tracing::info!(hash, "copied a dataset that the shared folder lacked"),
            Err(error) => tracing::warn!(hash, %error, "a dataset that the shared folder lacks was not copied there"),
        }
    }
}

/// Removes a content that no dataset has, also from the shared folder, should the daemon that removed the dataset not have
/// come to that.
async fn remove_content(daemon: &Arc<Daemon>, hash: String) -> Result<(), Error> {
    let placing = daemon.place().await;
    let of = hash.clone();
    let removed = daemon
        .with_registry(move |daemon| {
            // Once more, now that nobody imports it here.
            if !daemon.registry.removed_hashes()?.contains(&of) {
                return Ok(false);
            }
            daemon.loaded.forget(&of);
            daemon.loaded.store().remove(&of)?;
            Ok::<_, Error>(true)
        })
        .await?;
    if removed {
        tracing::info!(hash, "removed a dataset that was removed through another daemon");
        if let Err(error) = daemon.replicas.unshare(&hash).await {
            tracing::warn!(hash, %error, "a removed dataset is still in the shared folder");
        }
    }
    drop(placing);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SystemClock;
    use crate::registry::{FIRST_REVISION, NewDataset, OriginRecord, Registry, SamplerFigures, Sqlite};
    use crate::replicas::test_daemon::daemon;
    use swift_sampler::{Dataset, FeatureTable};

    #[tokio::test]
    async fn what_is_activated_elsewhere_is_built_before_it_is_asked_for() {
        let directory = tempfile::tempdir().unwrap();
        let open = || Arc::new(Sqlite::open(&directory.path().join("registry.sqlite")).unwrap());
        let (elsewhere, daemon) = (Registry::new(open(), Arc::new(SystemClock)), daemon(directory.path(), open()));
        let table = FeatureTable::new(vec![("loss".into(), vec![1.0, 2.0, 3.0])]).unwrap();
        let dataset = Dataset::new(table, vec!["loss".into()], None).unwrap();
        let hash = daemon.loaded.store().put(&dataset).unwrap();
        let new = NewDataset {
            name: "d".into(),
            hash: hash.clone(),
            rows: 3,
            first_row: 0,
            features: vec!["loss".into()],
            gradient_norm: None,
            columns: vec!["loss".into()],
            cells: 3,
        };
        let (record, _) = elsewhere.create_dataset(&new).unwrap();
        let following = tokio::spawn(follow(Arc::clone(&daemon)));
        let spec = r#"{"kind":"column","column":"loss"}"#;
        elsewhere
            .put_sampler(&record, FIRST_REVISION, spec, &OriginRecord::default(), SamplerFigures::default())
            .unwrap();
        elsewhere.activate("d", 2).unwrap();
        let built = async {
            while !daemon.loaded.is_built(&hash, spec) {
                daemon.registry.poll().unwrap();
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(60), built).await.unwrap();
        daemon.shutdown.cancel();
        following.await.unwrap();
    }
}
