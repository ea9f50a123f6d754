//! Keeping workers busy until the policy is finished.

use std::time::{Duration, Instant};

use swift_sampler::SamplerSpec;
use swift_sampler_client::{ClientError, proto};

use super::{LOOK_INTERVAL, Search};
use crate::error::SearcherError;
use crate::policy::{self, Proposal, TrialParameters, TrialRecord, TrialStanding};
use crate::progress::Progress;
use crate::stop::Stop;
use crate::study::StoredTrial;
use crate::work_dir::WorkDir;
use crate::worker_pool::{self, PoolConfig, WorkerPool};

/// The uniform sampler's version, which every dataset has from its import.
const UNIFORM_VERSION: u64 = 1;
/// How long the daemon may be away before the search ends. Whatever a round did before it failed, the next one sees.
const OUTAGE_MAX: Duration = Duration::from_secs(60);
/// How often to count the study's workers.
const COUNT_INTERVAL: Duration = Duration::from_secs(1);

/// What a round came to.
enum Round {
    /// A trial was added; there may be room for more.
    Added,
    /// Workers have enough to do.
    Busy,
    /// Every trial has ended.
    Finished(Vec<StoredTrial>),
}

impl Search<'_> {
    /// Keeps as many trials under way as there are workers until the policy is finished, and returns them all.
    pub(super) fn run_trials(
        &mut self,
        work_dir: &WorkDir,
        stop: &Stop,
        progress: &mut Progress,
    ) -> Result<Vec<StoredTrial>, SearcherError> {
        let mut workers = None;
        let mut reached = Instant::now();
        loop {
            if stop.is_set() {
                return Err(SearcherError::Interrupted);
            }
            match self.round(work_dir, &mut workers, progress) {
                Ok(Round::Finished(trials)) => return Ok(trials),
                Ok(Round::Added) => {
                    reached = Instant::now();
                    continue;
                }
                Ok(Round::Busy) => reached = Instant::now(),
                Err(SearcherError::Daemon(error @ ClientError::Unavailable { .. }))
                    if reached.elapsed() < OUTAGE_MAX =>
                {
                    progress.say(&format!("{error} Trying again."));
                }
                Err(error) => return Err(error),
            }
            if stop.wait_timeout(LOOK_INTERVAL) {
                return Err(SearcherError::Interrupted);
            }
        }
    }

    /// Looks at the trials once and does what is due. Doing it again does no harm.
    fn round(
        &mut self,
        work_dir: &WorkDir,
        workers: &mut Option<WorkerPool>,
        progress: &mut Progress,
    ) -> Result<Round, SearcherError> {
        let trials = self.trials()?;
        progress.update(&self.course, &trials);
        let records: Vec<TrialRecord> = trials.iter().map(|trial| trial.record.clone()).collect();
        if !self.promotion_settled {
            self.promotion_settled = self.promotion().settle(&records, progress)?;
        }
        let under_way = records.iter().filter(|record| record.standing == TrialStanding::Pending).count();
        if under_way < self.workers_wanting_trials()? {
            match policy::next(&self.config.plan, &self.behaviour, &records)? {
                Proposal::Add(parameters) => {
                    self.add_trial(records.len() as u64, *parameters)?;
                    return Ok(Round::Added);
                }
                Proposal::Wait => {}
                Proposal::Finished => return Ok(Round::Finished(trials)),
            }
        }
        match workers {
            None => *workers = Some(WorkerPool::start(self.pool_config(work_dir))?),
            Some(workers) => {
                for crashed in workers.supervise()? {
                    worker_pool::fail_trials_of(&self.client, &self.config.study, &crashed)?;
                }
            }
        }
        Ok(Round::Busy)
    }

    /// Returns how many trials to keep under way: one a worker, here or elsewhere, but at least one, so that the next
    /// worker to come finds it.
    fn workers_wanting_trials(&mut self) -> Result<usize, SearcherError> {
        let counted = match self.workers {
            Some((at, counted)) if at.elapsed() < COUNT_INTERVAL => counted,
            _ => {
                let counted = self.client.get_study(&self.config.study)?.workers as usize;
                self.workers = Some((Instant::now(), counted));
                counted
            }
        };
        Ok(self.config.devices.len().max(counted).max(1))
    }

    fn pool_config(&self, work_dir: &WorkDir) -> PoolConfig {
        PoolConfig {
            names: worker_pool::place_name(work_dir.path()),
            devices: self.config.devices.clone(),
            limits: self.config.limits,
            trial_command: None,
            daemon: self.config.daemon.clone(),
            study: self.config.study.clone(),
            work_dir: work_dir.path().to_owned(),
        }
    }

    fn trials(&self) -> Result<Vec<StoredTrial>, SearcherError> {
        StoredTrial::read_all(&self.client.list_trials(&self.config.study)?)
    }

    /// Stores a trial's sampler as a candidate and adds the trial.
    fn add_trial(&self, number: u64, mut parameters: TrialParameters) -> Result<(), SearcherError> {
        let version = match &parameters.sampler {
            SamplerSpec::Uniform {} => UNIFORM_VERSION,
            sampler => match self.promotion().put_sampler(sampler, number, true) {
                Ok(version) => version,
                Err(SearcherError::Daemon(ClientError::Invalid(reason))) => {
                    parameters.refused = Some(reason);
                    UNIFORM_VERSION
                }
                Err(error) => return Err(error),
            },
        };
        let request = proto::AddTrialRequest {
            study: self.config.study.clone(),
            number,
            parameters_json: serde_json::to_string(&parameters).expect("parameters are plain data"),
            sampler_version: version,
        };
        match self.client.add_trial(request) {
            // Aborted: another searcher on the same study was faster; the next look sees its trial.
            Ok(_) | Err(ClientError::Aborted(_)) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}
