//! What a trial's command is told through its environment.

use swift_sampler_client::proto;

use super::{Worker, job_name};
use crate::error::SearcherError;
use crate::policy::TrialParameters;

/// Variables of a trial's command that name what it is about.
const DAEMON: &str = "SWIFTSAMPLER_DAEMON";
const STUDY: &str = "SWIFTSAMPLER_STUDY";
const TRIAL: &str = "SWIFTSAMPLER_TRIAL";
const ATTEMPT: &str = "SWIFTSAMPLER_ATTEMPT";
const WORKER: &str = "SWIFTSAMPLER_WORKER";
const WORK_DIR: &str = "SWIFTSAMPLER_WORK_DIR";

/// Returns every variable of a trial's command.
pub(super) fn variables(
    worker: &Worker<'_>,
    trial: &proto::Trial,
    parameters: &TrialParameters,
) -> Vec<(&'static str, String)> {
    let run = worker.study_config.training.run(parameters);
    // What a policy may leave out of a trial's parameters is read from the stored text.
    let stored: serde_json::Value = serde_json::from_str(&trial.parameters_json).unwrap_or_default();
    let stop_below: Vec<String> = stored["stop_below"]
        .as_array()
        .map(|least| least.iter().filter_map(serde_json::Value::as_f64).map(|least| least.to_string()).collect())
        .unwrap_or_default();
    let access = worker.config.daemon.variables();
    let mut variables: Vec<_> = access.into_iter().map(|(name, file)| (name, file.display().to_string())).collect();
    variables.extend([
        (DAEMON, worker.config.daemon.daemon.clone()),
        (STUDY, trial.study.clone()),
        (TRIAL, trial.number.to_string()),
        (ATTEMPT, trial.attempt.to_string()),
        (WORKER, worker.config.name.clone()),
        (WORK_DIR, worker.config.work_dir.display().to_string()),
        ("SWIFTSAMPLER_DATASET", worker.dataset.clone()),
        ("SWIFTSAMPLER_JOB", job_name(&trial.study, trial.number)),
        ("SWIFTSAMPLER_SAMPLER_VERSION", trial.sampler_version.to_string()),
        ("SWIFTSAMPLER_SEED", parameters.seed.to_string()),
        ("SWIFTSAMPLER_EPOCHS", run.epochs.to_string()),
        ("SWIFTSAMPLER_BATCH_SIZE", run.batch_size.to_string()),
        ("SWIFTSAMPLER_MODE", stored["mode"].as_str().unwrap_or("independent").to_owned()),
        ("SWIFTSAMPLER_PURPOSE", name_of(&parameters.purpose)),
        ("SWIFTSAMPLER_START", name_of(&run.start)),
        ("SWIFTSAMPLER_STOP_BELOW", stop_below.join(",")),
    ]);
    variables
}

/// The name that a plain enum has in JSON.
fn name_of(value: &impl serde::Serialize) -> String {
    let value = serde_json::to_value(value).expect("an enum is plain data");
    value.as_str().expect("an enum without fields is its name").to_owned()
}

/// The trial that the environment of this process is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrialOfEnvironment {
    /// Address of the daemon.
    pub daemon: String,
    /// The study.
    pub study: String,
    /// The trial.
    pub number: u64,
    /// The attempt at it.
    pub attempt: u32,
    /// Who leased it.
    pub worker: String,
    /// Folder with the start network.
    pub work_dir: std::path::PathBuf,
}

impl TrialOfEnvironment {
    /// Reads the variables that `read` returns.
    ///
    /// # Errors
    /// [`SearcherError::Config`] naming the variable that is missing or wrong.
    pub fn read(read: impl Fn(&str) -> Option<String>) -> Result<Self, SearcherError> {
        let text = |name: &str| {
            read(name).filter(|value| !value.is_empty()).ok_or_else(|| {
                SearcherError::Config(format!(
                    "{name} is not set: `searcher trial` is started by `searcher worker --trial-command 'searcher trial'`"
                ))
            })
        };
        let wrong = |name: &str, value: &str| SearcherError::Config(format!("{name} is {value:?}: a whole number"));
        let (number, attempt) = (text(TRIAL)?, text(ATTEMPT)?);
        Ok(Self {
            daemon: text(DAEMON)?,
            study: text(STUDY)?,
            number: number.parse().map_err(|_not_a_number| wrong(TRIAL, &number))?,
            attempt: attempt.parse().map_err(|_not_a_number| wrong(ATTEMPT, &attempt))?,
            worker: text(WORKER)?,
            work_dir: text(WORK_DIR)?.into(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variable_that_is_missing_or_wrong_is_named() {
        let read = |trial: &'static str| {
            move |name: &str| match name {
                TRIAL => (!trial.is_empty()).then(|| trial.to_owned()),
                ATTEMPT => Some("2".to_owned()),
                _ => Some("x".to_owned()),
            }
        };
        let found = TrialOfEnvironment::read(read("7")).unwrap();
        assert_eq!((found.number, found.attempt, found.study.as_str()), (7, 2, "x"));
        for (trial, message) in [("", "SWIFTSAMPLER_TRIAL is not set"), ("-1", "SWIFTSAMPLER_TRIAL is \"-1\"")] {
            let error = TrialOfEnvironment::read(read(trial)).unwrap_err();
            assert!(error.to_string().contains(message), "{error}");
        }
    }
}
