//! Studies: created once, ended once; what their candidates leave behind is collected.

use std::collections::BTreeSet;

use swift_sampler::job::Follow;

use super::error::check_name;
use super::records::{JobRecord, SamplerRecord, StudyRecord, StudyState, TrialRecord, TrialState};
use super::{Decision, Read, Registry, RegistryError, Write, samplers_prefix, study_key, trials_prefix};

/// Attempts a trial has unless the study says otherwise.
const ATTEMPTS_DEFAULT: u32 = 3;
/// Most attempts a study may give a trial.
pub(crate) const ATTEMPTS_MAX: u32 = 100;
/// Longest JSON text of a study or trial, in bytes.
pub(crate) const JSON_BYTES_MAX: usize = 1 << 20;

/// What a study is created with.
#[derive(Debug, Clone)]
pub struct NewStudy {
    /// Its name.
    pub name: String,
    /// The dataset it searches a sampler for.
    pub dataset: String,
    /// The policy's configuration.
    pub config_json: String,
    /// How often a trial is tried; 0 is read as 3.
    pub attempts_max: u32,
}

impl Registry {
    /// Creates a study, or returns the one there is, if its config is equal.
    ///
    /// # Errors
    /// [`RegistryError::NoDataset`], [`RegistryError::Differs`] when it exists with another config,
    /// [`RegistryError::Invalid`] for a config that is not JSON, [`RegistryError::Full`].
    pub fn create_study(&self, new: &NewStudy) -> Result<StudyRecord, RegistryError> {
        check_name("study", &new.name)?;
        let config = parse_json("config_json", &new.config_json)?;
        let attempts_max = if new.attempts_max == 0 { ATTEMPTS_DEFAULT } else { new.attempts_max };
        if attempts_max > ATTEMPTS_MAX {
            return Err(RegistryError::Invalid(format!(
                "attempts_max is {attempts_max}: it must be at most {ATTEMPTS_MAX}"
            )));
        }
        self.decide(|| {
            let study = self.read_study(&new.name)?;
            if let Some(stored) = study.record {
                let differs = |field, stored_value: &str, given: &str| {
                    Err(RegistryError::Differs {
                        what: "study",
                        name: new.name.clone(),
                        field,
                        stored: stored_value.to_owned(),
                        given: given.to_owned(),
                    })
                };
                if stored.dataset != new.dataset {
                    return differs("dataset", &stored.dataset, &new.dataset);
                }
                if parse_json("config_json", &stored.config_json)? != config {
                    return differs("config", &stored.config_json, &new.config_json);
                }
                if stored.attempts_max != attempts_max {
                    return differs("attempts_max", &stored.attempts_max.to_string(), &attempts_max.to_string());
                }
                return Ok(Decision::Answer(stored));
            }
            self.check_room(&self.limits.studies())?;
            let active = self.read_active(&new.dataset)?;
            let Some(active_record) = &active.record else { return Err(self.no_dataset(&new.dataset)) };
            let record = StudyRecord {
                name: new.name.clone(),
                dataset: new.dataset.clone(),
                config_json: new.config_json.clone(),
                state: StudyState::Running,
                result_json: String::new(),
                created_at_ms: self.now_ms(),
                attempts_max,
                trials: 0,
            };
            // Written, though unchanged, so that a removal of the dataset that saw no study looks again.
            let writes = vec![active.put(active_record), study.put(&record)];
            Ok(Decision::Commit(writes, record))
        })
    }

    /// Returns a study.
    ///
    /// # Errors
    /// [`RegistryError::NoStudy`].
    pub fn study(&self, name: &str) -> Result<StudyRecord, RegistryError> {
        self.read_study(name)?.record.ok_or_else(|| RegistryError::NoStudy(name.to_owned()))
    }

    /// Returns all studies, ascending in name.
    ///
    /// # Errors
    /// [`RegistryError::Backend`].
    pub fn studies(&self) -> Result<Vec<StudyRecord>, RegistryError> {
        self.records("study/")
    }

