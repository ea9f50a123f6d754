//! Reading ahead: a pump asks for windows of steps, as long as the reader's pace warrants.

use std::time::{Duration, Instant};

use swift_sampler_proto::v1::StreamBatchesRequest;
use tokio::sync::mpsc;
use tonic::Code;

use super::{BLOCKS_AHEAD_MAX, BatchesRequest};
use crate::batch::{Block, Receiver};
use crate::replicas::Call;
use crate::retry::{Attempts, Lost};
use crate::{Client, ClientError};

/// Steps of the first window, before the reader's pace is known.
const STEPS_FIRST: u64 = 8;
/// Most steps of a window.
const STEPS_MAX: u64 = 1 << 16;
/// Most draws of a window, but for a single step.
const DRAWS_MAX: u64 = 1 << 24;
/// Blocks a window is sent in.
const BLOCKS: u64 = 4;
/// Most batches a block.
const BATCHES_PER_BLOCK_MAX: u64 = 4096;
/// How long a window should last at least: what asking for it costs a daemon is spread over this.
const USE_MIN: Duration = Duration::from_millis(32);
/// How long it should last at most.
const USE_MAX: Duration = Duration::from_secs(2);
/// A window that was mostly waited for is made longer up to this. A daemon freezes no more of it than it sends ahead.
const WAITED_MAX: Duration = Duration::from_millis(256);
/// A window should last so many times as long as its first block takes to come. The next is asked for when the reader
/// begins with its last block, a fourth of it, so the reader need not wait; and where daemons are slow because many ask,
/// all ask less often.
const LATENCIES_A_WINDOW: u32 = 8;
/// A window is at most so many times as long, or as short, as the one before.
const CHANGE_MAX: u64 = 4;

/// How many steps to ask for at once.
///
/// What is asked for is frozen: a sampler activated meanwhile takes effect after it. So the window follows the reader's
/// pace, and is as short as what it costs to ask for one allows.
#[derive(Debug)]
struct Window {
    steps: u64,
    /// How long a window's first block takes to come, smoothed.
    latency: Option<Duration>,
}

/// What became of a window.
#[derive(Debug, Clone, Copy)]
struct Used {
    steps: u64,
    draws: u64,
    /// From asking for it to the last block's being queued.
    time: Duration,
    /// The part of it spent waiting for the daemon.
    waited: Duration,
    /// From asking for it to its first block.
    latency: Duration,
}

impl Window {
    fn first() -> Self {
        Self { steps: STEPS_FIRST, latency: None }
    }

    /// Adapts after a window was used.
    fn adapt(&mut self, used: Used) {
        if used.steps == 0 {
            return;
        }
        let latency = self.latency.map_or(used.latency, |before| (before * 3 + used.latency) / 4);
        self.latency = Some(latency);
        let wanted = (latency * LATENCIES_A_WINDOW).clamp(USE_MIN, USE_MAX);
        let as_long_as_wanted = u128::from(used.steps) * wanted.as_nanos() / used.time.as_nanos().max(1);
        // Where the daemon or the network is the slower side, what has to be waited for is spread over more steps.
        let is_reader_slower = used.waited < used.time / 2 || used.time > WAITED_MAX;
        let longer = u128::from(self.steps) * 2;
        let steps = if is_reader_slower { as_long_as_wanted } else { as_long_as_wanted.max(longer) };
        let steps_of_draws_max = (DRAWS_MAX / (used.draws / used.steps).max(1)).max(1);
        self.steps = u64::try_from(steps)
            .unwrap_or(u64::MAX)
            .clamp((self.steps / CHANGE_MAX).max(1), self.steps * CHANGE_MAX)
            .min(STEPS_MAX)
            .min(steps_of_draws_max);
    }
}

