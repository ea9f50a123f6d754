//! The calls of the `Control` service.

use swift_sampler_proto::v1;

use super::unary;
use crate::{ActiveSamplerWatch, Client, ClientError};

/// Datasets, sampler versions, jobs and counters. The `.proto` file says what each call may fail with.
#[allow(clippy::missing_errors_doc, reason = "every call fails as its contract in control.proto says")]
impl Client {
    /// Lists the datasets.
    pub async fn list_datasets(&self) -> Result<Vec<v1::Dataset>, ClientError> {
        Ok(unary!(self, Safe, control.list_datasets, v1::ListDatasetsRequest {})?.datasets)
    }

    /// Returns a dataset.
    pub async fn get_dataset(&self, name: &str) -> Result<v1::Dataset, ClientError> {
        unary!(self, Safe, control.get_dataset, v1::GetDatasetRequest { name: name.into() })
    }

    /// Removes a dataset and its samplers; refused while a job reads it.
    pub async fn remove_dataset(&self, name: &str) -> Result<(), ClientError> {
        unary!(self, Safe, control.remove_dataset, v1::RemoveDatasetRequest { name: name.into() }).map(drop)
    }

    /// Stores a sampler and returns it with its version. Sent again only if the daemon cannot have seen it.
    pub async fn put_sampler(
        &self,
        dataset: &str,
        spec_json: &str,
        origin: Option<v1::Origin>,
    ) -> Result<v1::Sampler, ClientError> {
        let request = v1::PutSamplerRequest { dataset: dataset.into(), spec_json: spec_json.into(), origin };
        unary!(self, Unsent, control.put_sampler, request)
    }

    /// Lists a dataset's sampler versions, ascending; studies' candidates only on request.
    pub async fn list_samplers(&self, dataset: &str, candidates: bool) -> Result<Vec<v1::Sampler>, ClientError> {
        let request = v1::ListSamplersRequest { dataset: dataset.into(), candidates };
        Ok(unary!(self, Safe, control.list_samplers, request)?.samplers)
    }

    /// Returns a sampler version.
    pub async fn get_sampler(&self, dataset: &str, version: u64) -> Result<v1::Sampler, ClientError> {
        unary!(self, Safe, control.get_sampler, v1::GetSamplerRequest { dataset: dataset.into(), version })
    }

    /// Makes a version the active one; jobs take it up at their horizon.
    pub async fn activate_sampler(&self, dataset: &str, version: u64) -> Result<v1::ActiveSampler, ClientError> {
        unary!(self, Safe, control.activate_sampler, v1::ActivateSamplerRequest { dataset: dataset.into(), version })
    }

    /// Activates the version that was active before. Sent again only if the daemon cannot have seen it.
    pub async fn rollback_sampler(&self, dataset: &str) -> Result<v1::ActiveSampler, ClientError> {
        unary!(self, Unsent, control.rollback_sampler, v1::RollbackSamplerRequest { dataset: dataset.into() })
    }

    /// Watches a dataset's active sampler: the present one, then every change.
    #[must_use]
    pub fn watch_active_sampler(&self, dataset: &str) -> ActiveSamplerWatch {
        ActiveSamplerWatch::new(self.clone(), dataset)
    }

    /// Lists the jobs.
    pub async fn list_jobs(&self) -> Result<Vec<v1::Job>, ClientError> {
        Ok(unary!(self, Safe, control.list_jobs, v1::ListJobsRequest {})?.jobs)
    }

    /// Returns a job.
    pub async fn get_job(&self, name: &str) -> Result<v1::Job, ClientError> {
        unary!(self, Safe, control.get_job, v1::GetJobRequest { name: name.into() })
    }

    /// Removes a job.
    pub async fn remove_job(&self, name: &str) -> Result<(), ClientError> {
        unary!(self, Safe, control.remove_job, v1::RemoveJobRequest { name: name.into() }).map(drop)
    }

    /// Returns the daemon's counters.
    pub async fn get_stats(&self) -> Result<v1::Stats, ClientError> {
        unary!(self, Safe, control.get_stats, v1::GetStatsRequest {})
    }
}
