//! The connection behind a `Client`, of one process.

use std::future::Future;
use std::num::NonZeroU8;
use std::path::PathBuf;
use std::time::Duration;

use numpy::{IntoPyArray, PyReadonlyArray1};
use pyo3::prelude::*;
use swift_sampler_client::blocking;
use swift_sampler_client::proto::follow_policy::Policy;
use swift_sampler_client::proto::{FileFormat, GetBatchesRequest, OnMissing, ReplacementMode};
use swift_sampler_client::{
    BatchesRequest, Client, ClientConfig, ClientError, CropsRequest, ImportPhase, ImportProgress, ImportRequest,
    JobConfig, NewValues, RefreshRequest, TlsConfig, TokenSource, WeighedBy,
};

use crate::batch::{Batch, Batches};
use crate::crops::{Selected, named};
use crate::exceptions::{Error, InvalidArgument, exception};
use crate::numbers::{
    BatchSize, EpochDraws, FirstRow, FromStep, Keep, Rank, Seed, Step, Steps, ToStep, Version, WorldSize,
};
use crate::process::ProcessBound;
use crate::records::{ActiveSampler, Dataset, Follow, Job, Sampler, Stats};
use crate::studies::Studies;
use crate::waiting::wait;

/// A connection, of the process that made it.
#[pyclass(frozen, module = "swift_sampler._native")]
pub(crate) struct Connection {
    pub(crate) client: ProcessBound<blocking::Client>,
}

impl Connection {
    /// Waits for a call.
    pub(crate) fn call<T: Send, F>(&self, py: Python<'_>, call: impl FnOnce(Client) -> F) -> PyResult<T>
    where
        F: Future<Output = Result<T, ClientError>> + Send,
    {
        let client = self.client.get()?;
        wait(py, client.runtime(), call(client.inner().clone()))?.map_err(|error| exception(&error))
    }
}

#[pymethods]
impl Connection {
    #[new]
    fn new(
        address: &str,
        connect_timeout: f64,
        request_timeout: f64,
        stall_timeout: f64,
        retry_deadline: Option<f64>,
        first_contact_deadline: f64,
        connections: i64,
        token: Option<&str>,
        token_file: Option<PathBuf>,
        tls_ca: Option<PathBuf>,
        tls_cert: Option<PathBuf>,
        tls_key: Option<PathBuf>,
        insecure: Option<bool>,
    ) -> PyResult<Self> {
        let refused = || InvalidArgument::new_err(format!("connections: {connections} is not from 1 to 255"));
        let connections = u8::try_from(connections).ok().and_then(NonZeroU8::new).ok_or_else(refused)?;
        let known = ClientConfig::from_environment(address).map_err(|error| exception(&error))?;
        let given = match (token, token_file) {
            (None, None) => known.token,
            (Some(token), None) => Some(TokenSource::Given(token.parse().map_err(|error| exception(&error))?)),
            (None, Some(file)) => Some(TokenSource::File(file)),
            (Some(_), Some(_)) => return Err(InvalidArgument::new_err("token and token_file: give one")),
        };
        let config = ClientConfig {
            token: given,
            tls: TlsConfig {
                ca: tls_ca.or(known.tls.ca),
                cert: tls_cert.or(known.tls.cert),
                key: tls_key.or(known.tls.key),
                domain: known.tls.domain,
            },
            insecure: insecure.unwrap_or(known.insecure),
            connections,
            connect_timeout: seconds("connect_timeout", connect_timeout)?,
            request_timeout: seconds("request_timeout", request_timeout)?,
            stall_timeout: seconds("stall_timeout", stall_timeout)?,
            retry_deadline: retry_deadline.map(|value| seconds("retry_deadline", value)).transpose()?,
            first_contact_deadline: seconds("first_contact_deadline", first_contact_deadline)?,
            ..ClientConfig::new(address)
        };
        let client = blocking::Client::new(config).map_err(|error| exception(&error))?;
        Ok(Self { client: ProcessBound::new(client) })
    }

    #[pyo3(signature = (name, dataset, *, seed, batch_size, epoch_draws, mode, follow))]
    fn open_job(
        &self,
        py: Python<'_>,
        name: &str,
        dataset: &str,
        seed: Seed,
        batch_size: BatchSize,
        epoch_draws: Option<EpochDraws>,
        mode: &str,
        follow: Follow,
    ) -> PyResult<Job> {
        let config = JobConfig {
            name: name.into(),
            dataset: dataset.into(),
            seed: seed.0,
            batch_size: batch_size.0,
            // As many as the dataset has rows.
            epoch_draws: epoch_draws.map_or(0, |draws| draws.0),
            mode: replacement_mode(mode)?,
            follow: policy(follow)?,
        };
        self.call(py, |client| async move { client.open_job(&config).await }).map(Job::from)
    }

