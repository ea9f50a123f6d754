//! The hot swap: the winner becomes the dataset's active sampler.

use swift_sampler::SamplerSpec;
use swift_sampler_client::blocking::Client;
use swift_sampler_client::proto;

use super::SearchConfig;
use crate::error::SearcherError;
use crate::policy::{Purpose, TrialRecord, Verdict, standing, verdict};
use crate::progress::Progress;
use crate::study::StoredTrial;

/// The active sampler of the search's dataset, for the search to change.
pub(super) struct Promotion<'a> {
    /// Which study, which dataset, and whether anything may be changed.
    pub(super) config: &'a SearchConfig,
    /// The daemon.
    pub(super) client: &'a Client,
}

impl Promotion<'_> {
    /// Activates the winner if its confirmed gain over the uniform sampler exceeds its standard error; returns whether
    /// that is settled. A dry run only says what it would do.
    pub(super) fn settle(&self, records: &[TrialRecord], progress: &Progress) -> Result<bool, SearcherError> {
        let Some(winner) = standing(&self.config.plan, records)?.winner else { return Ok(false) };
        let (dataset, found) = (&self.config.dataset, format!("the sampler found by trial {}", winner.trial));
        let (verdict, metric) = (verdict(records, winner.trial), self.config.target.metric());
        let Verdict::Publish(gain) = verdict else {
            progress.say(&format!("{found} is not activated: {}", verdict.text(metric)));
            return Ok(true);
        };
        if self.config.dry_run {
            progress.say(&format!("a dry run: {found} would be activated, {}", verdict.text(metric)));
            return Ok(true);
        }
        let version = match self.promoted_version(winner.trial)? {
            // Retraining begins once this is settled: whatever is active now was activated since.
            Some(_) if records.iter().any(|record| record.parameters.purpose == Purpose::Retrain) => return Ok(true),
            Some(version) => version,
            None => {
                let number = winner.trial;
                let found = records.iter().find(|record| record.number == number);
                let sampler = &found.expect("the winner is one of the records").parameters.sampler;
                self.put_sampler(sampler, number, false)?
            }
        };
        if self.client.get_dataset(dataset)?.active_version != version {
            self.client.activate_sampler(dataset, version)?;
        }
        progress.say(&format!(
            "activated version {version} of {dataset}: trial {}, validation {}, {} over uniform; \
             `samplerctl sampler rollback {dataset}` takes it back",
            winner.trial,
            metric.show(winner.objective),
            gain.text(metric)
        ));
        Ok(true)
    }

    /// Returns the version under which the winner was activated; `None` if it was not.
    pub(super) fn promoted(&self, trials: &[StoredTrial]) -> Result<Option<u64>, SearcherError> {
        let records: Vec<TrialRecord> = trials.iter().map(|trial| trial.record.clone()).collect();
        match standing(&self.config.plan, &records)?.winner {
            Some(winner) if !self.config.dry_run && matches!(verdict(&records, winner.trial), Verdict::Publish(_)) => {
                self.promoted_version(winner.trial)
            }
            _ => Ok(None),
        }
    }

    /// Stores a sampler with its origin and returns its version.
    pub(super) fn put_sampler(
        &self,
        sampler: &SamplerSpec,
        number: u64,
        candidate: bool,
    ) -> Result<u64, SearcherError> {
        let stored = {
            let spec = serde_json::to_string(sampler).expect("a spec is plain data");
            let origin = proto::Origin { study: self.config.study.clone(), trial: number, candidate };
            self.client.put_sampler(&self.config.dataset, &spec, Some(origin))?
        };
        Ok(stored.version)
    }

    /// The version that outlives the study's candidates, if a run of this study stored it before.
    fn promoted_version(&self, trial: u64) -> Result<Option<u64>, SearcherError> {
        let samplers = self.client.list_samplers(&self.config.dataset, false)?;
        let ours = |origin: &proto::Origin| origin.study == self.config.study && origin.trial == trial;
        Ok(samplers
            .iter()
            .find(|sampler| sampler.origin.as_ref().is_some_and(|origin| !origin.candidate && ours(origin)))
            .map(|sampler| sampler.version))
    }
}
