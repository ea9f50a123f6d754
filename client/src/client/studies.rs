//! The calls of the `Studies` service.

use swift_sampler_proto::v1;

use super::unary;
use crate::{Client, ClientError};

/// Studies and trials. The `.proto` file says what each call may fail with; all of them may be repeated.
#[allow(clippy::missing_errors_doc, reason = "every call fails as its contract in studies.proto says")]
impl Client {
    /// Creates a study, or returns the one there is if its config is equal.
    pub async fn create_study(&self, request: v1::CreateStudyRequest) -> Result<v1::Study, ClientError> {
        unary!(self, Safe, studies.create_study, request)
    }

    /// Returns a study.
    pub async fn get_study(&self, name: &str) -> Result<v1::Study, ClientError> {
        unary!(self, Safe, studies.get_study, v1::GetStudyRequest { name: name.into() })
    }

    /// Lists the studies.
    pub async fn list_studies(&self) -> Result<Vec<v1::Study>, ClientError> {
        Ok(unary!(self, Safe, studies.list_studies, v1::ListStudiesRequest {})?.studies)
    }

    /// Ends a study with the policy's result.
    pub async fn end_study(&self, name: &str, result_json: &str) -> Result<v1::Study, ClientError> {
        let request = v1::EndStudyRequest { name: name.into(), result_json: result_json.into() };
        unary!(self, Safe, studies.end_study, request)
    }

    /// Removes a study and its trials; refused while a trial is running.
    pub async fn remove_study(&self, name: &str) -> Result<(), ClientError> {
        unary!(self, Safe, studies.remove_study, v1::RemoveStudyRequest { name: name.into() }).map(drop)
    }

    /// Adds a trial.
    pub async fn add_trial(&self, request: v1::AddTrialRequest) -> Result<v1::Trial, ClientError> {
        unary!(self, Safe, studies.add_trial, request)
    }

    /// Leases a trial to a worker.
    pub async fn lease_trial(&self, request: v1::LeaseTrialRequest) -> Result<v1::LeaseTrialResponse, ClientError> {
        unary!(self, Safe, studies.lease_trial, request)
    }

    /// Extends a lease and records progress; returns whether the worker is to stop.
    pub async fn heartbeat_trial(&self, request: v1::HeartbeatTrialRequest) -> Result<bool, ClientError> {
        Ok(unary!(self, Safe, studies.heartbeat_trial, request)?.stop)
    }

    /// Tells how an attempt ended.
    pub async fn tell_trial(&self, request: v1::TellTrialRequest) -> Result<v1::Trial, ClientError> {
        unary!(self, Safe, studies.tell_trial, request)
    }

    /// Lists a study's trials in order of number.
    pub async fn list_trials(&self, study: &str) -> Result<Vec<v1::Trial>, ClientError> {
        Ok(unary!(self, Safe, studies.list_trials, v1::ListTrialsRequest { study: study.into() })?.trials)
    }
}