    /// Ends a study, and collects what its trials leave behind: jobs pinned to one of its candidates and named
    /// `STUDY/…`, then the candidates that no other job, and no rollback, refers to.
    ///
    /// # Errors
    /// [`RegistryError::NoStudy`], or [`RegistryError::Precondition`] when it has ended with another result.
    pub fn end_study(&self, name: &str, result_json: &str) -> Result<StudyRecord, RegistryError> {
        if !result_json.is_empty() {
            parse_json("result_json", result_json)?;
        }
        self.decide(|| {
            let study = self.read_study(name)?;
            let Some(mut record) = study.record.clone() else { return Err(RegistryError::NoStudy(name.to_owned())) };
            if record.state == StudyState::Ended {
                if record.result_json == result_json {
                    return Ok(Decision::Answer(record));
                }
                return Err(RegistryError::Precondition(format!("study {name:?} has ended with another result")));
            }
            record.state = StudyState::Ended;
            record.result_json = result_json.to_owned();
            let mut writes = self.collect_candidates(&record)?;
            writes.push(study.put(&record));
            writes.extend(self.forget_askers(name)?);
            Ok(Decision::Commit(writes, record))
        })
    }

    /// Removes a study with its trials and what they left behind.
    ///
    /// # Errors
    /// [`RegistryError::NoStudy`], or [`RegistryError::Precondition`] while a trial is running.
    pub fn remove_study(&self, name: &str) -> Result<(), RegistryError> {
        self.decide(|| {
            let study = self.read_study(name)?;
            let Some(record) = &study.record else { return Err(RegistryError::NoStudy(name.to_owned())) };
            let trials: Vec<Read<TrialRecord>> = self.list(&trials_prefix(name))?;
            let now = self.now_ms();
            let running = trials
                .iter()
                .filter_map(|trial| trial.record.clone())
                .map(|trial| trial.settled(now, record.attempts_max))
                .find(|trial| trial.state == TrialState::Running);
            if let Some(trial) = running {
                return Err(RegistryError::Precondition(format!(
                    "trial {} of study {name:?} is running on worker {:?}: end the study and wait for it",
                    trial.number, trial.worker
                )));
            }
            let mut writes = self.collect_candidates(record)?;
            writes.push(study.delete());
            writes.extend(self.forget_askers(name)?);
            writes.extend(trials.iter().map(Read::delete));
            Ok(Decision::Commit(writes, ()))
        })
    }

    fn collect_candidates(&self, study: &StudyRecord) -> Result<Vec<Write>, RegistryError> {
        let samplers: Vec<Read<SamplerRecord>> = self.list(&samplers_prefix(&study.dataset))?;
        let candidate = |record: &SamplerRecord| record.origin.candidate && record.origin.study == study.name;
        let candidates: BTreeSet<u64> = samplers
            .iter()
            .filter_map(|read| read.record.as_ref())
            .filter(|s| candidate(s))
            .map(|s| s.version)
            .collect();
        if candidates.is_empty() {
            return Ok(Vec::new());
        }
        let active = self.active(&study.dataset)?;
        let mut kept: BTreeSet<u64> = active.before.iter().copied().chain([active.version]).collect();
        let mut writes = Vec::new();
        let prefix = format!("{}/", study.name);
        for read in self.list::<JobRecord>("job/")? {
            let Some(job) = &read.record else { continue };
            if job.dataset != study.dataset {
                continue;
            }
            let of_a_trial = job.name.starts_with(&prefix)
                && matches!(job.follow, Follow::Pinned(version) if candidates.contains(&version));
            if of_a_trial {
                writes.push(read.delete());
            } else {
                kept.extend(job.log.changes().iter().map(|change| change.version));
            }
        }
        for sampler in &samplers {
            let collected = sampler.record.as_ref().is_some_and(|s| candidate(s) && !kept.contains(&s.version));
            if collected {
                writes.push(sampler.delete());
            }
        }
        Ok(writes)
    }

    pub(super) fn read_study(&self, name: &str) -> Result<Read<StudyRecord>, RegistryError> {
        self.read(study_key(name))
    }
}

/// Parses JSON text of a policy or worker, which is compared as a value and kept as text.
pub(super) fn parse_json(field: &str, text: &str) -> Result<serde_json::Value, RegistryError> {
    if text.len() > JSON_BYTES_MAX {
        return Err(RegistryError::Invalid(format!(
            "{field} has {} bytes: it must have at most {JSON_BYTES_MAX}",
            text.len()
        )));
    }
    serde_json::from_str(text).map_err(|error| RegistryError::Invalid(format!("{field} is not JSON: {error}")))
}
