//! Another writer comes between what a rule reads and what it writes, at a chosen moment.

use std::path::Path;
use std::sync::{Arc, Mutex};

use swift_sampler::Replacement;
use swift_sampler::job::Follow;
use swift_sampler_daemon::registry::{
    Backend, BackendError, Commit, FIRST_REVISION, JobParameters, NewStudy, OriginRecord, Registry, RegistryError,
    SamplerFigures, Stored, Write,
};

use crate::harness::{ManualClock, backend, new_dataset, registry};

type Intrusion = Box<dyn FnOnce() + Send>;

/// A backend in which another writer comes right after the first reading of one key or prefix.
struct Interrupted {
    backend: Arc<dyn Backend>,
    after: &'static str,
    intrusion: Mutex<Option<Intrusion>>,
}

impl Interrupted {
    fn interrupt(&self, read: &str) {
        if read == self.after
            && let Some(intrusion) = self.intrusion.lock().unwrap().take()
        {
            intrusion();
        }
    }
}

impl Backend for Interrupted {
    fn get(&self, key: &str) -> Result<Option<Stored>, BackendError> {
        let found = self.backend.get(key);
        self.interrupt(key);
        found
    }

    fn list(&self, prefix: &str) -> Result<Vec<(String, Stored)>, BackendError> {
        let found = self.backend.list(prefix);
        self.interrupt(prefix);
        found
    }

    fn commit(&self, writes: &[Write]) -> Result<Commit, BackendError> {
        self.backend.commit(writes)
    }

    fn generation(&self) -> Result<u64, BackendError> {
        self.backend.generation()
    }
}

fn interrupted(directory: &Path, after: &'static str, intrusion: impl FnOnce() + Send + 'static) -> Registry {
    let intrusion: Mutex<Option<Intrusion>> = Mutex::new(Some(Box::new(intrusion)));
    let backend = Interrupted { backend: backend(directory), after, intrusion };
    Registry::new(Arc::new(backend), ManualClock::at(1))
}

#[test]
fn a_job_is_opened_on_the_dataset_that_there_is_not_on_one_replaced_meanwhile() {
    let directory = tempfile::tempdir().unwrap();
    let other = registry(directory.path(), ManualClock::at(1));
    other.create_dataset(&new_dataset("d", "old")).unwrap();
    let registry = interrupted(directory.path(), "dataset/d", move || {
        other.remove_dataset("d").unwrap();
        other.create_dataset(&new_dataset("d", "new")).unwrap();
    });
    let parameters = JobParameters {
        name: "j".into(),
        dataset: "d".into(),
        seed: 0,
        batch_size: 8,
        epoch_draws: None,
        mode: Replacement::Independent,
        follow: Follow::Step,
    };
    assert_eq!(registry.open_job(&parameters).unwrap().dataset_hash, "new");
}

#[test]
fn a_sampler_built_on_a_dataset_that_was_replaced_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let registry = registry(directory.path(), ManualClock::at(1));
    let (old, _) = registry.create_dataset(&new_dataset("d", "old")).unwrap();
    registry.remove_dataset("d").unwrap();
    registry.create_dataset(&new_dataset("d", "new")).unwrap();
    let error = registry
        .put_sampler(&old, FIRST_REVISION, "{}", &OriginRecord::default(), SamplerFigures::default())
        .unwrap_err();
    assert!(matches!(error, RegistryError::Precondition(_)), "{error}");
    assert_eq!(registry.samplers("d").unwrap().len(), 1);
}

#[test]
fn a_dataset_removed_while_all_are_listed_is_left_out() {
    let directory = tempfile::tempdir().unwrap();
    let other = registry(directory.path(), ManualClock::at(1));
    other.create_dataset(&new_dataset("a", "0")).unwrap();
    other.create_dataset(&new_dataset("b", "1")).unwrap();
    let registry = interrupted(directory.path(), "dataset/", move || {
        other.remove_dataset("a").unwrap();
    });
    let listed: Vec<_> = registry.active_samplers().unwrap().into_iter().map(|(dataset, ..)| dataset.name).collect();
    assert_eq!(listed, ["b"]);
}

#[test]
fn a_candidate_put_while_its_study_ends_is_collected() {
    let directory = tempfile::tempdir().unwrap();
    let other = registry(directory.path(), ManualClock::at(1));
    let (d, _) = other.create_dataset(&new_dataset("d", "0")).unwrap();
    let study = NewStudy { name: "s".into(), dataset: "d".into(), config_json: "{}".into(), attempts_max: 0 };
    other.create_study(&study).unwrap();
    let registry = interrupted(directory.path(), "sampler/d/", move || {
        let origin = OriginRecord { study: "s".into(), trial: 0, candidate: true };
        other.put_sampler(&d, FIRST_REVISION, "{}", &origin, SamplerFigures::default()).unwrap();
    });
    registry.end_study("s", "").unwrap();
    let left: Vec<_> = registry.samplers("d").unwrap().into_iter().map(|sampler| sampler.version).collect();
    assert_eq!(left, [1]);
}

#[test]
fn generations_go_on_when_a_dataset_is_imported_again() {
    let directory = tempfile::tempdir().unwrap();
    let registry = registry(directory.path(), ManualClock::at(1));
    let (d, _) = registry.create_dataset(&new_dataset("d", "0")).unwrap();
    registry.put_sampler(&d, FIRST_REVISION, "{}", &OriginRecord::default(), SamplerFigures::default()).unwrap();
    for version in [2, 1, 2, 1] {
        registry.activate("d", version).unwrap();
    }
    let last = registry.rollback("d").unwrap().generation;
    registry.remove_dataset("d").unwrap();
    let (_, active) = registry.create_dataset(&new_dataset("d", "0")).unwrap();
    assert!(active.generation > last, "{} after {last}", active.generation);
}
