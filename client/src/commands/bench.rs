//! `samplerctl bench`.

use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use clap::Args;
use serde::Serialize;
use swift_sampler_client::blocking::Client;
use swift_sampler_client::{BatchesRequest, ClientError, JobConfig};

use crate::print::{Printer, Row};

/// Longest measurement, in seconds: a day.
const SECONDS_MAX: u64 = 24 * 60 * 60;

const MILLISECONDS_A_SECOND: f64 = 1e3;
/// Most readers: each has a thread.
const RANKS_MAX: i64 = 1024;

#[derive(Debug, Args)]
#[command(after_help = "\
Opens a job of its own, reads its batches as fast as they come, and removes it.

Examples:
  samplerctl bench fashion --batch-size 256 --seconds 10
  samplerctl bench fashion --batch-size 4096 --ranks 8 --connections 1")]
pub(crate) struct Bench {
    /// Dataset to draw from
    dataset: String,
    /// Global batch size
    #[arg(long, default_value_t = 256)]
    batch_size: u32,
    /// How long to read
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=SECONDS_MAX))]
    seconds: u64,
    /// Readers that share each batch, over the connections of one client
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=RANKS_MAX))]
    ranks: u32,
    /// Leaves out the probabilities, half the bytes
    #[arg(long)]
    without_probabilities: bool,
}

/// What one reader measured.
#[derive(Debug, Default)]
struct Reader {
    batches: u64,
    indices: u64,
    gaps: u64,
    first: Option<Duration>,
    longest: Duration,
}

/// What was measured, over all readers.
#[derive(Debug, Serialize)]
struct Measured {
    dataset: String,
    batch_size: u32,
    ranks: u32,
    seconds: f64,
    /// Steps that every reader has got.
    batches: u64,
    indices: u64,
    indices_per_second: f64,
    /// Steps that did not follow the one before.
    gaps: u64,
    /// Until the first batch, in milliseconds.
    first_batch_ms: f64,
    /// Longest wait for a later batch, in milliseconds.
    longest_wait_ms: f64,
}

impl Bench {
    pub(crate) fn run(self, client: &Client, printer: &mut Printer) -> anyhow::Result<()> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_nanos();
        let job = format!("bench/{}-{now}", std::process::id());
        client.open_job(&JobConfig::new(&job, &self.dataset, self.batch_size))?;
        let measured = self.measure(client, &job);
        client.remove_job(&job)?;
        Ok(printer.one(&measured?)?)
    }

    fn measure(&self, client: &Client, job: &str) -> Result<Measured, ClientError> {
        let start = Instant::now();
        let end = start + Duration::from_secs(self.seconds);
        let readers: Vec<Reader> = thread::scope(|scope| {
            let read = |rank| scope.spawn(move || self.read(client, job, rank, end));
            let readers: Vec<_> = (0..self.ranks).map(read).collect();
            readers.into_iter().map(|reader| reader.join().expect("readers do not panic")).collect::<Result<_, _>>()
        })?;
        let seconds = start.elapsed().as_secs_f64();
        let indices = readers.iter().map(|reader| reader.indices).sum();
        let longest = |wait: fn(&Reader) -> Duration| {
            readers.iter().map(wait).max().unwrap_or_default().as_secs_f64() * MILLISECONDS_A_SECOND
        };
        Ok(Measured {
            dataset: self.dataset.clone(),
            batch_size: self.batch_size,
            ranks: self.ranks,
            seconds,
            batches: readers.iter().map(|reader| reader.batches).min().unwrap_or_default(),
            indices,
            #[allow(clippy::cast_precision_loss, reason = "a rate is read to a few digits")]
            indices_per_second: indices as f64 / seconds,
            gaps: readers.iter().map(|reader| reader.gaps).sum(),
            first_batch_ms: longest(|reader| reader.first.unwrap_or_default()),
            longest_wait_ms: longest(|reader| reader.longest),
        })
    }

    /// Reads one rank's shares until `end`.
    fn read(&self, client: &Client, job: &str, rank: u32, end: Instant) -> Result<Reader, ClientError> {
        let request = |from_step| BatchesRequest {
            rank,
            world_size: self.ranks,
            with_probabilities: !self.without_probabilities,
            ..BatchesRequest::new(job, from_step)
        };
        let mut reader = Reader::default();
        let mut stream = client.batches(request(0));
        let mut asked = Instant::now();
        while asked < end {
            match stream.next() {
                Some(Ok(batch)) => {
                    reader.batches += 1;
                    reader.indices += batch.indices.len() as u64;
                }
                Some(Err(ClientError::OutOfOrder { received, .. })) => {
                    reader.gaps += 1;
                    stream = client.batches(request(received));
                }
                Some(Err(error)) => return Err(error),
                None => break,
            }
            let now = Instant::now();
            if reader.first.is_none() {
                reader.first = Some(now - asked);
            } else {
                reader.longest = reader.longest.max(now - asked);
            }
            asked = now;
        }
        Ok(reader)
    }
}

impl Row for Measured {
    const HEADS: &'static [&'static str] = &[
        "dataset",
        "batch size",
        "ranks",
        "seconds",
        "batches",
        "indices/s",
        "gaps",
        "first batch ms",
        "longest wait ms",
    ];

    fn cells(&self) -> Vec<String> {
        vec![
            self.dataset.clone(),
            self.batch_size.to_string(),
            self.ranks.to_string(),
            format!("{:.1}", self.seconds),
            self.batches.to_string(),
            format!("{:.0}", self.indices_per_second),
            self.gaps.to_string(),
            format!("{:.2}", self.first_batch_ms),
            format!("{:.2}", self.longest_wait_ms),
        ]
    }
}
