//! The connection's calls of the `Studies` service.

use std::time::Duration;

use pyo3::prelude::*;
use swift_sampler_client::blocking::{self, Leased};
use swift_sampler_client::proto::tell_trial_request::Outcome;
use swift_sampler_client::proto::{AddTrialRequest, CreateStudyRequest, HeartbeatTrialRequest, TellTrialRequest};
use swift_sampler_client::{ClientError, TrialRequest};

use crate::connection::{Connection, seconds};
use crate::exceptions::{InvalidArgument, exception};
use crate::numbers::{Attempt, Attempts, TrialNumber, Version};
use crate::process::ProcessBound;
use crate::study_records::{Study, Trial};
use crate::waiting::wait;

/// How an attempt ended: a kind, and its value or reason.
#[derive(FromPyObject)]
pub(crate) enum Told {
    Objective(f64),
    Reason(String),
}

fn outcome(kind: &str, told: Told) -> PyResult<Outcome> {
    match (kind, told) {
        ("objective", Told::Objective(objective)) => Ok(Outcome::Objective(objective)),
        ("infeasible", Told::Reason(reason)) => Ok(Outcome::Infeasible(reason)),
        ("failed", Told::Reason(reason)) => Ok(Outcome::Failed(reason)),
        ("released", Told::Reason(reason)) => Ok(Outcome::Released(reason)),
        _ => Err(InvalidArgument::new_err(format!(
            "outcome {kind:?}: objective and a number, or infeasible, failed or released and a reason"
        ))),
    }
}

/// The calls of the `Studies` service, over a connection of the process that made it.
#[pyclass(frozen, module = "swift_sampler._native")]
pub(crate) struct Studies(Connection);

impl Studies {
    pub(crate) fn over(client: &blocking::Client) -> Self {
        Self(Connection { client: ProcessBound::new(client.clone()) })
    }
}

#[pymethods]
impl Studies {
    fn create(
        &self,
        py: Python<'_>,
        name: &str,
        dataset: &str,
        config_json: &str,
        attempts_max: Attempts,
    ) -> PyResult<Study> {
        let request = CreateStudyRequest {
            name: name.into(),
            dataset: dataset.into(),
            config_json: config_json.into(),
            attempts_max: attempts_max.0,
        };
        self.0.call(py, |client| async move { client.create_study(request).await }).map(Study::from)
    }

    fn get(&self, py: Python<'_>, name: &str) -> PyResult<Study> {
        self.0.call(py, |client| async move { client.get_study(name).await }).map(Study::from)
    }

    fn list(&self, py: Python<'_>) -> PyResult<Vec<Study>> {
        let studies = self.0.call(py, |client| async move { client.list_studies().await })?;
        Ok(studies.into_iter().map(Study::from).collect())
    }

    fn end(&self, py: Python<'_>, name: &str, result_json: &str) -> PyResult<Study> {
        self.0.call(py, |client| async move { client.end_study(name, result_json).await }).map(Study::from)
    }

    fn remove(&self, py: Python<'_>, name: &str) -> PyResult<()> {
        self.0.call(py, |client| async move { client.remove_study(name).await })
    }

    fn add_trial(
        &self,
        py: Python<'_>,
        study: &str,
        number: TrialNumber,
        parameters_json: &str,
        sampler_version: Version,
    ) -> PyResult<Trial> {
        let request = AddTrialRequest {
            study: study.into(),
            number: number.0,
            parameters_json: parameters_json.into(),
            sampler_version: sampler_version.0,
        };
        self.0.call(py, |client| async move { client.add_trial(request).await }).map(Trial::from)
    }

    fn trials(&self, py: Python<'_>, study: &str) -> PyResult<Vec<Trial>> {
        let trials = self.0.call(py, |client| async move { client.list_trials(study).await })?;
        Ok(trials.into_iter().map(Trial::from).collect())
    }

    /// Returns a lease, or whether the study has ended.
    fn lease<'py>(
        &self,
        py: Python<'py>,
        study: &str,
        worker: &str,
        lease: f64,
        wait_max: f64,
        hang_timeout: Option<f64>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let request = TrialRequest {
            lease: seconds("lease", lease)?,
            wait: seconds("wait", wait_max)?,
            hang_timeout: hang_timeout.map(|value| seconds("hang_timeout", value)).transpose()?,
            ..TrialRequest::new(study, worker)
        };
        let client = self.0.client.get()?.clone();
        let leased = self.0.call(py, |inner| async move { inner.lease(&request).await })?;
        match client.waited_for(leased) {
            Leased::Trial(lease) => Ok(Bound::new(py, TrialLease { lease: ProcessBound::new(lease) })?.into_any()),
            Leased::NoneNow => Ok(false.into_pyobject(py)?.to_owned().into_any()),
            Leased::StudyEnded => Ok(true.into_pyobject(py)?.to_owned().into_any()),
        }
    }

    fn heartbeat(
        &self,
        py: Python<'_>,
        study: &str,
        number: TrialNumber,
        attempt: Attempt,
        worker: &str,
        lease: f64,
        report_json: &str,
    ) -> PyResult<bool> {
        let request = HeartbeatTrialRequest {
            study: study.into(),
            number: number.0,
            attempt: attempt.0,
            worker: worker.into(),
            lease_ms: milliseconds(seconds("lease", lease)?)?,
            report_json: report_json.into(),
        };
        self.0.call(py, |client| async move { client.heartbeat_trial(request).await })
    }

    fn tell(
        &self,
        py: Python<'_>,
        study: &str,
        number: TrialNumber,
        attempt: Attempt,
        worker: &str,
        kind: &str,
        told: Told,
        report_json: &str,
    ) -> PyResult<Trial> {
        let request = TellTrialRequest {
            study: study.into(),
            number: number.0,
            attempt: attempt.0,
            worker: worker.into(),
            outcome: Some(outcome(kind, told)?),
            report_json: report_json.into(),
        };
        self.0.call(py, |client| async move { client.tell_trial(request).await }).map(Trial::from)
    }
}

fn milliseconds(duration: Duration) -> PyResult<u32> {
    u32::try_from(duration.as_millis())
        .map_err(|_too_long| InvalidArgument::new_err(format!("lease: {duration:?} is longer than 49 days")))
}

/// A leased trial, of the process that leased it.
#[pyclass(frozen, module = "swift_sampler._native")]
pub(crate) struct TrialLease {
    lease: ProcessBound<blocking::TrialLease>,
}

#[pymethods]
impl TrialLease {
    /// The trial as it was leased.
    #[getter]
    fn trial(&self) -> PyResult<Trial> {
        Ok(Trial::from(self.lease.get()?.trial().clone()))
    }

    /// Whether to give up.
    #[getter]
    fn lost(&self) -> PyResult<bool> {
        Ok(self.lease.get()?.is_lost())
    }

    fn note_progress(&self) -> PyResult<()> {
        self.lease.get()?.note_progress();
        Ok(())
    }

    fn report(&self, py: Python<'_>, report_json: &str) -> PyResult<bool> {
        let lease = self.lease.get()?;
        answered(wait(py, lease.runtime(), lease.inner().report(report_json))?)
    }

    fn tell(&self, py: Python<'_>, kind: &str, told: Told, report_json: &str) -> PyResult<Trial> {
        let (lease, outcome) = (self.lease.get()?, outcome(kind, told)?);
        answered(wait(py, lease.runtime(), lease.inner().tell(outcome, report_json))?).map(Trial::from)
    }
}

fn answered<T>(answer: Result<T, ClientError>) -> PyResult<T> {
    answer.map_err(|error| exception(&error))
}
