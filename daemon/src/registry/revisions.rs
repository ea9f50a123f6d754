//! Revisions of a dataset's features: a refresh makes one under running jobs, and those that nothing refers to are dropped.

use std::collections::{BTreeMap, BTreeSet};

use swift_sampler::job::Follow;

use super::records::{
    ActiveRecord, DatasetRecord, FIRST_REVISION, JobRecord, OriginRecord, RemovedRecord, RevisionRecord,
    SamplerFigures, SamplerRecord,
};
use super::{Decision, Read, Registry, RegistryError, active_key, dataset_key, removed_key, sampler_key};

/// New values of a dataset's features, stored, with the active sampler built over them.
#[derive(Debug, Clone)]
pub struct NewRevision {
    /// The dataset's name.
    pub dataset: String,
    /// The content that the dataset was imported with.
    pub imported: String,
    /// The active version whose spec was built.
    pub over: u64,
    /// SHA-256 of the new content, hexadecimal.
    pub hash: String,
    /// Distinct quantised feature tuples.
    pub cells: u64,
    /// What the sampler is like over the new values.
    pub figures: SamplerFigures,
}

impl Registry {
    /// Makes new values the next revision of a dataset's features, and the active sampler over them the active version, in
    /// one commit. Values that are a kept revision's already are that revision. `None` when another version than
    /// [`NewRevision::over`] is active by now: nothing is changed, and its sampler is to be built first.
    ///
    /// # Errors
    /// [`RegistryError::NoDataset`], or [`RegistryError::Precondition`] when the name holds other content by now.
    pub fn refresh(&self, new: &NewRevision) -> Result<Option<(DatasetRecord, ActiveRecord)>, RegistryError> {
        let name = &new.dataset;
        self.decide(|| {
            let read: Read<DatasetRecord> = self.read(dataset_key(name))?;
            let Some(mut dataset) = read.record.clone() else { return Err(self.no_dataset(name)) };
            if dataset.hash != new.imported {
                return Err(RegistryError::Precondition(format!(
                    "dataset {name:?} was removed and imported with other content meanwhile: refresh it again"
                )));
            }
            let active = self.read_active(name)?;
            let Some(mut active_record) = active.record.clone() else { return Err(self.no_dataset(name)) };
            if active_record.version != new.over {
                return Ok(Decision::Answer(None));
            }
            let over: Read<SamplerRecord> = self.read(sampler_key(name, new.over))?;
            let Some(over_record) = &over.record else {
                return Err(RegistryError::NoSampler { dataset: name.clone(), version: new.over });
            };
            let revision = dataset.take_in(new, self.now_ms());
            let version = active_record.next_version;
            active_record.next_version += 1;
            active_record.take_up(version, revision, self.next_generation()?);
            let sampler = self.read(sampler_key(name, version))?;
            let record = SamplerRecord {
                dataset: name.clone(),
                version,
                spec_json: over_record.spec_json.clone(),
                origin: OriginRecord::default(),
                revision,
                features_hash: (new.hash != dataset.hash).then(|| new.hash.clone()),
                refreshed_from: Some(new.over),
                figures: new.figures,
                created_at_ms: self.now_ms(),
            };
            let mut writes = vec![read.put(&dataset), active.put(&active_record), over.keep(), sampler.put(&record)];
            let removed: Read<RemovedRecord> = self.read(removed_key(&new.hash))?;
            if removed.record.is_some() {
                writes.push(removed.delete());
            }
            Ok(Decision::Commit(writes, Some((dataset, active_record))))
        })
    }

    /// Returns the revisions of the features that the versions in a job's log weigh examples by; those that are left out weigh by
    /// the import.
    ///
    /// # Errors
    /// [`RegistryError::Backend`].
    pub fn revisions_of(&self, job: &JobRecord) -> Result<BTreeMap<u64, u64>, RegistryError> {
        let dataset: Read<DatasetRecord> = self.read(dataset_key(&job.dataset))?;
        let mut revisions = BTreeMap::new();
        if dataset.record.is_none_or(|dataset| dataset.latest_revision == FIRST_REVISION) {
            return Ok(revisions);
        }
        for change in job.log.changes() {
            let sampler: Read<SamplerRecord> = self.read(sampler_key(&job.dataset, change.version))?;
            revisions.extend(sampler.record.map(|record| (record.version, record.revision)));
        }
        Ok(revisions)
    }

    /// Drops revisions of a dataset's features that nothing refers to: not the active version, nor the one a rollback
    /// activates, nor any in a job's log. Returns their contents, as far as no dataset has them; those are remembered as
    /// removed.
    ///
    /// # Errors
    /// [`RegistryError::Backend`].
    pub fn drop_revisions(&self, name: &str) -> Result<Vec<String>, RegistryError> {
        self.decide(|| {
            let read: Read<DatasetRecord> = self.read(dataset_key(name))?;
            let Some(record) = read.record.as_ref().filter(|dataset| !dataset.refreshed.is_empty()) else {
                return Ok(Decision::Answer(Vec::new()));
            };
            let mut dataset = record.clone();
            let active: Read<ActiveRecord> = self.read(active_key(name))?;
            let Some(active_record) = &active.record else { return Ok(Decision::Answer(Vec::new())) };
            let needed = self.needed_revisions(name, active_record)?;
            dataset.refreshed.retain(|kept| needed.contains(&kept.number));
            if dataset.refreshed.len() == record.refreshed.len() {
                return Ok(Decision::Answer(Vec::new()));
            }
            let mut present = self.datasets()?;
            present.retain(|other| other.name != name);
            present.push(dataset.clone());
            let orphan = |hash: &&str| !present.iter().flat_map(DatasetRecord::hashes).any(|of| of == *hash);
            let orphans: Vec<String> = record.hashes().filter(orphan).map(ToOwned::to_owned).collect();
            // The active record is written, though unchanged: a job that was opened or an activation that was made
            // meanwhile, having seen the revision, moves it, and this is decided again.
            let mut writes = vec![read.put(&dataset), active.put(active_record)];
            writes.extend(self.note_removed(&orphans)?);
            Ok(Decision::Commit(writes, orphans))
        })
    }

    /// Returns the revisions that something refers to. A log that is extended meanwhile takes up the active version only.
    fn needed_revisions(&self, name: &str, active: &ActiveRecord) -> Result<BTreeSet<u64>, RegistryError> {
        let mut versions: BTreeSet<u64> = active.before.last().copied().into_iter().collect();
        for job in self.jobs()?.iter().filter(|job| job.dataset == name) {
            versions.extend(job.log.changes().iter().map(|change| change.version));
            if let Follow::Pinned(version) = job.follow {
                versions.insert(version);
            }
        }
        let mut revisions = BTreeSet::from([active.revision]);
        for version in versions {
            let sampler: Read<SamplerRecord> = self.read(sampler_key(name, version))?;
            revisions.extend(sampler.record.map(|record| record.revision));
        }
        Ok(revisions)
    }
}

impl DatasetRecord {
    /// Adds new values as the next revision, unless a kept one has them; returns its number.
    fn take_in(&mut self, new: &NewRevision, now_ms: u64) -> u64 {
        if new.hash == self.hash {
            return FIRST_REVISION;
        }
        if let Some(kept) = self.refreshed.iter().find(|kept| kept.hash == new.hash) {
            return kept.number;
        }
        self.latest_revision += 1;
        let (number, hash, cells) = (self.latest_revision, new.hash.clone(), new.cells);
        self.refreshed.push(RevisionRecord { number, hash, cells, created_at_ms: now_ms });
        number
    }
}
