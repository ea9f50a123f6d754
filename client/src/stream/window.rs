//! Reading ahead: a pump asks for windows of steps, as long as the reader's pace warrants.

use std::time::{Duration, Instant};

use swift_sampler_proto::v1::StreamBatchesRequest;
use tokio::sync::mpsc;
use tonic::Code;

use super::BatchesRequest;
use crate::replicas::Call;
use crate::retry::{Attempts, Lost};
use crate::{Batch, Client, ClientError, batch};

/// Steps of the first window.
const STEPS_FIRST: u64 = 64;
/// Fewest steps of a window: what a network's round trip is spread over.
const STEPS_MIN: u64 = 16;
/// Most steps of a window.
const STEPS_MAX: u64 = 1 << 16;
/// Most draws of a window.
const DRAWS_MAX: u64 = 1 << 24;
/// Blocks a window is sent in.
const BLOCKS: u64 = 4;
/// Most batches a block.
const BATCHES_PER_BLOCK_MAX: u64 = 4096;
/// A window used up sooner is doubled.
const USE_MIN: Duration = Duration::from_millis(50);
/// A window that lasts longer is halved.
const USE_MAX: Duration = Duration::from_millis(400);

/// How many steps to ask for at once.
///
/// What is asked for is frozen: a sampler activated meanwhile takes effect after it. So the window follows the reader's
/// pace and lasts about as long as it takes a person to notice, whatever a step costs.
#[derive(Debug)]
struct Window {
    steps: u64,
}

impl Window {
    /// Adapts after a window that lasted `used` and held `draws` draws.
    fn adapt(&mut self, used: Duration, draws: u64) {
        if used < USE_MIN && draws.saturating_mul(2) <= DRAWS_MAX {
            self.steps = (self.steps * 2).min(STEPS_MAX);
        } else if used > USE_MAX {
            self.steps = (self.steps / 2).max(STEPS_MIN);
        }
    }
}

/// Fills a stream's queue of blocks.
pub(super) struct Pump {
    client: Client,
    request: BatchesRequest,
    blocks: mpsc::Sender<Result<Vec<Batch>, ClientError>>,
    next_step: u64,
    attempts: Attempts,
}

/// Why a window ended early.
enum Interrupted {
    /// The connection was lost; another may mend it.
    Lost(Lost),
    /// The stream cannot go on.
    Failed(ClientError),
    /// Nobody reads any more.
    Unread,
}

impl Pump {
    pub(super) fn new(
        client: Client,
        request: BatchesRequest,
        blocks: mpsc::Sender<Result<Vec<Batch>, ClientError>>,
    ) -> Self {
        Self { client, next_step: request.from_step, request, blocks, attempts: Attempts::new() }
    }

    /// Runs until the last step is queued, the stream fails, or nobody reads any more.
    pub(super) async fn run(mut self) {
        let mut window = Window { steps: STEPS_FIRST };
        while self.request.to_step != Some(self.next_step) {
            let (start, first) = (Instant::now(), self.next_step);
            let end = first.saturating_add(window.steps).min(self.request.to_step.unwrap_or(u64::MAX));
            match self.read(end, window.steps).await {
                Ok(draws) => window.adapt(start.elapsed(), draws),
                Err(Interrupted::Unread) => return,
                Err(Interrupted::Failed(error)) => return self.fail(error).await,
                Err(Interrupted::Lost(lost)) => {
                    if let Err(error) = self.client.retry(&mut self.attempts, lost).await {
                        return self.fail(error).await;
                    }
                }
            }
        }
    }

    async fn fail(&self, error: ClientError) {
        // Where nobody reads any more, nobody misses the error.
        self.blocks.send(Err(error)).await.ok();
    }

    /// Queues the steps up to `end`; returns how many draws they held.
    async fn read(&mut self, end: u64, window_steps: u64) -> Result<u64, Interrupted> {
        let batches_per_message = (window_steps / BLOCKS).clamp(1, BATCHES_PER_BLOCK_MAX);
        let request = StreamBatchesRequest {
            job: self.request.job.clone(),
            from_step: self.next_step,
            to_step: Some(end),
            rank: self.request.rank,
            world_size: self.request.world_size,
            batches_per_message: u32::try_from(batches_per_message).unwrap_or(u32::MAX),
            seek: self.request.seek,
            without_probabilities: !self.request.with_probabilities,
        };
        let call = self.client.call().await.map_err(Interrupted::Lost)?;
        let mut service = call.sampling();
        let mut stream = self.answer(&call, service.stream_batches(request)).await?.into_inner();
        let mut draws = 0;
        while let Some(block) = self.answer(&call, stream.message()).await? {
            self.client.note_answer(&call);
            let batches = batch::unpack(&block, self.next_step).map_err(Interrupted::Failed)?;
            self.next_step += batches.len() as u64;
            draws += batches.iter().map(|batch| batch.indices.len() as u64).sum::<u64>();
            self.blocks.send(Ok(batches)).await.map_err(|_unread| Interrupted::Unread)?;
            // Only now: the reader may have taken longer than a daemon is tried.
            self.attempts = Attempts::new();
        }
        if self.next_step != end {
            let message = format!("the daemon ended a stream at step {}, before step {end}", self.next_step);
            return Err(Interrupted::Failed(ClientError::Protocol(message)));
        }
        Ok(draws)
    }

    /// Waits for one answer, but no longer than a request may take.
    async fn answer<T>(
        &self,
        call: &Call,
        answer: impl Future<Output = Result<T, tonic::Status>>,
    ) -> Result<T, Interrupted> {
        let timeout = self.client.timeout(&self.attempts);
        match tokio::time::timeout(timeout, answer).await {
            Ok(Ok(value)) => Ok(value),
            // Every window needs a place among a daemon's streams. A job that had one gets another in time, while one
            // that never had any is told once no replica has one.
            Ok(Err(status)) if status.code() == Code::ResourceExhausted && self.may_find_room() => {
                let lost = Lost::from_status(&status).unwrap_or_else(|| Lost::no_room(&status));
                call.failed(&lost);
                Err(Interrupted::Lost(lost))
            }
            Ok(Err(status)) => Err(match self.client.lost(call, &status) {
                Some(lost) => Interrupted::Lost(lost),
                None => Interrupted::Failed(ClientError::from_status(&status)),
            }),
            Err(_elapsed) => {
                let lost = Lost::timed_out(timeout);
                call.failed(&lost);
                Err(Interrupted::Lost(lost))
            }
        }
    }

    fn may_find_room(&self) -> bool {
        self.next_step > self.request.from_step || self.client.has_others(&self.attempts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quick_reader_gets_longer_windows_and_a_slow_one_shorter() {
        let mut window = Window { steps: STEPS_FIRST };
        for _ in 0..20 {
            window.adapt(Duration::from_millis(1), 1000);
        }
        assert_eq!(window.steps, STEPS_MAX);
        for _ in 0..20 {
            window.adapt(Duration::from_secs(2), 1000);
        }
        assert_eq!(window.steps, STEPS_MIN);
    }

    #[test]
    fn windows_stay_below_the_most_draws() {
        let mut window = Window { steps: STEPS_FIRST };
        for _ in 0..20 {
            window.adapt(Duration::from_millis(1), window.steps * 100_000);
        }
        assert!(window.steps * 100_000 <= DRAWS_MAX);
    }
}
