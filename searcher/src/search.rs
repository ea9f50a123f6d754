//! The driver of a search: prepares, imports, keeps workers busy with what the policy proposes, swaps the winner in,
//! retrains and reports.
//!
//! Nothing about a study lives in this process: killed at any time and started again with the same settings, it goes on.

mod differences;
mod promotion;

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::time::Duration;

use swift_sampler_client::blocking::Client;
use swift_sampler_client::{ClientError, ImportRequest, proto};

use crate::error::SearcherError;
use crate::policy::{self, Plan, Proposal, TrialParameters, TrialRecord, TrialStanding};
use crate::preparation::{Preparation, TargetConfig, prepare};
use crate::progress::Progress;
use crate::report::{Evidence, Report};
use crate::stop::Stop;
use crate::study::{FORMAT, StoredTrial, StudyConfig, TrainingConfig};
use crate::target::PrepareProgress;
use crate::work_dir::WorkDir;
use crate::worker::job_name;
use crate::worker_pool::{PoolConfig, WorkerPool};

/// Pause between two looks at the trials.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);
/// The uniform sampler's version, which every dataset has from its import.
const UNIFORM_VERSION: u64 = 1;
/// The column of gradient norms that preparations write.
const GRADIENT_NORM: &str = "grad_norm";
/// Messages of a preparation that may wait to be shown.
const PREPARE_MESSAGES_MAX: usize = 64;

/// What to search, and where.
#[derive(Debug, Clone)]
pub struct SearchConfig {
    /// Address of the daemon.
    pub daemon: String,
    /// The study.
    pub study: String,
    /// The dataset at the daemon.
    pub dataset: String,
    /// What is trained.
    pub target: TargetConfig,
    /// What is searched, and how long.
    pub plan: Plan,
    /// How trials are trained.
    pub training: TrainingConfig,
    /// Workers at once.
    pub jobs: usize,
    /// Folder for the start network, features, logs, report and pictures.
    pub work_dir: PathBuf,
}

/// Runs a search to its end, or goes on with it, or returns the report of one that ended.
///
/// # Errors
/// [`SearcherError`]; whatever was done until then stays done.
pub fn run(config: &SearchConfig, stop: &Stop, progress: &mut Progress) -> Result<Report, SearcherError> {
    config.plan.space.validate().map_err(|error| SearcherError::Config(error.to_string()))?;
    let client = Client::connect(config.daemon.as_str())?;
    // Before hours of preparation: is there a daemon, and is the study's name free for these settings?
    let existing = find_study(&client, config)?;
    let work_dir = WorkDir::open(&config.work_dir)?;
    if let Some(study) = existing.filter(|study| study.state() == proto::StudyState::Ended) {
        progress.say(&format!("study {} has ended; this is its report", config.study));
        let report = Report::read(&study)?;
        report.write(&work_dir)?;
        return Ok(report);
    }
    let preparation = prepare_watched(config, &work_dir, stop, progress)?;
    let dataset = import(&client, config, &preparation)?;
    progress.say(&format!("dataset {}: {} examples, {} cells", dataset.name, dataset.rows, dataset.cells));
    let study_config = StudyConfig {
        format: FORMAT,
        target: config.target.clone(),
        dataset_hash: dataset.hash.clone(),
        plan: config.plan.clone(),
        training: config.training.clone(),
    };
    let study = create_study(&client, config, &study_config)?;
    let search = Search { config, client };
    let trials = search.run_trials(&work_dir, stop, progress)?;
    let evidence = Evidence::gather(&config.target, &preparation)?;
    let report = Report::compute(
        &study,
        &study_config,
        &trials,
        &evidence,
        search.promoted(&trials)?,
        work_dir.path().to_owned(),
    )?;
    report.write(&work_dir)?;
    report.draw(&work_dir, &study_config, &trials, &evidence)?;
    search.end(&trials, &report)?;
    Ok(report)
}

/// Prepares on another thread, so that an interruption need not wait for an epoch.
fn prepare_watched(
    config: &SearchConfig,
    work_dir: &WorkDir,
    stop: &Stop,
    progress: &mut Progress,
) -> Result<Preparation, SearcherError> {
    let (sender, receiver) = std::sync::mpsc::sync_channel::<PrepareProgress>(PREPARE_MESSAGES_MAX);
    let (target, path) = (config.target.clone(), work_dir.path().to_owned());
    let thread = std::thread::Builder::new()
        .name("prepare".to_owned())
        .spawn(move || {
            // A receiver that is gone was interrupted.
            prepare(&target, &path, &mut |step| match sender.send(*step) {
                Ok(()) => ControlFlow::Continue(()),
                Err(_gone) => ControlFlow::Break(()),
            })
        })
        .map_err(|error| SearcherError::Failed(format!("the preparing thread cannot be started: {error}")))?;
    loop {
        match receiver.recv_timeout(LOOK_INTERVAL) {
            Ok(step) => progress.prepare(&step),
            Err(std::sync::mpsc::RecvTimeoutError::Disconnected) => break,
            Err(std::sync::mpsc::RecvTimeoutError::Timeout) if stop.is_set() => return Err(SearcherError::Interrupted),
            Err(std::sync::mpsc::RecvTimeoutError::Timeout) => {}
        }
    }
    let prepared = thread.join().map_err(|_panic| SearcherError::Failed("the preparation panicked".to_owned()))??;
    if prepared.reused {
        progress.say("start network and features are there already");
    }
    Ok(prepared)
}

