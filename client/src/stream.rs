//! A stream of batches that outlives connections.

mod window;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use self::window::Pump;
use crate::batch::Block;
use crate::{Batch, Client, ClientError};

/// Blocks of batches held ready for the reader; a block is a quarter of the pump's window.
const BLOCKS_AHEAD_MAX: usize = 2;

/// Which batches to stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BatchesRequest {
    /// The job, already open.
    pub job: String,
    /// First step.
    pub from_step: u64,
    /// Step to stop before; `None`: without end.
    pub to_step: Option<u64>,
    /// Rank of the reader.
    pub rank: u32,
    /// Number of readers that share each global batch.
    pub world_size: u32,
    /// Allows a first step far beyond what the job has served.
    pub seek: bool,
    /// Whether to send the probability of each draw.
    pub with_probabilities: bool,
    /// Whether to send the crop that each draw is, where the dataset is a crop bank.
    pub with_crops: bool,
}

impl BatchesRequest {
    /// Whole batches from a step on, without end, with probabilities and crops.
    #[must_use]
    pub fn new(job: &str, from_step: u64) -> Self {
        Self {
            job: job.into(),
            from_step,
            to_step: None,
            rank: 0,
            world_size: 1,
            seek: false,
            with_probabilities: true,
            with_crops: true,
        }
    }
}

/// The batches of one rank, in order, each step once.
///
/// When the connection is lost or the daemon restarts, the stream reconnects and continues with the step after the last
/// it received. It reads ahead by a few hundredths of a second's worth of steps, or one step where that takes longer,
/// so that a hot swap is not held up by batches drawn long before they are used.
#[derive(Debug)]
pub struct BatchStream {
    state: State,
    /// What was received and not yet delivered.
    ready: Option<Block>,
    /// The step to deliver next.
    next_step: u64,
    to_step: Option<u64>,
}

#[derive(Debug)]
enum State {
    /// Nothing was asked for yet.
    Idle(Box<(Client, BatchesRequest)>),
    Running {
        blocks: mpsc::Receiver<Result<Block, ClientError>>,
        pump: JoinHandle<()>,
    },
    Ended,
}

impl BatchStream {
    pub(crate) fn new(client: Client, request: BatchesRequest) -> Self {
        Self {
            ready: None,
            next_step: request.from_step,
            to_step: request.to_step,
            state: State::Idle(Box::new((client, request))),
        }
    }

    /// Returns the step to be delivered next.
    #[must_use]
    pub fn next_step(&self) -> u64 {
        self.next_step
    }

    /// Returns the next batch if it was received already, without waiting.
    #[must_use]
    pub fn next_received(&mut self) -> Option<Batch> {
        let batch = self.ready.as_mut()?.next()?;
        self.next_step = batch.step + 1;
        Some(batch)
    }

    /// Returns the next batch; `None` after the last, or after an error. Dropping the future loses nothing.
    ///
    /// # Errors
    /// [`ClientError::Unavailable`] when the daemon could not be reached, or had no place for a stream that had begun,
    /// until the retry deadline; [`ClientError::ResourceExhausted`] when it has no place for one that begins;
    /// [`ClientError::NotFound`] without the job, [`ClientError::Invalid`] for a rank outside its world,
    /// [`ClientError::FailedPrecondition`] for a first step far ahead without `seek`.
    pub async fn next(&mut self) -> Result<Option<Batch>, ClientError> {
        loop {
            if let Some(batch) = self.next_received() {
                return Ok(Some(batch));
            }
            match &mut self.state {
                State::Idle(start) => {
                    let (client, request) = (start.0.clone(), start.1.clone());
                    let (sender, blocks) = mpsc::channel(BLOCKS_AHEAD_MAX);
                    let pump = tokio::spawn(Pump::new(client, request, sender).run());
                    self.state = State::Running { blocks, pump };
                }
                State::Running { blocks, .. } => match blocks.recv().await {
                    Some(Ok(block)) => self.ready = Some(block),
                    Some(Err(error)) => {
                        self.state = State::Ended;
                        return Err(error);
                    }
                    None => {
                        self.state = State::Ended;
                        if self.to_step.is_none_or(|end| self.next_step < end) {
                            let step = self.next_step;
                            return Err(ClientError::Protocol(format!("the stream broke off before step {step}")));
                        }
                    }
                },
                State::Ended => return Ok(None),
            }
        }
    }
}

impl Drop for BatchStream {
    fn drop(&mut self) {
        if let State::Running { pump, .. } = &self.state {
            pump.abort();
        }
    }
}
