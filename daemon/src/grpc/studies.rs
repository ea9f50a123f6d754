//! Studies and trials.

mod waiting;

use std::sync::Arc;

use swift_sampler_proto::v1;
use swift_sampler_proto::v1::studies_server::Studies;
use swift_sampler_proto::v1::tell_trial_request::Outcome as OutcomeMessage;
use tonic::{Request, Response, Status};

use super::convert;
use crate::daemon::Daemon;
use crate::error::Error;
use crate::registry::{NewStudy, NewTrial, Outcome, Registry, RegistryError, Report};

/// Serves `swiftsampler.v1.Studies`.
#[derive(Debug)]
pub struct StudiesService {
    daemon: Arc<Daemon>,
}

impl StudiesService {
    pub(super) fn new(daemon: Arc<Daemon>) -> Self {
        Self { daemon }
    }

    /// Runs a rule off the runtime.
    async fn with<T: Send + 'static>(
        &self,
        rule: impl FnOnce(&Registry) -> Result<T, RegistryError> + Send + 'static,
    ) -> Result<Response<T>, Status> {
        Ok(Response::new(self.daemon.with_registry(|daemon| rule(&daemon.registry)).await?))
    }
}

#[tonic::async_trait]
impl Studies for StudiesService {
    async fn create_study(&self, request: Request<v1::CreateStudyRequest>) -> Result<Response<v1::Study>, Status> {
        let v1::CreateStudyRequest { name, dataset, config_json, attempts_max } = request.into_inner();
        let new = NewStudy { name, dataset, config_json, attempts_max };
        self.with(move |registry| registry.create_study(&new).map(convert::study)).await
    }

    async fn get_study(&self, request: Request<v1::GetStudyRequest>) -> Result<Response<v1::Study>, Status> {
        let name = request.into_inner().name;
        self.with(move |registry| {
            let workers = registry.workers(&name)?;
            Ok(v1::Study { workers, ..convert::study(registry.study(&name)?) })
        })
        .await
    }

    async fn list_studies(
        &self,
        _request: Request<v1::ListStudiesRequest>,
    ) -> Result<Response<v1::ListStudiesResponse>, Status> {
        self.with(|registry| {
            let studies = registry.studies()?.into_iter().map(convert::study).collect();
            Ok(v1::ListStudiesResponse { studies })
        })
        .await
    }

    async fn end_study(&self, request: Request<v1::EndStudyRequest>) -> Result<Response<v1::Study>, Status> {
        let v1::EndStudyRequest { name, result_json } = request.into_inner();
        self.with(move |registry| registry.end_study(&name, &result_json).map(convert::study)).await
    }

    async fn remove_study(
        &self,
        request: Request<v1::RemoveStudyRequest>,
    ) -> Result<Response<v1::RemoveStudyResponse>, Status> {
        let name = request.into_inner().name;
        self.with(move |registry| registry.remove_study(&name).map(|()| v1::RemoveStudyResponse {})).await
    }

    async fn add_trial(&self, request: Request<v1::AddTrialRequest>) -> Result<Response<v1::Trial>, Status> {
        let v1::AddTrialRequest { study, number, parameters_json, sampler_version } = request.into_inner();
        let new = NewTrial { study, number, parameters_json, sampler_version };
        self.with(move |registry| registry.add_trial(&new).map(convert::trial)).await
    }

    async fn lease_trial(
        &self,
        request: Request<v1::LeaseTrialRequest>,
    ) -> Result<Response<v1::LeaseTrialResponse>, Status> {
        let lease = waiting::lease(&self.daemon, request.into_inner()).await?;
        let trial = lease.trial.map(convert::trial);
        Ok(Response::new(v1::LeaseTrialResponse { trial, study_ended: lease.study_ended }))
    }

    async fn heartbeat_trial(
        &self,
        request: Request<v1::HeartbeatTrialRequest>,
    ) -> Result<Response<v1::HeartbeatTrialResponse>, Status> {
        let v1::HeartbeatTrialRequest { study, number, attempt, worker, lease_ms, report_json } = request.into_inner();
        let report = Report { study, number, attempt, worker, report_json };
        self.with(move |registry| Ok(v1::HeartbeatTrialResponse { stop: registry.heartbeat_trial(&report, lease_ms)? }))
            .await
    }

    async fn tell_trial(&self, request: Request<v1::TellTrialRequest>) -> Result<Response<v1::Trial>, Status> {
        let v1::TellTrialRequest { study, number, attempt, worker, outcome, report_json } = request.into_inner();
        let outcome = match outcome {
            Some(OutcomeMessage::Objective(objective)) => Outcome::Objective(objective),
            Some(OutcomeMessage::Infeasible(reason)) => Outcome::Infeasible(reason),
            Some(OutcomeMessage::Failed(reason)) => Outcome::Failed(reason),
            Some(OutcomeMessage::Released(reason)) => Outcome::Released(reason),
            None => {
                let message = "outcome is missing: give objective, infeasible, failed or released";
                return Err(Error::Invalid(message.into()).into());
            }
        };
        let report = Report { study, number, attempt, worker, report_json };
        self.with(move |registry| registry.tell_trial(&report, &outcome).map(convert::trial)).await
    }

    async fn list_trials(
        &self,
        request: Request<v1::ListTrialsRequest>,
    ) -> Result<Response<v1::ListTrialsResponse>, Status> {
        let study = request.into_inner().study;
        self.with(move |registry| {
            let trials = registry.trials(&study)?.into_iter().map(convert::trial).collect();
            Ok(v1::ListTrialsResponse { trials })
        })
        .await
    }
}
