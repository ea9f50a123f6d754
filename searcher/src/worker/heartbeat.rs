//! Keeps a trial's lease from another thread, however long an epoch takes.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use swift_sampler_client::blocking::Client;
use swift_sampler_client::{ClientError, proto};

use super::WorkerConfig;
use crate::error::SearcherError;
use crate::stop::Stop;
use crate::study::TrialReport;

/// Heartbeats a lease.
const BEATS_A_LEASE: u32 = 6;

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
}

impl Heartbeat {
    pub(super) fn start(
        config: &WorkerConfig,
        trial: &proto::Trial,
        lease: Duration,
        stop: &Stop,
    ) -> Result<Self, SearcherError> {
        let client = config.connect()?;
        let shared = Arc::new(Shared { report: Mutex::default(), lost: AtomicBool::new(false), stop: stop.clone() });
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
                move || beat(&client, &request, lease / BEATS_A_LEASE, &shared, &ended)
            })
            .map_err(|error| SearcherError::Failed(format!("the heartbeat thread cannot be started: {error}")))?;
        Ok(Self { shared, ended, thread: Some(thread) })
    }

    /// Leaves progress for the next beat.
    pub(super) fn report(&self, report: &TrialReport) {
        let json = serde_json::to_string(report).expect("a report is plain data");
        *self.shared.report.lock().unwrap_or_else(PoisonError::into_inner) = json;
    }

    /// Tells whether to give the attempt up.
    pub(super) fn is_over(&self) -> bool {
        self.shared.lost.load(Ordering::Relaxed) || self.shared.stop.is_set()
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

fn beat(client: &Client, request: &proto::HeartbeatTrialRequest, interval: Duration, shared: &Shared, ended: &Stop) {
    while !ended.wait_timeout(interval) {
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
