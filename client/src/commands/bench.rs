//! `samplerctl bench`.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use clap::Args;
use serde::Serialize;
use swift_sampler_client::blocking::Client;
use swift_sampler_client::{BatchesRequest, ClientError, JobConfig};

use crate::print::{Printer, Row};

/// Longest measurement, in seconds: a day.
const SECONDS_MAX: u64 = 24 * 60 * 60;

#[derive(Debug, Args)]
#[command(after_help = "\
Opens a job of its own, reads its batches as fast as they come, and removes it.

Example:
  samplerctl bench fashion --batch-size 256 --seconds 10")]
pub(crate) struct Bench {
    /// Dataset to draw from
    dataset: String,
    /// Global batch size
    #[arg(long, default_value_t = 256)]
    batch_size: u32,
    /// How long to read
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=SECONDS_MAX))]
    seconds: u64,
    /// Leaves out the probabilities, half the bytes
    #[arg(long)]
    without_probabilities: bool,
}

/// What was measured.
#[derive(Debug, Serialize)]
struct Measured {
    dataset: String,
    batch_size: u32,
    seconds: f64,
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
        let request = |from_step| BatchesRequest {
            with_probabilities: !self.without_probabilities,
            ..BatchesRequest::new(job, from_step)
        };
        let (mut batches, mut indices, mut gaps) = (0u64, 0u64, 0u64);
        let (mut first, mut longest) = (None, Duration::ZERO);
        let start = Instant::now();
        let end = start + Duration::from_secs(self.seconds);
        let mut stream = client.batches(request(0));
        let mut asked = start;
        while asked < end {
            match stream.next() {
                Some(Ok(batch)) => {
                    batches += 1;
                    indices += batch.indices.len() as u64;
                }
                Some(Err(ClientError::OutOfOrder { received, .. })) => {
                    gaps += 1;
                    stream = client.batches(request(received));
                }
                Some(Err(error)) => return Err(error),
                None => break,
            }
            let now = Instant::now();
            if first.is_none() {
                first = Some(now - asked);
            } else {
                longest = longest.max(now - asked);
            }
            asked = now;
        }
        let seconds = start.elapsed().as_secs_f64();
        let milliseconds = |duration: Duration| duration.as_secs_f64() * 1e3;
        Ok(Measured {
            dataset: self.dataset.clone(),
            batch_size: self.batch_size,
            seconds,
            batches,
            indices,
            #[allow(clippy::cast_precision_loss, reason = "a rate is read to a few digits")]
            indices_per_second: indices as f64 / seconds,
            gaps,
            first_batch_ms: milliseconds(first.unwrap_or_default()),
            longest_wait_ms: milliseconds(longest),
        })
    }
}

impl Row for Measured {
    const HEADS: &'static [&'static str] =
        &["dataset", "batch size", "seconds", "batches", "indices/s", "gaps", "first batch ms", "longest wait ms"];

    fn cells(&self) -> Vec<String> {
        vec![
            self.dataset.clone(),
            self.batch_size.to_string(),
            format!("{:.1}", self.seconds),
            self.batches.to_string(),
            format!("{:.0}", self.indices_per_second),
            self.gaps.to_string(),
            format!("{:.2}", self.first_batch_ms),
            format!("{:.2}", self.longest_wait_ms),
        ]
    }
}