    #[pyo3(signature = (job, from_step, to_step, *, rank, world_size, seek, probabilities, crops))]
    fn batches(
        &self,
        job: &str,
        from_step: FromStep,
        to_step: Option<ToStep>,
        rank: Rank,
        world_size: WorldSize,
        seek: bool,
        probabilities: bool,
        crops: bool,
    ) -> PyResult<Batches> {
        let request = BatchesRequest {
            job: job.into(),
            from_step: from_step.0,
            to_step: to_step.map(|step| step.0),
            rank: rank.0,
            world_size: world_size.0,
            seek,
            with_probabilities: probabilities,
            with_crops: crops,
        };
        Ok(Batches::new(self.client.get()?.batches(request)))
    }

    #[pyo3(signature = (job, from_step, steps, *, rank, world_size, seek, probabilities, crops))]
    fn get_batches(
        &self,
        py: Python<'_>,
        job: &str,
        from_step: FromStep,
        steps: Steps,
        rank: Rank,
        world_size: WorldSize,
        seek: bool,
        probabilities: bool,
        crops: bool,
    ) -> PyResult<Vec<Batch>> {
        let request = GetBatchesRequest {
            job: job.into(),
            from_step: from_step.0,
            steps: steps.0,
            rank: rank.0,
            world_size: world_size.0,
            seek,
            without_probabilities: !probabilities,
            without_crops: !crops,
        };
        let batches = self.call(py, |client| async move { client.get_batches(request).await })?;
        Ok(batches.into_iter().map(Batch::from).collect())
    }

    fn select_crops<'py>(
        &self,
        py: Python<'py>,
        features: Vec<(String, PyReadonlyArray1<'py, f64>)>,
        keep: Keep,
        step: Step,
        job: String,
        dataset: String,
        version: Option<Version>,
        seed: Seed,
        rank: Rank,
        fill: bool,
        seek: bool,
    ) -> PyResult<Selected<'py>> {
        let weighed_by = if dataset.is_empty() {
            WeighedBy::Job(job)
        } else {
            WeighedBy::Dataset { name: dataset, version: version.map(|version| version.0), seed: seed.0 }
        };
        let features = named(features);
        let (step, rank, keep) = (step.0, rank.0, keep.0);
        let request = CropsRequest { weighed_by, step, rank, keep, features, fill, seek };
        let selected = self.call(py, |client| async move { client.select_crops(&request).await })?;
        Ok((selected.version, selected.positions.into_pyarray(py), selected.weights.into_pyarray(py)))
    }

    #[pyo3(signature = (name, files, *, features, gradient_norm, format, first_row, on_missing, progress))]
    fn import_dataset(
        &self,
        py: Python<'_>,
        name: &str,
        files: Vec<PathBuf>,
        features: Vec<String>,
        gradient_norm: Option<String>,
        format: Option<&str>,
        first_row: FirstRow,
        on_missing: &str,
        progress: Option<Py<PyAny>>,
    ) -> PyResult<Dataset> {
        let format = file_format(format)?;
        let request = ImportRequest {
            format,
            features,
            gradient_norm,
            first_row: first_row.0,
            on_missing: on_missing_of(on_missing)?,
            ..ImportRequest::new(name, files)
        };
        let tell = move |now: ImportProgress| {
            if let Some(progress) = progress.as_ref().filter(|_| now.phase == ImportPhase::Sending) {
                Python::attach(|py| {
                    if let Err(error) = progress.call1(py, (now.done, now.total)) {
                        error.write_unraisable(py, None);
                    }
                });
            }
        };
        self.call(py, |client| async move { client.import_dataset(&request, tell).await }).map(Dataset::from)
    }

