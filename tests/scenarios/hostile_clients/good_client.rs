//! A client with manners, whose batches and waits tell what an attack costs.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use swift_sampler_client::blocking::{BatchStream, Client};
use swift_sampler_client::proto::GetBatchesRequest;
use swift_sampler_client::{Batch, BatchesRequest};

use super::scene::{BATCH_SIZE, JOB, Scene};

/// How often it takes a batch where waits are measured.
const PACE: Duration = Duration::from_millis(4);

/// What 99 of 100 waits are within.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Waits {
    /// For the next batch of a stream, which reads ahead.
    pub(crate) streamed: Duration,
    /// For the answer to a call.
    pub(crate) called: Duration,
}

pub(crate) struct GoodClient {
    client: Client,
    stream: BatchStream,
    /// A hash of each step's batch.
    got: BTreeMap<u64, u64>,
}

impl GoodClient {
    pub(crate) fn new(scene: &Scene) -> Self {
        let client = Client::connect(scene.daemon.address()).unwrap();
        let stream = client.batches(BatchesRequest::new(JOB, 0));
        Self { client, stream, got: BTreeMap::new() }
    }

    fn take(&mut self) {
        let batch = self.stream.next().unwrap().unwrap();
        assert_eq!((batch.step, batch.indices.len()), (self.got.len() as u64, BATCH_SIZE as usize));
        self.got.insert(batch.step, hash(&batch));
    }

    /// Takes batches at its pace for some time, each once from its stream and once by a call of its own, and returns how
    /// long it waited for most of them.
    pub(crate) fn waits(&mut self, time: Duration) -> Waits {
        let (mut streamed, mut called) = (Vec::new(), Vec::new());
        let started = Instant::now();
        while started.elapsed() < time {
            let asked = Instant::now();
            self.take();
            streamed.push(asked.elapsed());
            let asked_again = Instant::now();
            let (&from_step, &expected) = self.got.last_key_value().unwrap();
            let request = GetBatchesRequest { job: JOB.into(), from_step, steps: 1, ..Default::default() };
            let again = self.client.get_batches(request).unwrap();
            called.push(asked_again.elapsed());
            assert_eq!(again.iter().map(hash).collect::<Vec<_>>(), [expected]);
            std::thread::sleep(PACE.saturating_sub(asked.elapsed()));
        }
        Waits { streamed: percentile(&mut streamed, 99), called: percentile(&mut called, 99) }
    }

    /// Takes batches as fast as they come, and returns how many.
    pub(crate) fn batches_within(&mut self, time: Duration) -> u64 {
        let started = Instant::now();
        let before = self.got.len();
        while started.elapsed() < time {
            self.take();
        }
        (self.got.len() - before) as u64
    }

    /// Checks that all it got is what anyone gets who asks again, in peace.
    pub(crate) fn check_replay(&self) {
        let request = BatchesRequest { to_step: Some(self.got.len() as u64), ..BatchesRequest::new(JOB, 0) };
        let again = self.client.batches(request).map(|batch| batch.unwrap());
        let again: BTreeMap<_, _> = again.map(|batch| (batch.step, hash(&batch))).collect();
        assert_eq!(again, self.got);
    }
}

fn hash(batch: &Batch) -> u64 {
    use std::hash::{DefaultHasher, Hash, Hasher};
    let mut hasher = DefaultHasher::new();
    format!("{:?}", batch.indices).hash(&mut hasher);
    hasher.finish()
}

/// Returns the value that so many in a hundred do not exceed.
fn percentile(waits: &mut [Duration], percent: usize) -> Duration {
    waits.sort_unstable();
    waits[(waits.len() * percent).div_ceil(100).saturating_sub(1)]
}
