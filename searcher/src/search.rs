//! The driver of a search: prepares, imports, keeps workers busy with what the policy proposes, swaps the winner in,
//! retrains and reports.
//!
//! Nothing about a study lives in this process: killed at any time and started again with the same settings, it goes on.

mod dataset;
mod differences;
mod given_dataset;
mod promotion;
mod rounds;
mod warm_start;

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use swift_sampler_client::blocking::Client;
use swift_sampler_client::{ClientError, proto};

use crate::behaviour::Behaviour;
use crate::columns::join;
use crate::daemon_options::DaemonOptions;
use crate::devices::Device;
use crate::error::SearcherError;
use crate::limits::TrialLimits;
use crate::pictures::Pictures;
use crate::policy::{Plan, TrialRecord};
use crate::preparation::{Preparation, TargetConfig, prepare};
use crate::progress::{Course, Progress};
use crate::report::{Evidence, Report};
use crate::stop::Stop;
use crate::study::{FORMAT, StoredTrial, StudyConfig, TrainingConfig};
use crate::target::PrepareProgress;
use crate::work_dir::WorkDir;
use crate::worker::job_name;
use promotion::Promotion;

/// Pause between two looks at the trials.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);
/// Messages of a preparation that may wait to be shown.
const PREPARE_MESSAGES_MAX: usize = 64;

/// What to search, and where.
#[derive(Debug, Clone)]
pub struct SearchConfig {
    /// Where the daemon is.
    pub daemon: DaemonOptions,
    /// The study.
    pub study: String,
    /// The dataset at the daemon.
    pub dataset: String,
    /// What is trained.
    pub target: TargetConfig,
    /// What is searched, and how long.
    pub plan: Plan,
    /// Files with columns of the user's own.
    pub columns: Vec<PathBuf>,
    /// How trials are trained.
    pub training: TrainingConfig,
    /// An earlier study to begin with, whose best samplers become the plan's.
    pub warm_start: Option<String>,
    /// The device of each worker of this machine; none: workers elsewhere run the trials.
    pub devices: Vec<Device>,
    /// Limits of an attempt at a trial.
    pub limits: TrialLimits,
    /// Folder for the start network, features, logs, report and pictures.
    pub work_dir: PathBuf,
    /// Activate nothing, whatever is found.
    pub dry_run: bool,
}

/// Runs a search to its end, or goes on with it, or returns the report of one that ended.
///
/// # Errors
/// [`SearcherError`]; whatever was done until then stays done.
pub fn run(config: &SearchConfig, stop: &Stop, progress: &mut Progress) -> Result<Report, SearcherError> {
    progress.measure(config.target.metric());
    config.plan.space.validate().map_err(|error| SearcherError::Config(error.to_string()))?;
    let client = config.daemon.connect()?;
    // Before hours of preparation: is there a daemon, and is the study's name free for these settings?
    let config = &SearchConfig { plan: warm_start::plan(&client, config, progress)?, ..config.clone() };
    let existing = find_study(&client, config)?;
    let work_dir = WorkDir::open(&config.work_dir)?;
    if let Some(study) = existing.filter(|study| study.state() == proto::StudyState::Ended) {
        progress.say(&format!("study {} has ended; this is its report", config.study));
        let mut report = Report::read(&study)?;
        if report.winner.activated_version.is_none() {
            // It may have been a dry run, which this is not.
            let trials = StoredTrial::read_all(&client.list_trials(&config.study)?)?;
            let promotion = Promotion { config, client: &client };
            if promotion.promoted(&trials)?.is_none() {
                let records: Vec<TrialRecord> = trials.iter().map(|trial| trial.record.clone()).collect();
                promotion.settle(&records, progress)?;
            }
            report.winner.activated_version = promotion.promoted(&trials)?;
        }
        report.write(&work_dir)?;
        return Ok(report);
    }
    let (preparation, dataset) = match &config.target {
        TargetConfig::Command(target) if target.features.is_empty() => {
            given_dataset::fetch(&client, config, work_dir.path())?
        }
        _ => {
            let mut preparation = prepare_watched(config, &work_dir, stop, progress)?;
            let wanted = &config.plan.space.features;
            preparation.features =
                join(&config.target, &preparation.features, &config.columns, wanted, work_dir.path())?;
            let dataset = dataset::import(&client, config, &preparation, work_dir.path())?;
            (preparation, dataset)
        }
    };
    progress.say(&format!("dataset {}: {} examples, {} cells", dataset.name, dataset.rows, dataset.cells));
    let study_config = StudyConfig {
        format: FORMAT,
        target: config.target.clone(),
        dataset_hash: dataset.hash.clone(),
        plan: config.plan.clone(),
        training: config.training.clone(),
    };
    let study = create_study(&client, config, &study_config)?;
    let evidence = Evidence::gather(&config.target, &preparation)?;
    let behaviour = evidence.behaviour(&config.plan.space.features)?;
    let course = Course {
        plan: config.plan.clone(),
        training: config.training.clone(),
        jobs: config.devices.len().max(1),
        attempts_max: study.attempts_max,
    };
    let mut search = Search { config, client, behaviour, course, promotion_settled: false, workers: None };
    let trials = search.run_trials(&work_dir, stop, progress)?;
    let report = Report::compute(
        &study,
        &study_config,
        &trials,
        &evidence,
        search.promotion().promoted(&trials)?,
        work_dir.path().to_owned(),
    )?;
    report.write(&work_dir)?;
    Pictures::draw(&config.study, &study_config, &trials, Ok(&evidence))?.write(work_dir.path())?;
    search.end(&trials, &report)?;
    Ok(report)
}

/// Prepares on another thread, and shows what it tells.
fn prepare_watched(
    config: &SearchConfig,
    work_dir: &WorkDir,
    stop: &Stop,
    progress: &mut Progress,
) -> Result<Preparation, SearcherError> {
    let (sender, receiver) = std::sync::mpsc::sync_channel::<PrepareProgress>(PREPARE_MESSAGES_MAX);
    let (target, path, asked) = (config.target.clone(), work_dir.path().to_owned(), stop.clone());
    let thread = std::thread::Builder::new()
        .name("prepare".to_owned())
        .spawn(move || {
            // A receiver that is gone was interrupted.
            prepare(&target, &path, &asked, &mut |step| match sender.send(*step) {
                Ok(()) => ControlFlow::Continue(()),
                Err(_gone) => ControlFlow::Break(()),
            })
        })
        .map_err(|error| SearcherError::Failed(format!("the preparing thread cannot be started: {error}")))?;
    loop {
        match receiver.recv_timeout(LOOK_INTERVAL) {
            Ok(step) => progress.prepare(&step),
            Err(std::sync::mpsc::RecvTimeoutError::Disconnected) => break,
            Err(std::sync::mpsc::RecvTimeoutError::Timeout) if stop.is_set() => break,
            Err(std::sync::mpsc::RecvTimeoutError::Timeout) => {}
        }
    }
    // Without a receiver it ends at its next message; libtorch must not be in use when the process exits.
    drop(receiver);
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
    behaviour: Behaviour,
    course: Course,
    /// Whether the winner is active, or known to stay inactive.
    promotion_settled: bool,
    /// Workers of the study, here and elsewhere, and when they were counted.
    workers: Option<(Instant, usize)>,
}

impl Search<'_> {
    fn promotion(&self) -> Promotion<'_> {
        Promotion { config: self.config, client: &self.client }
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