/// Fills a stream's queue of blocks.
pub(super) struct Pump {
    client: Client,
    request: BatchesRequest,
    blocks: mpsc::Sender<Result<Block, ClientError>>,
    next_step: u64,
    attempts: Attempts,
    receiver: Receiver,
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
        blocks: mpsc::Sender<Result<Block, ClientError>>,
    ) -> Self {
        Self {
            client,
            next_step: request.from_step,
            request,
            blocks,
            attempts: Attempts::new(),
            receiver: Receiver::default(),
        }
    }

    /// Runs until the last step is queued, the stream fails, or nobody reads any more.
    pub(super) async fn run(mut self) {
        let mut window = Window::first();
        while self.request.to_step != Some(self.next_step) {
            // The reader has begun with the last block of the window before.
            if self.blocks.reserve_many(BLOCKS_AHEAD_MAX).await.is_err() {
                return;
            }
            let end = self.next_step.saturating_add(window.steps).min(self.request.to_step.unwrap_or(u64::MAX));
            match self.read(end, window.steps).await {
                Ok(used) => window.adapt(used),
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

    /// Queues the steps up to `end`.
    async fn read(&mut self, end: u64, window_steps: u64) -> Result<Used, Interrupted> {
        let (asked, first_step) = (Instant::now(), self.next_step);
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
            without_crops: !self.request.with_crops,
        };
        let call = self.client.call().await.map_err(Interrupted::Lost)?;
        let mut service = call.sampling();
        let mut stream = self.answer(&call, service.stream_batches(request)).await?.into_inner();
        let (mut draws, mut latency, mut waited, mut since) = (0, None, Duration::ZERO, asked);
        while let Some(block) = self.answer(&call, stream.message()).await? {
            waited += since.elapsed();
            latency.get_or_insert(waited);
            self.client.note_answer(&call);
            let block = self.receiver.receive(block, self.next_step).map_err(Interrupted::Failed)?;
            self.next_step += block.len() as u64;
            draws += block.draws();
            self.blocks.send(Ok(block)).await.map_err(|_unread| Interrupted::Unread)?;
            since = Instant::now();
            // Only now: the reader may have taken longer than a daemon is tried.
            self.attempts = Attempts::new();
        }
        if self.next_step != end {
            let message = format!("the daemon ended a stream at step {}, before step {end}", self.next_step);
            return Err(Interrupted::Failed(ClientError::Protocol(message)));
        }
        waited += since.elapsed();
        let (steps, time) = (end - first_step, asked.elapsed());
        Ok(Used { steps, draws, time, waited, latency: latency.unwrap_or_default() })
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

    fn used(window: &Window, a_step: Duration, latency: Duration) -> Used {
        let steps = window.steps;
        let time = a_step * u32::try_from(steps).unwrap() + latency;
        Used { steps, draws: steps * 256, time, waited: latency, latency }
    }

    fn settled(a_step: Duration, latency: Duration) -> u64 {
        let mut window = Window::first();
        for _ in 0..30 {
            window.adapt(used(&window, a_step, latency));
        }
        window.steps
    }

    #[test]
    fn windows_last_about_as_long_whatever_a_step_takes() {
        let millisecond = Duration::from_millis(1);
        assert!((2900..=3200).contains(&settled(millisecond / 100, millisecond)));
        assert!((2..=3).contains(&settled(millisecond * 10, millisecond)));
        assert_eq!(settled(millisecond * 1000, millisecond), 1, "one step where that takes longer");
        assert_eq!(settled(Duration::from_nanos(1), Duration::ZERO), STEPS_MAX);
    }

    #[test]
    fn where_a_window_takes_long_to_come_it_is_longer() {
        let latency = Duration::from_millis(50);
        assert!((30..=40).contains(&settled(Duration::from_millis(10), latency)), "four tenths of a second");
        assert!(settled(Duration::from_millis(10), Duration::from_secs(5)) <= 200, "but no longer than two");
    }

    #[test]
    fn where_the_daemon_is_the_slower_side_windows_grow_up_to_a_limit() {
        let mut window = Window::first();
        let slow = |time| Used { steps: STEPS_FIRST, draws: 0, time, waited: time, latency: Duration::ZERO };
        window.adapt(slow(Duration::from_millis(200)));
        assert_eq!(window.steps, STEPS_FIRST * 2);
        window.adapt(slow(Duration::from_millis(300)));
        assert!(window.steps < STEPS_FIRST * 2);
    }

    #[test]
    fn windows_stay_below_the_most_draws() {
        let mut window = Window::first();
        for _ in 0..20 {
            let steps = window.steps;
            let time = Duration::from_millis(1);
            window.adapt(Used { steps, draws: steps * 100_000, time, waited: time, latency: time });
        }
        assert!(window.steps * 100_000 <= DRAWS_MAX);
    }
}
