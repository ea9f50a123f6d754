//! Sampler versions of a dataset, and which is active.

use std::collections::HashMap;

use super::records::{
    ActiveRecord, DatasetRecord, FIRST_REVISION, OriginRecord, SamplerFigures, SamplerRecord, StudyState,
};
use super::{
    ACTIVE_PREFIX, Decision, Read, Registry, RegistryError, Write, active_key, dataset_key, sampler_key,
    samplers_prefix,
};

impl Registry {
    /// Stores a sampler as the next version of the dataset, over the revision of its features that the caller has built it
    /// on: what is stored can be served. Returns what is active beside it.
    ///
    /// # Errors
    /// [`RegistryError::NoDataset`], or [`RegistryError::Precondition`] when the name holds other content by now,
    /// the revision is no longer kept, or a candidate's study is not running on the dataset, [`RegistryError::Full`].
    pub fn put_sampler(
        &self,
        dataset: &DatasetRecord,
        revision: u64,
        spec_json: &str,
        origin: &OriginRecord,
        figures: SamplerFigures,
    ) -> Result<(SamplerRecord, ActiveRecord), RegistryError> {
        let name = &dataset.name;
        self.decide(|| {
            let present: Read<DatasetRecord> = self.read(dataset_key(name))?;
            let Some(present_record) = &present.record else { return Err(self.no_dataset(name)) };
            if present_record.hash != dataset.hash {
                return Err(RegistryError::Precondition(format!(
                    "dataset {name:?} was removed and imported with other content while the sampler was built: put it \
                     again"
                )));
            }
            let features_hash = present_record.kept(revision)?.to_owned();
            self.check_room(&self.limits.samplers(name))?;
            let active = self.read_active(name)?;
            let Some(mut counters) = active.record.clone() else { return Err(self.no_dataset(name)) };
            let version = counters.next_version;
            counters.next_version += 1;
            let record = SamplerRecord {
                dataset: name.clone(),
                version,
                spec_json: spec_json.to_owned(),
                origin: origin.clone(),
                revision,
                features_hash: (revision != FIRST_REVISION).then_some(features_hash),
                refreshed_from: None,
                figures,
                created_at_ms: self.now_ms(),
            };
            let sampler = self.read(sampler_key(name, version))?;
            let mut writes = vec![present.keep(), active.put(&counters), sampler.put(&record)];
            if origin.candidate {
                let study = self.read_study(&origin.study)?;
                let running = study.record.as_ref().filter(|s| s.state == StudyState::Running && s.dataset == *name);
                let Some(study_record) = running else {
                    return Err(RegistryError::Precondition(format!(
                        "candidate of study {:?}: no such study is running on dataset {name:?}",
                        origin.study
                    )));
                };
                // Written, though unchanged, so that an end of the study that saw no such candidate looks again.
                writes.push(study.put(study_record));
            }
            Ok(Decision::Commit(writes, (record, counters)))
        })
    }

    /// Returns a sampler version.
    ///
    /// # Errors
    /// [`RegistryError::NoDataset`] or [`RegistryError::NoSampler`].
    pub fn sampler(&self, dataset: &str, version: u64) -> Result<SamplerRecord, RegistryError> {
        let sampler: Read<SamplerRecord> = self.read(sampler_key(dataset, version))?;
        match sampler.record {
            Some(record) => Ok(record),
            None => {
                self.dataset(dataset)?;
                Err(RegistryError::NoSampler { dataset: dataset.to_owned(), version })
            }
        }
    }

    /// Returns all versions, ascending.
    ///
    /// # Errors
    /// [`RegistryError::NoDataset`].
    pub fn samplers(&self, dataset: &str) -> Result<Vec<SamplerRecord>, RegistryError> {
        self.dataset(dataset)?;
        self.records(&samplers_prefix(dataset))
    }

    /// Returns which version is active.
    ///
    /// # Errors
    /// [`RegistryError::NoDataset`].
    pub fn active(&self, dataset: &str) -> Result<ActiveRecord, RegistryError> {
        self.read_active(dataset)?.record.map_or_else(|| Err(self.no_dataset(dataset)), Ok)
    }

    /// Returns every dataset with what is active, ascending in name, in two readings however many there are. One that is
    /// created or removed meanwhile may be left out.
    ///
    /// # Errors
    /// [`RegistryError::Backend`].
    pub fn activations(&self) -> Result<Vec<(DatasetRecord, ActiveRecord)>, RegistryError> {
        let datasets = self.datasets()?;
        let active: Vec<Read<ActiveRecord>> = self.list(ACTIVE_PREFIX)?;
        let active: HashMap<_, _> = active.into_iter().filter_map(|read| Some((read.key, read.record?))).collect();
        let with_active = |dataset: DatasetRecord| {
            let active = active.get(&active_key(&dataset.name))?.clone();
            Some((dataset, active))
        };
        Ok(datasets.into_iter().filter_map(with_active).collect())
    }

