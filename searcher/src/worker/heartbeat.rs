//! Keeps a trial's lease from another thread, however long an epoch takes, as long as there is progress.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use swift_sampler_client::blocking::Client;
use swift_sampler_client::{ClientError, proto};

use super::WorkerConfig;
use crate::error::SearcherError;
use crate::limits::{Overdue, TrialClock, TrialLimits};
use crate::stop::Stop;
use crate::study::TrialReport;

/// Heartbeats a lease.
const BEATS_A_LEASE: u32 = 6;
/// How often to see whether an attempt exceeds its limits.
const LOOK_INTERVAL: Duration = Duration::from_millis(250);
/// How long a training that timed out may take to come to its next batch, before its process is ended.
const TIMEOUT_PATIENCE: Duration = Duration::from_secs(10);

/// The heartbeat of one attempt.
pub(super) struct Heartbeat {
    shared: Arc<Shared>,
    ended: Stop,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    /// JSON of the latest report; empty: nothing new.
    report: Mutex<String>,
    /// The lease is lost or the study over.
    lost: AtomicBool,
    /// The process is to stop.
    stop: Stop,
    clock: Mutex<TrialClock>,
    /// The attempt took too long: when that was found, and why it fails.
    timed_out: Mutex<Option<(Instant, String)>>,
}

impl Heartbeat {
    /// Starts the heartbeat of an attempt. With `limits`, an attempt that takes too long is interrupted at its next batch,
    /// and one that hangs is told as failed and ends this process, which has no other way to be rid of it.
    pub(super) fn start(
        config: &WorkerConfig,
        trial: &proto::Trial,
        lease: Duration,
        limits: Option<TrialLimits>,
        stop: &Stop,
    ) -> Result<Self, SearcherError> {
        let client = config.connect()?;
        let shared = Arc::new(Shared {
            report: Mutex::default(),
            lost: AtomicBool::new(false),
            stop: stop.clone(),
            clock: Mutex::new(TrialClock::start(Instant::now())),
            timed_out: Mutex::default(),
        });
        let ended = Stop::default();
        let request = proto::HeartbeatTrialRequest {
            study: trial.study.clone(),
            number: trial.number,
            attempt: trial.attempt,
            worker: config.name.clone(),
            lease_ms: u32::try_from(lease.as_millis()).unwrap_or(u32::MAX),
            report_json: String::new(),
        };
        let thread = std::thread::Builder::new()
            .name("heartbeat".to_owned())
            .spawn({
                let (shared, ended) = (Arc::clone(&shared), ended.clone());
                move || beat(&client, &request, lease / BEATS_A_LEASE, limits, &shared, &ended)
            })
            .map_err(|error| SearcherError::Failed(format!("the heartbeat thread cannot be started: {error}")))?;
        Ok(Self { shared, ended, thread: Some(thread) })
    }

    /// Leaves progress for the next beat.
    pub(super) fn report(&self, report: &TrialReport) {
        let json = serde_json::to_string(report).expect("a report is plain data");
        *self.shared.report.lock().unwrap_or_else(PoisonError::into_inner) = json;
    }

    /// Notes that the attempt is getting on.
    pub(super) fn progress(&self) {
        self.shared.clock.lock().unwrap_or_else(PoisonError::into_inner).progress(Instant::now());
    }

    /// Tells whether to give the attempt up.
    pub(super) fn is_over(&self) -> bool {
        self.is_lost() || self.shared.stop.is_set() || self.timed_out().is_some()
    }

    /// Tells whether another worker has the trial by now, or its study ended, or it was told.
    pub(super) fn is_lost(&self) -> bool {
        self.shared.lost.load(Ordering::Relaxed)
    }

    /// Returns why the attempt took too long, if it did.
    pub(super) fn timed_out(&self) -> Option<String> {
        let timed_out = self.shared.timed_out.lock().unwrap_or_else(PoisonError::into_inner);
        timed_out.as_ref().map(|(_, reason)| reason.clone())
    }

    /// Waits, but not once the process is to stop.
    pub(super) fn wait(&self, pause: Duration) {
        // Whoever waits asks next whether the attempt is over.
        let _stopped = self.shared.stop.wait_timeout(pause);
    }

    /// Ends the heartbeat and tells whether the lease was lost.
    pub(super) fn finish(mut self) -> bool {
        self.end();
        self.shared.lost.load(Ordering::Relaxed)
    }

    fn end(&mut self) {
        self.ended.set();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the heartbeat thread panicked");
        }
    }
}

impl Drop for Heartbeat {
    fn drop(&mut self) {
        self.end();
    }
}

fn beat(
    client: &Client,
    request: &proto::HeartbeatTrialRequest,
    interval: Duration,
    limits: Option<TrialLimits>,
    shared: &Shared,
    ended: &Stop,
) {
    let mut next = Instant::now() + interval;
    while !ended.wait_timeout(LOOK_INTERVAL.min(interval)) {
        if let Some(limits) = &limits {
            watch(client, request, limits, shared);
        }
        if Instant::now() < next {
            continue;
        }
        next = Instant::now() + interval;
        let report_json = std::mem::take(&mut *shared.report.lock().unwrap_or_else(PoisonError::into_inner));
        match client.heartbeat_trial(proto::HeartbeatTrialRequest { report_json, ..request.clone() }) {
            Ok(false) => {}
            Ok(true) => shared.lost.store(true, Ordering::Relaxed),
            Err(ClientError::FailedPrecondition(reason) | ClientError::NotFound(reason)) => {
                tracing::warn!(trial = request.number, reason, "lease lost");
                shared.lost.store(true, Ordering::Relaxed);
            }
            // The daemon may be restarting; the lease outlives a few missed beats.
            Err(error) => tracing::warn!(trial = request.number, %error, "heartbeat failed"),
        }
    }
}

/// Interrupts an attempt that takes too long; ends the process of one that does not come to an end.
fn watch(client: &Client, request: &proto::HeartbeatTrialRequest, limits: &TrialLimits, shared: &Shared) {
    let now = Instant::now();
    let overdue = shared.clock.lock().unwrap_or_else(PoisonError::into_inner).overdue(limits, now);
    let Some(overdue) = overdue else { return };
    let reason = overdue.to_string();
    if matches!(overdue, Overdue::TimedOut(_)) {
        let mut timed_out = shared.timed_out.lock().unwrap_or_else(PoisonError::into_inner);
        let (since, _) = timed_out.get_or_insert_with(|| (now, reason.clone()));
        if now.duration_since(*since) < TIMEOUT_PATIENCE {
            return;
        }
    }
    tracing::error!(trial = request.number, attempt = request.attempt, reason, "given up with this process");
    let told = client.tell_trial(proto::TellTrialRequest {
        study: request.study.clone(),
        number: request.number,
        attempt: request.attempt,
        worker: request.worker.clone(),
        outcome: Some(proto::tell_trial_request::Outcome::Failed(reason)),
        report_json: String::new(),
    });
    if let Err(error) = told {
        tracing::error!(%error, "not told: the lease will run out");
    }
    std::process::abort();
}
