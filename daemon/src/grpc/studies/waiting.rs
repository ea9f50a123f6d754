//! A worker waits at the daemon for a trial.

use std::sync::Arc;
use std::time::Duration;

use swift_sampler_proto::v1;
use tokio::time::Instant;

use crate::daemon::Daemon;
use crate::error::Error;
use crate::registry::{LEASE_WAIT_MAX_MS, Lease};

/// Shortest time between two looks: a registry under training jobs changes every few milliseconds.
const LOOK_INTERVAL_MIN: Duration = Duration::from_millis(25);
/// Longest time between two looks: a lease that runs out, which makes a trial pending again, changes no record.
const LOOK_INTERVAL_MAX: Duration = Duration::from_millis(500);

/// Leases a trial as soon as one is to be had, within the request's `wait_ms`.
pub(super) async fn lease(daemon: &Arc<Daemon>, request: v1::LeaseTrialRequest) -> Result<Lease, Error> {
    let v1::LeaseTrialRequest { study, worker, lease_ms, wait_ms } = request;
    if wait_ms > LEASE_WAIT_MAX_MS {
        return Err(Error::Invalid(format!("wait_ms is {wait_ms}: it must be at most {LEASE_WAIT_MAX_MS}")));
    }
    let deadline = Instant::now() + Duration::from_millis(u64::from(wait_ms));
    // Subscribed before the first look, so that no change falls between.
    let mut changes = daemon.registry.watch();
    loop {
        let (study, worker) = (study.clone(), worker.clone());
        let lease = daemon.with_registry(move |daemon| daemon.registry.lease_trial(&study, &worker, lease_ms)).await?;
        let looked = Instant::now();
        if lease.trial.is_some() || lease.study_ended || looked >= deadline {
            return Ok(lease);
        }
        tokio::select! {
            // It asks again, another replica perhaps.
            () = daemon.shutdown.cancelled() => return Ok(lease),
            () = tokio::time::sleep_until(deadline.min(looked + LOOK_INTERVAL_MAX)) => {}
            _ = changes.changed() => tokio::time::sleep_until(deadline.min(looked + LOOK_INTERVAL_MIN)).await,
        }
    }
}
