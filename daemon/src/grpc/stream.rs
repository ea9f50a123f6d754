//! One stream of batches: computed ahead of the reader, but not far.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use swift_sampler_proto::v1;
use tokio::sync::mpsc::{self, Sender};
use tokio_stream::Stream;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use crate::batches::JobReader;
use crate::budget::Reservation;
use crate::connections::ConnectionInfo;
use crate::daemon::Daemon;
use crate::error::Error;

/// Finished messages that wait for the connection. What waits is frozen, so a long queue delays activations.
pub(crate) const QUEUE_MESSAGES: usize = 1;
/// Largest message, in bytes of its columns, unless a single batch is larger.
pub(crate) const MESSAGE_BYTES_MAX: u64 = 192 << 10;
/// Memory of all streams' messages together, in bytes: with very many streams, messages are smaller.
pub(crate) const MESSAGES_BYTES_MAX: u64 = 128 << 20;
/// Messages that a stream may have on their way: being drawn, queued, being encoded, and being sent.
const MESSAGES_A_STREAM: u64 = 4;
/// Most batches a message.
pub(crate) const BATCHES_A_MESSAGE_MAX: u64 = 4096;
/// A reader that takes a message this fast may get larger ones.
const FAST: Duration = Duration::from_millis(2);
/// So many messages in a row must be taken fast: the first few always are, by buffers on the way.
const FAST_MESSAGES: u32 = 4;
/// A reader that takes this long gets smaller ones, so that little is frozen ahead of it.
const SLOW: Duration = Duration::from_millis(50);

/// Messages of batches, and what they hold until the last is sent.
#[derive(Debug)]
pub struct BatchStream {
    messages: ReceiverStream<Result<v1::BatchBlock, Status>>,
    _open: OpenStream,
}

impl Stream for BatchStream {
    type Item = Result<v1::BatchBlock, Status>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Pin::new(&mut self.messages).poll_next(context)
    }
}

/// Starts the task that feeds a stream, and returns the stream.
///
/// # Errors
/// [`Error::Busy`] when its messages find no room in memory.
pub(super) fn spawn(
    daemon: Arc<Daemon>,
    mut reader: JobReader,
    batches_per_message: u32,
    connection: ConnectionInfo,
    permit: Reservation,
) -> Result<BatchStream, Error> {
    // Larger messages than of one batch are cut to the memory that all streams share.
    let reservation = reader.reserve(connection.peer(), MESSAGES_A_STREAM)?;
    let (sender, receiver) = mpsc::channel(QUEUE_MESSAGES);
    let open = OpenStream::new(Arc::clone(&daemon), permit, reservation);
    tokio::spawn(async move {
        let fed = tokio::select! {
            biased;
            () = connection.streams_end() => Err(Error::ConnectionRetired),
            fed = feed(&daemon, reader, batches_per_message, &sender) => fed,
        };
        if let Err(error) = fed {
            // The reader may be gone already.
            sender.send(Err(error.into())).await.ok();
        }
    });
    Ok(BatchStream { messages: ReceiverStream::new(receiver), _open: open })
}

async fn feed(
    daemon: &Daemon,
    mut reader: JobReader,
    batches_per_message: u32,
    sender: &Sender<Result<v1::BatchBlock, Status>>,
) -> Result<(), Error> {
    let streams = u64::try_from(daemon.metrics.streams.get()).unwrap_or(0);
    let mut size = MessageSize::new(reader.bytes(1), batches_per_message, streams);
    while !reader.is_done() {
        let block = tokio::select! {
            biased;
            () = daemon.shutdown.cancelled() => return Err(Error::ShuttingDown),
            () = sender.closed() => return Ok(()),
            block = reader.next_block(size.batches) => block?,
        };
        let started = Instant::now();
        let permit = tokio::select! {
            biased;
            () = daemon.shutdown.cancelled() => return Err(Error::ShuttingDown),
            permit = sender.reserve() => permit,
        };
        let Ok(permit) = permit else { return Ok(()) };
        let waited = started.elapsed();
        daemon.metrics.send_wait.observe(waited.as_secs_f64());
        count(daemon, &block);
        permit.send(Ok(block));
        size.adapt(waited);
    }
    Ok(())
}

/// Counts the batches of a block as served.
pub(super) fn count(daemon: &Daemon, block: &v1::BatchBlock) {
    daemon.metrics.batches_served.inc_by(block.batches.len() as u64);
    daemon.metrics.draws_served.inc_by(block.batches.iter().map(|batch| u64::from(batch.draws)).sum());
}

/// How many batches go in a message: one at first, so that training starts at once, then as many as the reader keeps up
/// with.
struct MessageSize {
    batches: u64,
    batches_max: u64,
    taken_fast: u32,
}

impl MessageSize {
    fn new(batch_bytes: u64, batches_per_message: u32, streams: u64) -> Self {
        let batch_bytes = batch_bytes.max(1);
        let asked = if batches_per_message == 0 { BATCHES_A_MESSAGE_MAX } else { u64::from(batches_per_message) };
        let bytes_max = MESSAGE_BYTES_MAX.min(MESSAGES_BYTES_MAX / MESSAGES_A_STREAM / streams.max(1));
        let batches_max = (bytes_max / batch_bytes).clamp(1, BATCHES_A_MESSAGE_MAX).min(asked);
        // Whoever says how many a message takes them at once; what is frozen ahead ends with what it asked for.
        let batches = if batches_per_message == 0 { 1 } else { batches_max };
        Self { batches, batches_max, taken_fast: 0 }
    }

    fn adapt(&mut self, waited: Duration) {
        self.taken_fast = if waited < FAST { self.taken_fast + 1 } else { 0 };
        if self.taken_fast == FAST_MESSAGES {
            self.taken_fast = 0;
            self.batches = (self.batches * 2).min(self.batches_max);
        } else if waited > SLOW {
            self.batches = (self.batches / 2).max(1);
        }
    }
}

/// Counts a stream as open while it lives.
#[derive(Debug)]
struct OpenStream {
    daemon: Arc<Daemon>,
    _permit: Reservation,
    _reservation: Reservation,
}

impl OpenStream {
    fn new(daemon: Arc<Daemon>, permit: Reservation, reservation: Reservation) -> Self {
        daemon.metrics.streams.inc();
        Self { daemon, _permit: permit, _reservation: reservation }
    }
}

impl Drop for OpenStream {
    fn drop(&mut self) {
        self.daemon.metrics.streams.dec();
    }
}