    /// Returns every dataset with its active sampler, ascending in name. One that is removed meanwhile is left out.
    ///
    /// # Errors
    /// [`RegistryError::Backend`].
    pub fn active_samplers(&self) -> Result<Vec<(DatasetRecord, ActiveRecord, SamplerRecord)>, RegistryError> {
        let mut found = Vec::new();
        for dataset in self.datasets()? {
            let Some(active) = self.read_active(&dataset.name)?.record else { continue };
            let sampler: Read<SamplerRecord> = self.read(sampler_key(&dataset.name, active.version))?;
            let Some(sampler) = sampler.record else { continue };
            found.push((dataset, active, sampler));
        }
        Ok(found)
    }

    /// Makes a version the active one; a trial's candidate thereby becomes an ordinary version. Activating the active
    /// version changes nothing.
    ///
    /// # Errors
    /// [`RegistryError::NoDataset`] or [`RegistryError::NoSampler`], or [`RegistryError::Precondition`] when the features
    /// that it was put over are no longer kept.
    pub fn activate(&self, dataset: &str, version: u64) -> Result<ActiveRecord, RegistryError> {
        self.decide(|| {
            let active = self.read_active(dataset)?;
            let Some(mut record) = active.record.clone() else { return Err(self.no_dataset(dataset)) };
            let sampler: Read<SamplerRecord> = self.read(sampler_key(dataset, version))?;
            let Some(mut sampler_record) = sampler.record.clone() else {
                return Err(RegistryError::NoSampler { dataset: dataset.to_owned(), version });
            };
            if record.version == version {
                return Ok(Decision::Answer(record));
            }
            let kept = self.keep_features(dataset, &sampler_record)?;
            record.take_up(version, sampler_record.revision, self.next_generation()?);
            let sampler_write = if sampler_record.origin.candidate {
                sampler_record.origin.candidate = false;
                sampler.put(&sampler_record)
            } else {
                sampler.keep()
            };
            Ok(Decision::Commit(vec![active.put(&record), sampler_write, kept], record))
        })
    }

    /// Activates the version that was active before the present one; called again, the one before that.
    ///
    /// # Errors
    /// [`RegistryError::NoDataset`], or [`RegistryError::Precondition`] when nothing was active before, or its features are
    /// no longer kept.
    pub fn rollback(&self, dataset: &str) -> Result<ActiveRecord, RegistryError> {
        self.decide(|| {
            let active = self.read_active(dataset)?;
            let Some(mut record) = active.record.clone() else { return Err(self.no_dataset(dataset)) };
            let Some(version) = record.before.pop() else {
                return Err(RegistryError::Precondition(format!(
                    "dataset {dataset:?}: no version was active before version {}",
                    record.version
                )));
            };
            let sampler: Read<SamplerRecord> = self.read(sampler_key(dataset, version))?;
            let Some(sampler) = sampler.record else {
                return Err(RegistryError::NoSampler { dataset: dataset.to_owned(), version });
            };
            let kept = self.keep_features(dataset, &sampler)?;
            (record.version, record.revision) = (version, sampler.revision);
            record.generation = self.next_generation()?;
            Ok(Decision::Commit(vec![active.put(&record), kept], record))
        })
    }

    /// Requires the features that a version was put over to be kept.
    pub(super) fn keep_features(&self, dataset: &str, sampler: &SamplerRecord) -> Result<Write, RegistryError> {
        let read: Read<DatasetRecord> = self.read(dataset_key(dataset))?;
        let Some(record) = &read.record else { return Err(self.no_dataset(dataset)) };
        record.kept(sampler.revision)?;
        Ok(read.keep())
    }

    /// Returns a generation for an activation that is decided now: that of its commit, or less where others come between.
    /// A registry's generations never decrease, so no activation of a dataset gets one below another's, also where the
    /// dataset was removed and imported again, or the registry lost commits and got them back.
    pub(super) fn next_generation(&self) -> Result<u64, RegistryError> {
        Ok(self.backend.generation()? + 1)
    }

    pub(super) fn read_active(&self, dataset: &str) -> Result<Read<ActiveRecord>, RegistryError> {
        self.read(active_key(dataset))
    }
}
