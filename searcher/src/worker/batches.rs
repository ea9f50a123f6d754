//! A trial's batches, pulled from the daemon through the candidate's own version.

use std::cell::Cell;
use std::time::{Duration, Instant};

use swift_sampler::Replacement;
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
    waited: &'a Waiting,
}

/// How long a trial has been kept from training by pulling from the daemon.
#[derive(Debug, Default)]
pub(super) struct Waiting(Cell<Duration>);

impl Waiting {
    /// Adds what `pull` takes.
    fn during<T>(&self, pull: impl FnOnce() -> T) -> T {
        let started = Instant::now();
        let pulled = pull();
        self.0.set(self.0.get() + started.elapsed());
        pulled
    }

    /// Returns the time so far.
    pub(super) fn seconds(&self) -> f64 {
        self.0.get().as_secs_f64()
    }
}

impl<'a> DaemonBatches<'a> {
    pub(super) fn open(
        worker: &Worker<'_>,
        trial: &proto::Trial,
        parameters: &TrialParameters,
        steps: u64,
        heartbeat: &'a Heartbeat,
        waited: &'a Waiting,
    ) -> Result<Self, ClientError> {
        let stream = waited.during(|| Self::stream(worker, trial, parameters, steps))?;
        Ok(Self { stream, heartbeat, waited })
    }

    /// Opens the trial's job and its stream.
    fn stream(
        worker: &Worker<'_>,
        trial: &proto::Trial,
        parameters: &TrialParameters,
        steps: u64,
    ) -> Result<BatchStream, ClientError> {
        let name = open_job(worker, trial, parameters)?;
        let request =
            BatchesRequest { to_step: Some(steps), with_probabilities: false, ..BatchesRequest::new(&name, 0) };
        Ok(worker.client.batches(request))
    }
}

const fn wire_mode(mode: Replacement) -> proto::ReplacementMode {
    match mode {
        Replacement::Independent => proto::ReplacementMode::Independent,
        Replacement::Stratified => proto::ReplacementMode::Stratified,
        Replacement::Distinct => proto::ReplacementMode::Distinct,
    }
}

/// Opens the trial's job, and returns its name.
pub(super) fn open_job(
    worker: &Worker<'_>,
    trial: &proto::Trial,
    parameters: &TrialParameters,
) -> Result<String, ClientError> {
    let name = job_name(&trial.study, trial.number);
    let job = JobConfig {
        seed: seed_for(parameters.seed, 0, "draws"),
        mode: wire_mode(parameters.mode),
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
    Ok(name)
}

impl BatchSource for DaemonBatches<'_> {
    fn next_batch(&mut self, indices: &mut Vec<u32>) -> Result<(), TargetError> {
        loop {
            if self.heartbeat.is_over() {
                return Err(TargetError::Interrupted);
            }
            match self.waited.during(|| self.stream.next_within(LOOK_INTERVAL)) {
                Ok(Waited::Batch(batch)) => {
                    self.heartbeat.progress();
                    let Some(rows) = batch.indices.as_u32() else {
                        let reason = "the dataset's indices have 64 bits, and a target's examples are numbered with 32";
                        return Err(TargetError::Batches { reason: reason.to_owned() });
                    };
                    indices.clear();
                    indices.extend_from_slice(rows);
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
