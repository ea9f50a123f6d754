//! Datasets: created with a uniform sampler active, removed when no job reads them.

use super::error::check_name;
use super::owner::Owner;
use super::records::{
    ActiveRecord, DatasetRecord, FIRST_REVISION, OriginRecord, RemovedRecord, SamplerFigures, SamplerRecord,
};
use super::{
    Decision, REMOVED_PREFIX, Read, Registry, RegistryError, Write, active_key, dataset_key, removed_key, sampler_key,
    samplers_prefix,
};

/// The spec of a dataset's first sampler.
const UNIFORM: &str = r#"{"kind":"uniform"}"#;

/// Removed contents that are remembered; the oldest are forgotten beyond it.
const REMOVED_MAX: usize = 1024;

/// What an import found.
#[derive(Debug, Clone)]
pub struct NewDataset {
    /// Its name.
    pub name: String,
    /// SHA-256 of its content, hexadecimal.
    pub hash: String,
    /// Number of examples.
    pub rows: u64,
    /// Index of the first example.
    pub first_row: u64,
    /// The features samplers combine by default.
    pub features: Vec<String>,
    /// The column of gradient norms.
    pub gradient_norm: Option<String>,
    /// All stored columns.
    pub columns: Vec<String>,
    /// Distinct quantised feature tuples.
    pub cells: u64,
}

impl Registry {
    /// Refuses a name that no dataset may have.
    ///
    /// # Errors
    /// [`RegistryError::Name`].
    pub fn check_dataset_name(name: &str) -> Result<(), RegistryError> {
        check_name("dataset", name)
    }

    /// Creates a dataset with sampler version 1, uniform and active, or returns the one there is, if its content is the
    /// same.
    ///
    /// # Errors
    /// [`RegistryError::Differs`] when the name holds other content, [`RegistryError::Full`].
    pub fn create_dataset(&self, new: &NewDataset) -> Result<(DatasetRecord, ActiveRecord), RegistryError> {
        self.create_dataset_of(new, &Owner::default())
    }

    /// As [`Self::create_dataset`], for a tenant, if it is new.
    ///
    /// # Errors
    /// As [`Self::create_dataset`], and [`RegistryError::Quota`].
    pub fn create_dataset_of(
        &self,
        new: &NewDataset,
        owner: &Owner,
    ) -> Result<(DatasetRecord, ActiveRecord), RegistryError> {
        check_name("dataset", &new.name)?;
        self.decide(|| {
            let dataset: Read<DatasetRecord> = self.read(dataset_key(&new.name))?;
            if let Some(stored) = dataset.record {
                if stored.hash == new.hash {
                    return Ok(Decision::Answer((stored, self.active(&new.name)?)));
                }
                let short = |hash: &str| format!("SHA-256 {hash:.12}…");
                return Err(RegistryError::Differs {
                    what: "dataset",
                    name: new.name.clone(),
                    field: "content",
                    stored: short(&stored.hash),
                    given: short(&new.hash),
                });
            }
            self.check_room(&self.limits.datasets())?;
            self.check_quota::<DatasetRecord>(owner)?;
            let now = self.now_ms();
            let record = DatasetRecord {
                name: new.name.clone(),
                hash: new.hash.clone(),
                rows: new.rows,
                first_row: new.first_row,
                features: new.features.clone(),
                gradient_norm: new.gradient_norm.clone(),
                columns: new.columns.clone(),
                cells: new.cells,
                created_at_ms: now,
                refreshed: Vec::new(),
                latest_revision: FIRST_REVISION,
                tenant: owner.tenant.clone(),
            };
            let active = self.read(active_key(&new.name))?;
            let generation = self.next_generation()?;
            let active_record =
                ActiveRecord { version: 1, generation, before: Vec::new(), next_version: 2, revision: FIRST_REVISION };
            let sampler = self.read(sampler_key(&new.name, 1))?;
            #[allow(clippy::cast_precision_loss, reason = "datasets have fewer than 2^32 rows")]
            let sampler_record = SamplerRecord {
                dataset: new.name.clone(),
                version: 1,
                spec_json: UNIFORM.to_owned(),
                origin: OriginRecord::default(),
                revision: FIRST_REVISION,
                features_hash: None,
                refreshed_from: None,
                figures: SamplerFigures { effective_sample_size: new.rows as f64, total_variation: Some(0.0) },
                created_at_ms: now,
            };
            let mut writes = vec![dataset.put(&record), active.put(&active_record), sampler.put(&sampler_record)];
            let removed: Read<RemovedRecord> = self.read(removed_key(&new.hash))?;
            if removed.record.is_some() {
                writes.push(removed.delete());
            }
            Ok(Decision::Commit(writes, (record, active_record)))
        })
    }

