//! Workers of a study: who holds a trial, and who asked for one lately, at whichever daemon of the registry.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::records::{StudyState, TrialRecord, TrialState};
use super::{Decision, Read, Registry, RegistryError, Write, askers_key, trials_prefix};

/// A worker that asks again and again is noted this often, in milliseconds.
const NOTE_INTERVAL_MS: u64 = 5_000;
/// For how long a worker that asked counts as one of the study, in milliseconds.
const ASKED_LATELY_MS: u64 = 15_000;
/// Most workers that are noted.
const ASKERS_MAX: usize = 1_000;

/// The workers that asked for a trial of a study, each with when it did, Unix time.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct AskersRecord {
    pub(super) asked_at_ms: BTreeMap<String, u64>,
}

impl Registry {
    // Differences of times, whichever is later: a clock that is set back does not make workers of those that are gone.

    /// Counts the workers that hold a trial of a study or asked for one in the last fifteen seconds.
    ///
    /// # Errors
    /// [`RegistryError::NoStudy`].
    pub fn workers(&self, study: &str) -> Result<u32, RegistryError> {
        let study_record = self.study(study)?;
        if study_record.state == StudyState::Ended {
            return Ok(0);
        }
        let now = self.now_ms();
        let askers = self.read::<AskersRecord>(askers_key(study))?.record.unwrap_or_default();
        let asked = askers
            .asked_at_ms
            .into_iter()
            .filter(|(_, at)| at.abs_diff(now) <= ASKED_LATELY_MS)
            .map(|(worker, _)| worker);
        let trials: Vec<TrialRecord> = self.records(&trials_prefix(study))?;
        let running = trials
            .into_iter()
            .map(|trial| trial.settled(now, study_record.attempts_max))
            .filter(|trial| trial.state == TrialState::Running)
            .map(|trial| trial.worker);
        let workers: BTreeSet<String> = asked.chain(running).collect();
        Ok(u32::try_from(workers.len()).unwrap_or(u32::MAX))
    }

    /// What removes the notes on a study that ends.
    pub(super) fn forget_askers(&self, study: &str) -> Result<Option<Write>, RegistryError> {
        let askers: Read<AskersRecord> = self.read(askers_key(study))?;
        Ok(askers.record.is_some().then(|| askers.delete()))
    }

    /// Notes that a worker asked for a trial. Where too many others write, the next time it asks will do.
    pub(super) fn note_asker(&self, study: &str, worker: &str) -> Result<(), RegistryError> {
        let noted = self.decide(|| {
            let study_read = self.read_study(study)?;
            let askers: Read<AskersRecord> = self.read(askers_key(study))?;
            let mut record = askers.record.clone().unwrap_or_default();
            let now = self.now_ms();
            let known = record.asked_at_ms.get(worker).is_some_and(|at| at.abs_diff(now) < NOTE_INTERVAL_MS);
            let running = study_read.record.as_ref().is_some_and(|study| study.state == StudyState::Running);
            if known || !running {
                return Ok(Decision::Answer(()));
            }
            record.asked_at_ms.retain(|_, at| at.abs_diff(now) <= ASKED_LATELY_MS);
            if record.asked_at_ms.len() < ASKERS_MAX {
                record.asked_at_ms.insert(worker.to_owned(), now);
            }
            Ok(Decision::Commit(vec![study_read.keep(), askers.put(&record)], ()))
        });
        match noted {
            Err(RegistryError::Contended { .. }) => Ok(()),
            noted => noted,
        }
    }
}