    /// Columns in memory, or files.
    #[pyo3(signature = (name, columns, files, first_row))]
    fn refresh_features(
        &self,
        py: Python<'_>,
        name: &str,
        columns: Vec<(String, PyReadonlyArray1<'_, f64>)>,
        files: Vec<PathBuf>,
        first_row: Option<FirstRow>,
    ) -> PyResult<Dataset> {
        let values = if files.is_empty() {
            NewValues::Columns(named(columns))
        } else {
            NewValues::Files { files, format: FileFormat::Unspecified }
        };
        let request = RefreshRequest { dataset: name.to_owned(), values, first_row: first_row.map(|row| row.0) };
        let refreshed = self.call(py, |client| async move { client.refresh_features(&request).await })?;
        let dataset = refreshed.dataset.map(Dataset::from);
        dataset.ok_or_else(|| Error::new_err("the daemon did not say what it refreshed"))
    }

    fn fetch_columns(&self, py: Python<'_>, hash: &str, path: PathBuf) -> PyResult<()> {
        self.call(py, |client| async move { client.fetch_columns(hash, &path).await })
    }

    fn datasets(&self, py: Python<'_>) -> PyResult<Vec<Dataset>> {
        let datasets = self.call(py, |client| async move { client.list_datasets().await })?;
        Ok(datasets.into_iter().map(Dataset::from).collect())
    }

    fn dataset(&self, py: Python<'_>, name: &str) -> PyResult<Dataset> {
        self.call(py, |client| async move { client.get_dataset(name).await }).map(Dataset::from)
    }

    fn remove_dataset(&self, py: Python<'_>, name: &str) -> PyResult<()> {
        self.call(py, |client| async move { client.remove_dataset(name).await })
    }

    fn put_sampler(&self, py: Python<'_>, dataset: &str, spec_json: &str) -> PyResult<Sampler> {
        self.call(py, |client| async move { client.put_sampler(dataset, spec_json, None).await }).map(Sampler::from)
    }

    fn samplers(&self, py: Python<'_>, dataset: &str, candidates: bool) -> PyResult<Vec<Sampler>> {
        let samplers = self.call(py, |client| async move { client.list_samplers(dataset, candidates).await })?;
        Ok(samplers.into_iter().map(Sampler::from).collect())
    }

    fn sampler(&self, py: Python<'_>, dataset: &str, version: Version) -> PyResult<Sampler> {
        self.call(py, |client| async move { client.get_sampler(dataset, version.0).await }).map(Sampler::from)
    }

    fn activate(&self, py: Python<'_>, dataset: &str, version: Version) -> PyResult<ActiveSampler> {
        self.call(py, |client| async move { client.activate_sampler(dataset, version.0).await })
            .map(ActiveSampler::from)
    }

    fn rollback(&self, py: Python<'_>, dataset: &str) -> PyResult<ActiveSampler> {
        self.call(py, |client| async move { client.rollback_sampler(dataset).await }).map(ActiveSampler::from)
    }

    fn jobs(&self, py: Python<'_>) -> PyResult<Vec<Job>> {
        let jobs = self.call(py, |client| async move { client.list_jobs().await })?;
        Ok(jobs.into_iter().map(Job::from).collect())
    }

    fn job(&self, py: Python<'_>, name: &str) -> PyResult<Job> {
        self.call(py, |client| async move { client.get_job(name).await }).map(Job::from)
    }

    fn remove_job(&self, py: Python<'_>, name: &str) -> PyResult<()> {
        self.call(py, |client| async move { client.remove_job(name).await })
    }

    fn studies(&self) -> PyResult<Studies> {
        Ok(Studies::over(self.client.get()?))
    }

    fn stats(&self, py: Python<'_>) -> PyResult<Stats> {
        self.call(py, |client| async move { client.get_stats().await }).map(Stats::from)
    }
}

/// Reads a number of seconds.
pub(crate) fn seconds(name: &str, value: f64) -> PyResult<Duration> {
    Duration::try_from_secs_f64(value)
        .map_err(|error| InvalidArgument::new_err(format!("{name}: {value} is no number of seconds: {error}")))
}

fn replacement_mode(mode: &str) -> PyResult<ReplacementMode> {
    match mode {
        "independent" => Ok(ReplacementMode::Independent),
        "stratified" => Ok(ReplacementMode::Stratified),
        "distinct" => Ok(ReplacementMode::Distinct),
        _ => Err(InvalidArgument::new_err(format!("mode {mode:?}: independent, stratified or distinct"))),
    }
}

fn policy(follow: Follow) -> PyResult<Policy> {
    match follow {
        Follow::Version(version) => Ok(Policy::Pinned(version)),
        Follow::Policy(name) => match name.as_str() {
            "step" => Ok(Policy::Step(true)),
            "epoch" => Ok(Policy::Epoch(true)),
            _ => Err(InvalidArgument::new_err(format!("follow {name:?}: \"step\", \"epoch\" or a version"))),
        },
    }
}

fn on_missing_of(on_missing: &str) -> PyResult<OnMissing> {
    match on_missing {
        "reject" => Ok(OnMissing::Reject),
        "impute" => Ok(OnMissing::Impute),
        other => Err(InvalidArgument::new_err(format!("on_missing {other:?}: reject or impute"))),
    }
}

fn file_format(format: Option<&str>) -> PyResult<FileFormat> {
    match format {
        None => Ok(FileFormat::Unspecified),
        Some("parquet") => Ok(FileFormat::Parquet),
        Some("safetensors") => Ok(FileFormat::Safetensors),
        Some("npz") => Ok(FileFormat::Npz),
        Some("csv") => Ok(FileFormat::Csv),
        Some(other) => Err(InvalidArgument::new_err(format!("format {other:?}: parquet, safetensors, npz or csv"))),
    }
}
