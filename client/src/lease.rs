//! A leased trial, whose lease is kept in the background.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use swift_sampler_proto::v1;
use swift_sampler_proto::v1::tell_trial_request::Outcome;
use tokio::task::JoinHandle;

use crate::{Client, ClientError};

/// Heartbeats a lease: as many as may be missed before it runs out.
const BEATS_A_LEASE: u32 = 6;

/// Whose trial, of which study, and for how long.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrialRequest {
    /// The study.
    pub study: String,
    /// The worker's name, unique among those of the study: one that asks again gets its own trial back.
    pub worker: String,
    /// How long a worker that is not heard of keeps its trial, 1 s to 1 h. Default 30 s.
    pub lease: Duration,
    /// How long to wait at the daemon for a trial to be had, 30 s at most. Default 2 s.
    ///
    /// Keep it shorter than [`crate::ClientConfig::stall_timeout`], after which another replica is asked.
    pub wait: Duration,
    /// The lease is kept no longer than this after the last progress ([`TrialLease::note_progress`]), so that a trial
    /// that hangs goes to another worker; `None`, the default: as long as the process lives.
    pub hang_timeout: Option<Duration>,
}

impl TrialRequest {
    /// Takes a study and a worker's name, and the defaults of everything else.
    #[must_use]
    pub fn new(study: &str, worker: &str) -> Self {
        Self {
            study: study.into(),
            worker: worker.into(),
            lease: Duration::from_secs(30),
            wait: Duration::from_secs(2),
            hang_timeout: None,
        }
    }
}

/// The answer to a worker that asks for a trial.
#[derive(Debug)]
pub enum Leased {
    /// A trial, which is the worker's until it tells how it ended.
    Trial(Box<TrialLease>),
    /// None is to be had now: ask again.
    NoneNow,
    /// None will come any more.
    StudyEnded,
}

impl Client {
    /// Leases a trial and keeps the lease in the background.
    ///
    /// ```no_run
    /// use swift_sampler_client::{Client, Leased, TrialRequest, proto::tell_trial_request::Outcome};
    ///
    /// # fn train(version: u64) -> f64 { 0.0 }
    /// # async fn work() -> Result<(), swift_sampler_client::ClientError> {
    /// let client = Client::new("127.0.0.1:7431")?;
    /// let request = TrialRequest::new("fashion-0", "host-1");
    /// loop {
    ///     match client.lease(&request).await? {
    ///         Leased::Trial(trial) => {
    ///             let accuracy = train(trial.trial().sampler_version);
    ///             trial.tell(Outcome::Objective(accuracy), "").await?;
    ///         }
    ///         Leased::NoneNow => {}
    ///         Leased::StudyEnded => return Ok(()),
    ///     }
    /// }
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`ClientError::NotFound`] without such a study; [`ClientError::Invalid`] for a duration out of range.
    pub async fn lease(&self, request: &TrialRequest) -> Result<Leased, ClientError> {
        let asked = Instant::now();
        let answer = self
            .lease_trial(v1::LeaseTrialRequest {
                study: request.study.clone(),
                worker: request.worker.clone(),
                lease_ms: milliseconds("lease", request.lease)?,
                wait_ms: milliseconds("wait", request.wait)?,
            })
            .await?;
        match answer.trial {
            Some(trial) => Ok(Leased::Trial(Box::new(TrialLease::keep(self.clone(), trial, request)))),
            None if answer.study_ended => Ok(Leased::StudyEnded),
            None => {
                // A daemon that goes down, or one of before it could be waited at, answers at once.
                tokio::time::sleep(request.wait.saturating_sub(asked.elapsed())).await;
                Ok(Leased::NoneNow)
            }
        }
    }
}

fn milliseconds(field: &str, duration: Duration) -> Result<u32, ClientError> {
    u32::try_from(duration.as_millis())
        .map_err(|_too_long| ClientError::Invalid(format!("{field} is {duration:?}: it must be below 49 days")))
}

