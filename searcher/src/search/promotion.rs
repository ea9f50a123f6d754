//! The hot swap: the winner becomes the dataset's active sampler.

use swift_sampler::SamplerSpec;
use swift_sampler_client::proto;

use super::Search;
use crate::error::SearcherError;
use crate::policy::{TrialRecord, Winner, standing};
use crate::progress::Progress;
use crate::study::StoredTrial;

impl Search<'_> {
    /// Activates the winner if there is one and it beats the uniform sampler; returns whether that is settled.
    pub(super) fn promote_winner(&self, records: &[TrialRecord], progress: &Progress) -> Result<bool, SearcherError> {
        let standing = standing(&self.config.plan, records)?;
        let Some(winner) = standing.winner else { return Ok(false) };
        let baseline = standing.baseline;
        if !beats(&winner, baseline) {
            progress.say(&format!(
                "the best sampler found (trial {}, {}) does not beat the uniform one ({}): it stays inactive",
                winner.trial,
                percent(Some(winner.objective)),
                percent(baseline)
            ));
            return Ok(true);
        }
        let dataset = &self.config.dataset;
        let version = match self.promoted_version(winner.trial)? {
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
            "activated version {version} of {dataset}: trial {}, validation {} (uniform {})",
            winner.trial,
            percent(Some(winner.objective)),
            percent(baseline)
        ));
        Ok(true)
    }

    /// Returns the version under which the winner was activated; `None` if it was not.
    pub(super) fn promoted(&self, trials: &[StoredTrial]) -> Result<Option<u64>, SearcherError> {
        let records: Vec<TrialRecord> = trials.iter().map(|trial| trial.record.clone()).collect();
        let standing = standing(&self.config.plan, &records)?;
        match standing.winner {
            Some(winner) if beats(&winner, standing.baseline) => self.promoted_version(winner.trial),
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

fn beats(winner: &Winner, baseline: Option<f64>) -> bool {
    baseline.is_some_and(|baseline| winner.objective > baseline)
}

fn percent(share: Option<f64>) -> String {
    share.map_or_else(|| "unknown".to_owned(), |share| format!("{:.2}%", 100.0 * share))
}
