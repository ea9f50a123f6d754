//! Datasets, sampler versions, jobs and counters.

use std::sync::Arc;
use std::time::Instant;

use swift_sampler::SamplerSpec;
use swift_sampler_proto::v1;
use swift_sampler_proto::v1::control_server::Control;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use super::{contents, convert, import, refresh, watch};
use crate::access::Caller;
use crate::connections::ConnectionInfo;
use crate::daemon::{Daemon, FETCH_WAIT_MAX};
use crate::error::Error;
use crate::loaded::LoadError;
use crate::registry::{ActiveRecord, FIRST_REVISION, JobRecord, OriginRecord, SamplerFigures, SamplerRecord};

/// Serves `swiftsampler.v1.Control`.
#[derive(Debug)]
pub struct ControlService {
    daemon: Arc<Daemon>,
}

impl ControlService {
    pub(super) fn new(daemon: Arc<Daemon>) -> Self {
        Self { daemon }
    }

    /// Runs a rule off the runtime.
    async fn with<T, E>(
        &self,
        rule: impl FnOnce(&Daemon) -> Result<T, E> + Send + 'static,
    ) -> Result<Response<T>, Status>
    where
        T: Send + 'static,
        E: Into<Error> + Send + 'static,
    {
        Ok(Response::new(self.daemon.with_registry(rule).await?))
    }

    /// Runs a rule that reads a dataset's columns off the runtime.
    async fn with_dataset<T: Send + 'static>(
        &self,
        rule: impl Fn(&Daemon) -> Result<T, Error> + Send + Sync + 'static,
    ) -> Result<Response<T>, Status> {
        Ok(Response::new(self.daemon.with_dataset(FETCH_WAIT_MAX, rule).await?))
    }
}

#[tonic::async_trait]
impl Control for ControlService {
    type WatchActiveSamplerStream = ReceiverStream<Result<v1::ActiveSampler, Status>>;

    async fn import_dataset(
        &self,
        request: Request<Streaming<v1::ImportDatasetRequest>>,
    ) -> Result<Response<v1::Dataset>, Status> {
        Ok(Response::new(import::import(&self.daemon, Caller::tenant_of(&request), request.into_inner()).await?))
    }

    type ImportDatasetWithProgressStream = ReceiverStream<Result<v1::ImportDatasetProgress, Status>>;

    async fn import_dataset_with_progress(
        &self,
        request: Request<Streaming<v1::ImportDatasetRequest>>,
    ) -> Result<Response<Self::ImportDatasetWithProgressStream>, Status> {
        Ok(Response::new(import::import_with_progress(&self.daemon, Caller::tenant_of(&request), request.into_inner())))
    }

    async fn refresh_features(
        &self,
        request: Request<Streaming<v1::RefreshFeaturesRequest>>,
    ) -> Result<Response<v1::RefreshedFeatures>, Status> {
        Ok(Response::new(refresh::refresh(&self.daemon, Caller::tenant_of(&request), request.into_inner()).await?))
    }

    async fn list_datasets(
        &self,
        _request: Request<v1::ListDatasetsRequest>,
    ) -> Result<Response<v1::ListDatasetsResponse>, Status> {
        self.with(|daemon| {
            let datasets = daemon.registry.active_samplers()?.into_iter();
            let datasets = datasets.map(|(record, active, _)| convert::dataset(record, &active)).collect();
            Ok::<_, Error>(v1::ListDatasetsResponse { datasets })
        })
        .await
    }

    async fn get_dataset(&self, request: Request<v1::GetDatasetRequest>) -> Result<Response<v1::Dataset>, Status> {
        let name = request.into_inner().name;
        self.with(move |daemon| {
            let record = daemon.registry.dataset(&name)?;
            Ok::<_, Error>(convert::dataset(record, &daemon.registry.active(&name)?))
        })
        .await
    }