    /// Returns a dataset.
    ///
    /// # Errors
    /// [`RegistryError::NoDataset`].
    pub fn dataset(&self, name: &str) -> Result<DatasetRecord, RegistryError> {
        let dataset: Read<DatasetRecord> = self.read(dataset_key(name))?;
        dataset.record.map_or_else(|| Err(self.no_dataset(name)), Ok)
    }

    /// Returns all datasets, ascending in name.
    ///
    /// # Errors
    /// [`RegistryError::Backend`].
    pub fn datasets(&self) -> Result<Vec<DatasetRecord>, RegistryError> {
        self.records("dataset/")
    }

    /// Removes a dataset with its samplers, and returns the contents of its revisions that no other dataset has. They are
    /// remembered as removed: every daemon may delete its copies.
    ///
    /// # Errors
    /// [`RegistryError::NoDataset`], or [`RegistryError::Precondition`] while jobs or studies refer to it.
    pub fn remove_dataset(&self, name: &str) -> Result<Vec<String>, RegistryError> {
        self.decide(|| {
            let dataset: Read<DatasetRecord> = self.read(dataset_key(name))?;
            let Some(record) = &dataset.record else { return Err(self.no_dataset(name)) };
            if let Some(job) = self.jobs()?.iter().find(|job| job.dataset == name) {
                return Err(RegistryError::Precondition(format!(
                    "dataset {name:?} is read by job {:?}: remove its jobs first",
                    job.name
                )));
            }
            if let Some(study) = self.studies()?.iter().find(|study| study.dataset == name) {
                return Err(RegistryError::Precondition(format!(
                    "dataset {name:?} is searched by study {:?}: remove it first (searcher remove STUDY)",
                    study.name
                )));
            }
            // A job or study that is opened meanwhile moves the active record's revision, and this is decided again.
            let active: Read<ActiveRecord> = self.read(active_key(name))?;
            let mut writes = vec![dataset.delete(), active.delete()];
            for sampler in self.list::<SamplerRecord>(&samplers_prefix(name))? {
                writes.push(sampler.delete());
            }
            let mut others = self.datasets()?;
            others.retain(|other| other.name != name);
            let shared = |hash: &&str| others.iter().any(|other| other.hashes().any(|of| of == *hash));
            let orphans: Vec<String> = record.hashes().filter(|hash| !shared(hash)).map(ToOwned::to_owned).collect();
            writes.extend(self.note_removed(&orphans)?);
            Ok(Decision::Commit(writes, orphans))
        })
    }

    /// Returns the hashes of contents that were removed and that no dataset has. A content that merely is in no record, as
    /// all are when a registry was lost, is not among them.
    ///
    /// # Errors
    /// [`RegistryError::Backend`].
    pub fn removed_hashes(&self) -> Result<Vec<String>, RegistryError> {
        let removed: Vec<RemovedRecord> = self.records(REMOVED_PREFIX)?;
        // Read afterwards, so that a content that is imported again meanwhile is found.
        let datasets = self.datasets()?;
        let unused = |hash: &String| !datasets.iter().flat_map(DatasetRecord::hashes).any(|of| of == hash);
        Ok(removed.into_iter().map(|removed| removed.hash).filter(unused).collect())
    }

    /// Returns the writes that remember contents as removed.
    pub(super) fn note_removed(&self, hashes: &[String]) -> Result<Vec<Write>, RegistryError> {
        let mut writes = Vec::new();
        for hash in hashes {
            let now = RemovedRecord { hash: hash.clone(), removed_at_ms: self.now_ms() };
            writes.push(self.read::<RemovedRecord>(removed_key(hash))?.put(&now));
        }
        let mut known = self.list::<RemovedRecord>(REMOVED_PREFIX)?;
        known.retain(|read| hashes.iter().all(|hash| read.key != removed_key(hash)));
        known.sort_by_key(|read| read.record.as_ref().map(|record| record.removed_at_ms));
        let surplus = (known.len() + hashes.len()).saturating_sub(REMOVED_MAX);
        writes.extend(known.iter().take(surplus).map(Read::delete));
        Ok(writes)
    }

    pub(super) fn no_dataset(&self, name: &str) -> RegistryError {
        let known = match self.datasets() {
            Ok(datasets) if !datasets.is_empty() => {
                let names: Vec<_> = datasets.into_iter().map(|dataset| dataset.name).collect();
                format!(": there are {}", names.join(", "))
            }
            _ => ": import one first".to_owned(),
        };
        RegistryError::NoDataset { name: name.to_owned(), known }
    }
}
