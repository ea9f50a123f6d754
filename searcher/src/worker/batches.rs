//! A trial's batches, pulled from the daemon through the candidate's own version.

use std::time::Duration;

use swift_sampler_client::blocking::{BatchStream, Waited};
use swift_sampler_client::{BatchesRequest, ClientError, JobConfig, proto};

use super::heartbeat::Heartbeat;
use super::{Worker, job_name};
use crate::policy::TrialParameters;
use crate::randomness::seed_for;
use crate::target::{BatchSource, TargetError};

/// While no batch comes: how often to see whether the attempt is to end.
const LOOK_INTERVAL: Duration = Duration::from_millis(500);

/// The stream of one attempt. A second attempt opens the same job and gets the same batches.
pub(super) struct DaemonBatches<'a> {
    stream: BatchStream,
    heartbeat: &'a Heartbeat,
}

impl<'a> DaemonBatches<'a> {
    pub(super) fn open(
        worker: &Worker<'_>,
        trial: &proto::Trial,
        parameters: &TrialParameters,
        steps: u64,
        heartbeat: &'a Heartbeat,
    ) -> Result<Self, ClientError> {
        let name = job_name(&trial.study, trial.number);
        let job = JobConfig {
            seed: seed_for(parameters.seed, 0, "draws"),
            follow: proto::follow_policy::Policy::Pinned(trial.sampler_version),
            ..JobConfig::new(&name, &worker.dataset, worker.study_config.training.batch_size)
        };
        match worker.client.open_job(&job) {
            Err(ClientError::AlreadyExists(reason)) => {
                let found = worker.client.get_job(&name)?;
                let policy = found.follow.and_then(|follow| follow.policy);
                let of_a_trial = matches!(policy, Some(proto::follow_policy::Policy::Pinned(_)));
                if !of_a_trial || found.dataset != worker.dataset {
                    return Err(ClientError::AlreadyExists(reason));
                }
                // Left behind by a removed study of the same name: the trial's job is this one.
                worker.client.remove_job(&name)?;
                worker.client.open_job(&job)?;
            }
            opened => {
                opened?;
            }
        }
        let request =
            BatchesRequest { to_step: Some(steps), with_probabilities: false, ..BatchesRequest::new(&name, 0) };
        Ok(Self { stream: worker.client.batches(request), heartbeat })
    }
}

impl BatchSource for DaemonBatches<'_> {
    fn next_batch(&mut self, indices: &mut Vec<u32>) -> Result<(), TargetError> {
        loop {
            if self.heartbeat.is_over() {
                return Err(TargetError::Interrupted);
            }
            match self.stream.next_within(LOOK_INTERVAL) {
                Ok(Waited::Batch(batch)) => {
                    *indices = batch.indices;
                    return Ok(());
                }
                Ok(Waited::NotYet) => {}
                Ok(Waited::Ended) => {
                    return Err(TargetError::Batches { reason: "the trial's last step is behind".to_owned() });
                }
                Err(error) => return Err(TargetError::Batches { reason: error.to_string() }),
            }
        }
    }
}