fn find_study(client: &Client, config: &SearchConfig) -> Result<Option<proto::Study>, SearcherError> {
    let study = match client.get_study(&config.study) {
        Ok(study) => study,
        Err(ClientError::NotFound(_)) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let stored = crate::study::read_config(&study)?;
    let wanted = StudyConfig {
        format: FORMAT,
        target: config.target.clone(),
        // Content is compared when the dataset is imported.
        dataset_hash: stored.dataset_hash.clone(),
        plan: config.plan.clone(),
        training: config.training.clone(),
    };
    match differences::first(&stored, &wanted) {
        None => Ok(Some(study)),
        Some(difference) => Err(SearcherError::Config(format!(
            "study {:?} exists with other settings: {difference}; use the same ones to go on, or another --study",
            config.study
        ))),
    }
}

fn import(client: &Client, config: &SearchConfig, preparation: &Preparation) -> Result<proto::Dataset, SearcherError> {
    let request = ImportRequest {
        features: config.plan.space.features.clone(),
        gradient_norm: Some(GRADIENT_NORM.to_owned()),
        ..ImportRequest::new(&config.dataset, [preparation.features.clone()])
    };
    match client.import_dataset(&request, |_| {}) {
        Ok(dataset) => Ok(dataset),
        Err(ClientError::AlreadyExists(reason)) => {
            Err(SearcherError::Config(format!("{reason}: give another --dataset, or remove the old one")))
        }
        Err(error) => Err(error.into()),
    }
}

fn create_study(
    client: &Client,
    config: &SearchConfig,
    study_config: &StudyConfig,
) -> Result<proto::Study, SearcherError> {
    let request = proto::CreateStudyRequest {
        name: config.study.clone(),
        dataset: config.dataset.clone(),
        config_json: serde_json::to_string(study_config).expect("a config is plain data"),
        attempts_max: 0,
    };
    match client.create_study(request) {
        Ok(study) => Ok(study),
        Err(ClientError::AlreadyExists(reason)) => Err(SearcherError::Config(format!(
            "{reason}: the study was made on another dataset or with other settings; give another --study"
        ))),
        Err(error) => Err(error.into()),
    }
}

struct Search<'a> {
    config: &'a SearchConfig,
    client: Client,
}

impl Search<'_> {
    /// Keeps `jobs` trials under way until the policy is finished, and returns them all.
    fn run_trials(
        &self,
        work_dir: &WorkDir,
        stop: &Stop,
        progress: &mut Progress,
    ) -> Result<Vec<StoredTrial>, SearcherError> {
        let mut workers = None;
        let mut promoted = false;
        loop {
            if stop.is_set() {
                return Err(SearcherError::Interrupted);
            }
            let trials = self.trials()?;
            progress.update(&self.config.plan, &trials);
            let records: Vec<TrialRecord> = trials.iter().map(|trial| trial.record.clone()).collect();
            if !promoted {
                promoted = self.promote_winner(&records, progress)?;
            }
            let under_way = records.iter().filter(|record| record.standing == TrialStanding::Pending).count();
            if under_way < self.config.jobs {
                match policy::next(&self.config.plan, &records)? {
                    Proposal::Add(parameters) => {
                        self.add_trial(records.len() as u64, *parameters)?;
                        continue;
                    }
                    Proposal::Wait => {}
                    Proposal::Finished => return Ok(trials),
                }
            }
            match &mut workers {
                None => workers = Some(WorkerPool::start(self.pool_config(work_dir))?),
                Some(workers) => workers.supervise()?,
            }
            if stop.wait_timeout(LOOK_INTERVAL) {
                return Err(SearcherError::Interrupted);
            }
        }
    }

    fn pool_config(&self, work_dir: &WorkDir) -> PoolConfig {
        PoolConfig {
            jobs: self.config.jobs,
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
            swift_sampler::SamplerSpec::Uniform {} => UNIFORM_VERSION,
            sampler => match self.put_sampler(sampler, number, true) {
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

    /// Ends the study; jobs that crashed workers left behind go first, so that the dataset can be removed.
    fn end(&self, trials: &[StoredTrial], report: &Report) -> Result<(), SearcherError> {
        for trial in trials {
            match self.client.remove_job(&job_name(&self.config.study, trial.record.number)) {
                Ok(()) | Err(ClientError::NotFound(_)) => {}
                Err(error) => return Err(error.into()),
            }
        }
        let result = serde_json::to_string(report).expect("a report is plain data");
        self.client.end_study(&self.config.study, &result)?;
        Ok(())
    }
}