/// A leased trial. A background task beats until it is told, dropped, or lost; dropped without being told, its lease
/// runs out.
#[derive(Debug)]
pub struct TrialLease {
    client: Client,
    trial: v1::Trial,
    beat: v1::HeartbeatTrialRequest,
    state: Arc<LeaseState>,
    beating: JoinHandle<()>,
}

#[derive(Debug)]
struct LeaseState {
    lost: AtomicBool,
    progress: Mutex<Instant>,
}

impl LeaseState {
    fn since_progress(&self) -> Duration {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner).elapsed()
    }
}

impl TrialLease {
    fn keep(client: Client, trial: v1::Trial, request: &TrialRequest) -> Self {
        let state = Arc::new(LeaseState { lost: AtomicBool::new(false), progress: Mutex::new(Instant::now()) });
        let beat = v1::HeartbeatTrialRequest {
            study: trial.study.clone(),
            number: trial.number,
            attempt: trial.attempt,
            worker: trial.worker.clone(),
            lease_ms: u32::try_from(request.lease.as_millis()).unwrap_or(u32::MAX),
            report_json: String::new(),
        };
        let beating = tokio::spawn(keep(
            client.clone(),
            beat.clone(),
            request.lease / BEATS_A_LEASE,
            request.hang_timeout,
            Arc::clone(&state),
        ));
        Self { client, trial, beat, state, beating }
    }

    /// Returns the trial as it was leased.
    #[must_use]
    pub fn trial(&self) -> &v1::Trial {
        &self.trial
    }

    /// Tells whether to give up: another worker has the trial, or the study has ended.
    #[must_use]
    pub fn is_lost(&self) -> bool {
        self.state.lost.load(Ordering::Relaxed)
    }

    /// Notes that the trial does not hang.
    pub fn note_progress(&self) {
        *self.state.progress.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    /// Records progress, JSON that the policy understands, and tells whether to go on.
    ///
    /// # Errors
    /// [`ClientError::Invalid`] when it is no JSON, [`ClientError::Unavailable`].
    pub async fn report(&self, report_json: &str) -> Result<bool, ClientError> {
        self.note_progress();
        let beat = v1::HeartbeatTrialRequest { report_json: report_json.into(), ..self.beat.clone() };
        match self.client.heartbeat_trial(beat).await {
            Ok(stop) => self.state.lost.fetch_or(stop, Ordering::Relaxed),
            Err(ClientError::FailedPrecondition(_) | ClientError::NotFound(_)) => {
                self.state.lost.store(true, Ordering::Relaxed);
                true
            }
            Err(error) => return Err(error),
        };
        Ok(!self.is_lost())
    }

    /// Tells how the attempt ended; an empty report leaves the last. Ends the heartbeats once it is told.
    ///
    /// # Errors
    /// [`ClientError::FailedPrecondition`] when another worker has the trial by now: its result will stand.
    pub async fn tell(&self, outcome: Outcome, report_json: &str) -> Result<v1::Trial, ClientError> {
        let told = self
            .client
            .tell_trial(v1::TellTrialRequest {
                study: self.trial.study.clone(),
                number: self.trial.number,
                attempt: self.trial.attempt,
                worker: self.trial.worker.clone(),
                outcome: Some(outcome),
                report_json: report_json.into(),
            })
            .await?;
        self.beating.abort();
        Ok(told)
    }
}

impl Drop for TrialLease {
    fn drop(&mut self) {
        self.beating.abort();
    }
}

async fn keep(
    client: Client,
    beat: v1::HeartbeatTrialRequest,
    interval: Duration,
    hang_timeout: Option<Duration>,
    state: Arc<LeaseState>,
) {
    loop {
        tokio::time::sleep(interval).await;
        if hang_timeout.is_some_and(|timeout| state.since_progress() > timeout) {
            continue;
        }
        match client.heartbeat_trial(beat.clone()).await {
            Ok(false) => {}
            Ok(true) | Err(ClientError::FailedPrecondition(_) | ClientError::NotFound(_)) => {
                state.lost.store(true, Ordering::Relaxed);
                return;
            }
            // The daemon may be restarting; the lease outlives a few missed beats.
            Err(_) => {}
        }
    }
}
