//! One stream that is read and timed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use swift_sampler_client::{BatchesRequest, Client, ClientError};

use super::waits::Waits;

/// What all readers are told.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) request: BatchesRequest,
    /// Steps a second, as a trainer takes them; `None`: as fast as they come.
    pub(super) pace: Option<f64>,
    pub(super) end: Instant,
    /// Ends reading before that.
    pub(super) stop: AtomicBool,
    /// Set while another sampler is activated, and shortly after.
    pub(super) swapping: AtomicBool,
    /// The version that is activated meanwhile; 0: none.
    pub(super) awaited: u64,
}

/// What one reader measured.
#[derive(Debug)]
pub(super) struct Measured {
    pub(super) batches: u64,
    pub(super) indices: u64,
    /// Steps that did not follow the one before.
    pub(super) gaps: u64,
    pub(super) first: Option<Duration>,
    /// Waits for batches but the first, in quiet times.
    pub(super) quiet: Waits,
    /// The same while another sampler is activated.
    pub(super) swapping: Waits,
    /// When the first batch of the awaited version came.
    pub(super) swapped: Option<Instant>,
}

/// Reads one rank's shares until the end.
pub(super) async fn read(client: Client, plan: Arc<Plan>, rank: u32) -> Result<Measured, ClientError> {
    let request = |from_step| BatchesRequest { rank, from_step, ..plan.request.clone() };
    let mut measured = Measured {
        batches: 0,
        indices: 0,
        gaps: 0,
        first: None,
        quiet: Waits::new(),
        swapping: Waits::new(),
        swapped: None,
    };
    let mut stream = client.batches(request(plan.request.from_step));
    let start = Instant::now();
    let mut asked = start;
    while asked < plan.end && !plan.stop.load(Ordering::Relaxed) {
        let version = match stream.next().await {
            Ok(Some(batch)) => {
                measured.batches += 1;
                measured.indices += batch.indices.len() as u64;
                batch.version
            }
            Err(ClientError::OutOfOrder { received, .. }) => {
                measured.gaps += 1;
                stream = client.batches(request(received));
                continue;
            }
            Err(error) => return Err(error),
            Ok(None) => break,
        };
        let now = Instant::now();
        if version == plan.awaited && measured.swapped.is_none() {
            measured.swapped = Some(now);
        }
        if measured.first.is_none() {
            measured.first = Some(now - asked);
        } else if plan.swapping.load(Ordering::Relaxed) {
            measured.swapping.note(now - asked);
        } else {
            measured.quiet.note(now - asked);
        }
        asked = now;
        if let Some(pace) = plan.pace {
            #[allow(clippy::cast_precision_loss, reason = "steps of a measurement are few")]
            let due = start + Duration::from_secs_f64(measured.batches as f64 / pace);
            tokio::time::sleep_until(due.max(now).into()).await;
            asked = Instant::now();
        }
    }
    Ok(measured)
}