    async fn remove_dataset(
        &self,
        request: Request<v1::RemoveDatasetRequest>,
    ) -> Result<Response<v1::RemoveDatasetResponse>, Status> {
        let name = request.into_inner().name;
        // To its end, also if the client is gone by then.
        let daemon = Arc::clone(&self.daemon);
        let remove = move |daemon: &Daemon| {
            let orphans = daemon.registry.remove_dataset(&name)?;
            tracing::info!(dataset = name, "removed a dataset");
            Ok(orphans)
        };
        let removal = tokio::spawn(async move { contents::remove(&daemon, remove).await });
        removal.await.map_err(Error::from)??;
        Ok(Response::new(v1::RemoveDatasetResponse {}))
    }

    async fn put_sampler(&self, request: Request<v1::PutSamplerRequest>) -> Result<Response<v1::Sampler>, Status> {
        let v1::PutSamplerRequest { dataset, spec_json, origin } = request.into_inner();
        let origin = convert::origin(origin);
        self.with_dataset(move |daemon| put_sampler(daemon, &dataset, &spec_json, &origin)).await
    }

    async fn list_samplers(
        &self,
        request: Request<v1::ListSamplersRequest>,
    ) -> Result<Response<v1::ListSamplersResponse>, Status> {
        let v1::ListSamplersRequest { dataset, candidates } = request.into_inner();
        self.with(move |daemon| {
            let active = daemon.registry.active(&dataset)?;
            let shown = |record: &SamplerRecord| candidates || !record.origin.candidate;
            let records = daemon.registry.samplers(&dataset)?.into_iter().filter(shown);
            let samplers = records.map(|record| convert::sampler(record, &active)).collect();
            Ok::<_, Error>(v1::ListSamplersResponse { samplers })
        })
        .await
    }

    async fn get_sampler(&self, request: Request<v1::GetSamplerRequest>) -> Result<Response<v1::Sampler>, Status> {
        let v1::GetSamplerRequest { dataset, version } = request.into_inner();
        self.with(move |daemon| {
            let active = daemon.registry.active(&dataset)?;
            Ok::<_, Error>(convert::sampler(daemon.registry.sampler(&dataset, version)?, &active))
        })
        .await
    }

    async fn activate_sampler(
        &self,
        request: Request<v1::ActivateSamplerRequest>,
    ) -> Result<Response<v1::ActiveSampler>, Status> {
        let v1::ActivateSamplerRequest { dataset, version } = request.into_inner();
        self.with_dataset(move |daemon| {
            swap(daemon, &dataset, |daemon, dataset| {
                // Built before it is active, so that no stream waits for it.
                load(daemon, dataset, version)?;
                Ok(daemon.registry.activate(dataset, version)?)
            })
        })
        .await
    }

    async fn rollback_sampler(
        &self,
        request: Request<v1::RollbackSamplerRequest>,
    ) -> Result<Response<v1::ActiveSampler>, Status> {
        let dataset = request.into_inner().dataset;
        self.with_dataset(move |daemon| {
            swap(daemon, &dataset, |daemon, dataset| {
                if let Some(version) = daemon.registry.active(dataset)?.before.last() {
                    load(daemon, dataset, *version)?;
                }
                Ok(daemon.registry.rollback(dataset)?)
            })
        })
        .await
    }

    async fn watch_active_sampler(
        &self,
        request: Request<v1::WatchActiveSamplerRequest>,
    ) -> Result<Response<Self::WatchActiveSamplerStream>, Status> {
        let connection = ConnectionInfo::of(&request);
        let dataset = request.into_inner().dataset;
        Ok(Response::new(watch::watch(&self.daemon, dataset, connection).await?))
    }

    async fn list_jobs(
        &self,
        _request: Request<v1::ListJobsRequest>,
    ) -> Result<Response<v1::ListJobsResponse>, Status> {
        self.with(|daemon| {
            let job = |record| shown_job(daemon, record);
            let jobs = daemon.registry.jobs()?.into_iter().map(job).collect::<Result<_, _>>()?;
            Ok::<_, Error>(v1::ListJobsResponse { jobs })
        })
        .await
    }

    async fn get_job(&self, request: Request<v1::GetJobRequest>) -> Result<Response<v1::Job>, Status> {
        let name = request.into_inner().name;
        self.with(move |daemon| shown_job(daemon, daemon.registry.job(&name)?)).await
    }

