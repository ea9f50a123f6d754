//! What the daemon says about its studies and trials.

use pyo3::prelude::*;
use swift_sampler_client::proto;

/// A study.
#[pyclass(frozen, get_all, module = "swift_sampler")]
pub(crate) struct Study {
    name: String,
    dataset: String,
    config_json: String,
    ended: bool,
    result_json: String,
    created_at_ms: u64,
    attempts_max: u32,
    trials: u64,
}

#[pymethods]
impl Study {
    /// The policy's config.
    #[getter]
    fn config<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        parsed(py, &self.config_json)
    }

    /// The policy's result.
    #[getter]
    fn result<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        parsed(py, &self.result_json)
    }

    fn __repr__(&self) -> String {
        let Self { name, dataset, trials, ended, .. } = self;
        let ended = if *ended { "True" } else { "False" };
        format!("Study(name={name:?}, dataset={dataset:?}, trials={trials}, ended={ended})")
    }
}

impl From<proto::Study> for Study {
    fn from(study: proto::Study) -> Self {
        Self {
            ended: study.state() == proto::StudyState::Ended,
            name: study.name,
            dataset: study.dataset,
            config_json: study.config_json,
            result_json: study.result_json,
            created_at_ms: study.created_at_ms,
            attempts_max: study.attempts_max,
            trials: study.trials,
        }
    }
}

/// A trial.
#[pyclass(frozen, get_all, module = "swift_sampler")]
pub(crate) struct Trial {
    study: String,
    number: u64,
    parameters_json: String,
    sampler_version: u64,
    state: &'static str,
    attempt: u32,
    released: u32,
    worker: String,
    objective: Option<f64>,
    reason: String,
    report_json: String,
    added_at_ms: u64,
    ended_at_ms: u64,
    lease_expires_at_ms: u64,
}

#[pymethods]
impl Trial {
    /// The policy's parameters.
    #[getter]
    fn parameters<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        parsed(py, &self.parameters_json)
    }

    /// The worker's report.
    #[getter]
    fn report<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        parsed(py, &self.report_json)
    }

    fn __repr__(&self) -> String {
        let Self { study, number, state, attempt, .. } = self;
        format!("Trial(study={study:?}, number={number}, state={state:?}, attempt={attempt})")
    }
}

impl From<proto::Trial> for Trial {
    fn from(trial: proto::Trial) -> Self {
        Self {
            state: match trial.state() {
                proto::TrialState::Unspecified | proto::TrialState::Pending => "pending",
                proto::TrialState::Running => "running",
                proto::TrialState::Succeeded => "succeeded",
                proto::TrialState::Infeasible => "infeasible",
                proto::TrialState::Failed => "failed",
            },
            study: trial.study,
            number: trial.number,
            parameters_json: trial.parameters_json,
            sampler_version: trial.sampler_version,
            attempt: trial.attempt,
            released: trial.released,
            worker: trial.worker,
            objective: trial.objective,
            reason: trial.reason,
            report_json: trial.report_json,
            added_at_ms: trial.added_at_ms,
            ended_at_ms: trial.ended_at_ms,
            lease_expires_at_ms: trial.lease_expires_at_ms,
        }
    }
}

/// Parses JSON text; none is Python's None.
fn parsed<'py>(py: Python<'py>, json: &str) -> PyResult<Bound<'py, PyAny>> {
    if json.is_empty() {
        return Ok(py.None().into_bound(py));
    }
    py.import("json")?.call_method1("loads", (json,))
}