    async fn remove_job(
        &self,
        request: Request<v1::RemoveJobRequest>,
    ) -> Result<Response<v1::RemoveJobResponse>, Status> {
        let name = request.into_inner().name;
        let daemon = Arc::clone(&self.daemon);
        let removal = tokio::spawn(async move {
            let removed = daemon.with_registry(move |daemon| {
                let dataset = daemon.registry.job(&name)?.dataset;
                daemon.registry.remove_job(&name)?;
                Ok::<_, Error>(dataset)
            });
            let dataset = removed.await?;
            contents::drop_revisions(&daemon, dataset).await;
            Ok::<_, Error>(())
        });
        removal.await.map_err(Error::from)??;
        Ok(Response::new(v1::RemoveJobResponse {}))
    }

    async fn get_stats(&self, _request: Request<v1::GetStatsRequest>) -> Result<Response<v1::Stats>, Status> {
        let metrics = &self.daemon.metrics;
        Ok(Response::new(v1::Stats {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            uptime_ms: u64::try_from(self.daemon.started.elapsed().as_millis()).unwrap_or(u64::MAX),
            streams: u64::try_from(metrics.streams.get()).unwrap_or(0),
            batches_served: metrics.batches_served.get(),
            draws_served: metrics.draws_served.get(),
            swaps: metrics.swaps.get(),
        }))
    }
}

/// Blocks.
pub(super) fn shown_job(daemon: &Daemon, record: JobRecord) -> Result<v1::Job, Error> {
    let revisions = daemon.registry.revisions_of(&record)?;
    Ok(convert::job(record, &revisions))
}

fn put_sampler(daemon: &Daemon, dataset: &str, spec_json: &str, origin: &OriginRecord) -> Result<v1::Sampler, Error> {
    let active = daemon.registry.active(dataset)?;
    let dataset = daemon.registry.dataset(dataset)?;
    // A search compares candidates with each other and with what it computed of the features that were imported.
    let revision = if origin.study.is_empty() { active.revision } else { FIRST_REVISION };
    let hash = dataset.kept(revision)?;
    let spec: SamplerSpec =
        serde_json::from_str(spec_json).map_err(|error| Error::Invalid(format!("sampler spec: {error}")))?;
    let spec = spec.canonical().map_err(|error| Error::PutSampler(error.into()))?;
    let canonical = serde_json::to_string(&spec).map_err(|error| Error::Invalid(format!("sampler spec: {error}")))?;
    // Built from the text that is stored, as it will be built after a restart.
    let figures = figures(daemon, hash, &canonical)?;
    let (record, active) = daemon.registry.put_sampler(&dataset, revision, &canonical, origin, figures)?;
    tracing::info!(dataset = dataset.name, version = record.version, "stored a sampler");
    Ok(convert::sampler(record, &active))
}

/// Builds the sampler of a spec over some content, and tells what it is like. Blocks.
pub(super) fn figures(daemon: &Daemon, hash: &str, spec_json: &str) -> Result<SamplerFigures, Error> {
    let built = daemon.loaded.sampler(hash, spec_json).map_err(|error| match error {
        LoadError::Sampler(error) => Error::PutSampler(error),
        other => other.into(),
    })?;
    let columns = daemon.loaded.dataset(hash)?;
    Ok(SamplerFigures {
        effective_sample_size: built.effective_sample_size(),
        total_variation: Some(built.total_variation(&columns).map_err(Error::PutSampler)?),
    })
}

fn load(daemon: &Daemon, dataset: &str, version: u64) -> Result<(), Error> {
    let dataset = daemon.registry.dataset(dataset)?;
    let sampler = daemon.registry.sampler(&dataset.name, version)?;
    daemon.loaded.sampler(dataset.kept(sampler.revision)?, &sampler.spec_json)?;
    Ok(())
}

fn swap(
    daemon: &Daemon,
    dataset: &str,
    activate: impl FnOnce(&Daemon, &str) -> Result<ActiveRecord, Error>,
) -> Result<v1::ActiveSampler, Error> {
    let started = Instant::now();
    let active = activate(daemon, dataset)?;
    daemon.metrics.swap_duration.observe(started.elapsed().as_secs_f64());
    daemon.show_committed();
    tracing::info!(dataset, version = active.version, "activated a sampler");
    Ok(convert::active(dataset.to_owned(), &active))
}
