//! `samplerctl bench`.

mod reader;
mod swap;
mod waits;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use clap::Args;
use serde::Serialize;
use swift_sampler_client::blocking::Client;
use swift_sampler_client::{BatchesRequest, JobConfig};

use self::reader::{Measured, Plan};
use self::swap::Swapped;
use self::waits::{Percentiles, Waits, milliseconds};
use crate::print::{Printer, Row};

/// Longest measurement, in seconds: a day.
const SECONDS_MAX: u64 = 24 * 60 * 60;
/// Most clients: each has a thread and connections of its own.
const CLIENTS_MAX: i64 = 1024;
/// Most streams of one client.
const STREAMS_MAX: i64 = 1024;
/// Most readers that share a batch.
const RANKS_MAX: i64 = 1024;
/// Fastest pace, in steps a second.
const PACE_MAX: f64 = 1e6;

#[derive(Debug, Args)]
#[command(after_help = "\
Opens a job of its own, reads its batches, and removes it, also when interrupted.

Examples:
  samplerctl bench fashion --batch-size 256 --seconds 10
  samplerctl bench fashion --batch-size 4096 --ranks 8 --connections 1
  samplerctl bench fashion --clients 100 --streams 100
  samplerctl bench fashion --clients 8 --pace 100 --swap-to 3")]
pub(crate) struct Bench {
    /// Dataset to draw from
    dataset: String,
    /// Global batch size
    #[arg(long, default_value_t = 256)]
    batch_size: u32,
    /// How long to read
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=SECONDS_MAX))]
    seconds: u64,
    /// Clients, each with connections of its own
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=CLIENTS_MAX))]
    clients: u32,
    /// Streams of each client, each of which reads all batches
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=STREAMS_MAX))]
    streams: u32,
    /// Readers that share each batch, in place of each stream
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=RANKS_MAX))]
    ranks: u32,
    /// Steps that each reader takes a second, as a trainer does [default: as many as come]
    #[arg(long, value_name = "STEPS_PER_SECOND", value_parser = parse_pace)]
    pace: Option<f64>,
    /// Activates this version halfway, and the present one again at the end
    #[arg(long, value_name = "VERSION", value_parser = clap::value_parser!(u64).range(1..))]
    swap_to: Option<u64>,
    /// Leaves out the probabilities, half the bytes
    #[arg(long)]
    without_probabilities: bool,
}

fn parse_pace(text: &str) -> Result<f64, String> {
    let pace = text.parse().ok().filter(|pace| *pace > 0.0 && *pace <= PACE_MAX);
    pace.ok_or_else(|| format!("right would be a number above 0, at most {PACE_MAX}"))
}

/// What was measured, over all readers.
#[derive(Debug, Serialize)]
struct Report {
    dataset: String,
    batch_size: u32,
    clients: u32,
    streams: u32,
    ranks: u32,
    seconds: f64,
    /// Steps that every reader has got.
    batches: u64,
    indices: u64,
    indices_per_second: f64,
    /// The slowest reader's share of it, the median's and the fastest's.
    reader_indices_per_second: [f64; 3],
    /// Steps that did not follow the one before.
    gaps: u64,
    /// Longest wait for a reader's first batch, in milliseconds.
    first_batch_ms: f64,
    /// Longest wait for a later batch, in milliseconds.
    longest_wait_ms: f64,
    /// Waits for later batches; without those of a swap.
    waits: Percentiles,
    swap: Option<Swapped>,
}

impl Bench {
    pub(crate) fn run(self, client: &Client, printer: &mut Printer) -> anyhow::Result<()> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_nanos();
        let job = |part| format!("bench/{}-{now}{part}", std::process::id());
        let [read, anew] = ["", "-anew"].map(|part| JobConfig::new(&job(part), &self.dataset, self.batch_size));
        client.open_job(&read)?;
        let measured = self.measure(client, &read, &anew);
        client.remove_job(&read.name)?;
        if self.swap_to.is_some() {
            client.remove_job(&anew.name).or_else(|error| match error {
                swift_sampler_client::ClientError::NotFound(_) => Ok(()),
                error => Err(error),
            })?;
        }
        Ok(printer.one(&measured?)?)
    }

    fn measure(&self, client: &Client, job: &JobConfig, anew: &JobConfig) -> anyhow::Result<Report> {
        let clients = std::iter::once(Ok(client.clone()))
            .chain((1..self.clients).map(|_| Client::new(client.inner().config().clone())))
            .collect::<Result<Vec<_>, _>>()?;
        let start = Instant::now();
        let length = Duration::from_secs(self.seconds);
        let plan = Arc::new(Plan {
            request: BatchesRequest {
                world_size: self.ranks,
                with_probabilities: !self.without_probabilities,
                ..BatchesRequest::new(&job.name, 0)
            },
            pace: self.pace,
            end: start + length,
            stop: AtomicBool::new(false),
            swapping: AtomicBool::new(false),
            awaited: self.swap_to.unwrap_or(0),
        });
        let readers: Vec<_> = clients
            .iter()
            .flat_map(|client| (0..self.streams).map(move |_| client))
            .flat_map(|client| (0..self.ranks).map(move |rank| (client, rank)))
            .map(|(client, rank)| client.runtime().spawn(reader::read(client.inner().clone(), Arc::clone(&plan), rank)))
            .collect();
        let watched = Arc::clone(&plan);
        let interrupted = client.runtime().spawn(async move {
            let interrupted = tokio::signal::ctrl_c().await;
            watched.stop.store(true, Ordering::Relaxed);
            interrupted
        });
        let activation = self.swap_to.map(|_| {
            let swapped = swap::swap(client.inner(), anew, &plan, start + length / 2);
            client.runtime().block_on(swapped)
        });
        let readers = client.runtime().block_on(async {
            let mut measured = Vec::with_capacity(readers.len());
            for reader in readers {
                measured.push(reader.await??);
            }
            Ok::<_, anyhow::Error>(measured)
        })?;
        let seconds = start.elapsed().as_secs_f64();
        interrupted.abort();
        anyhow::ensure!(!plan.stop.load(Ordering::Relaxed), "interrupted");
        let swap = activation.transpose()?.map(|activation| Swapped::new(activation, &readers));
        Ok(self.report(seconds, &readers, swap))
    }

    #[allow(clippy::cast_precision_loss, reason = "rates are read to a few digits")]
    fn report(&self, seconds: f64, readers: &[Measured], swap: Option<Swapped>) -> Report {
        let mut waits = Waits::new();
        readers.iter().for_each(|reader| waits.add(&reader.quiet));
        let mut shares: Vec<u64> = readers.iter().map(|reader| reader.indices).collect();
        shares.sort_unstable();
        let share = |position: usize| shares.get(position).map_or(0.0, |indices| *indices as f64 / seconds);
        let first = readers.iter().filter_map(|reader| reader.first).max().unwrap_or_default();
        let waits = waits.percentiles();
        Report {
            dataset: self.dataset.clone(),
            batch_size: self.batch_size,
            clients: self.clients,
            streams: self.streams,
            ranks: self.ranks,
            seconds,
            batches: readers.iter().map(|reader| reader.batches).min().unwrap_or_default(),
            indices: shares.iter().sum(),
            indices_per_second: shares.iter().sum::<u64>() as f64 / seconds,
            reader_indices_per_second: [share(0), share(shares.len() / 2), share(shares.len() - 1)],
            gaps: readers.iter().map(|reader| reader.gaps).sum(),
            first_batch_ms: milliseconds(first),
            longest_wait_ms: waits.longest_ms,
            waits,
            swap,
        }
    }
}

impl Row for Report {
    const HEADS: &'static [&'static str] = &[
        "dataset",
        "batch size",
        "clients x streams x ranks",
        "seconds",
        "batches",
        "indices/s",
        "of a reader: least, median, most",
        "gaps",
        "first batch ms",
        "wait ms: p50, p99, p99.9, longest",
        "swap ms: activated, asked anew, streams first, median, last",
        "wait ms meanwhile: p50, p99, p99.9, longest",
    ];

    fn cells(&self) -> Vec<String> {
        let list = |values: &[f64]| values.iter().map(|value| format!("{value:.3}")).collect::<Vec<_>>().join(", ");
        let percentiles = |of: &Percentiles| list(&[of.p50_ms, of.p99_ms, of.p999_ms, of.longest_ms]);
        let [least, median, most] = self.reader_indices_per_second;
        let swapped = self.swap.as_ref().map_or_else(
            || "-".to_owned(),
            |swap| {
                let streams = [swap.first_stream_ms, swap.median_stream_ms, swap.last_stream_ms];
                list(&[&[swap.activated_ms, swap.asking_anew_ms][..], &streams].concat())
            },
        );
        vec![
            self.dataset.clone(),
            self.batch_size.to_string(),
            format!("{} x {} x {}", self.clients, self.streams, self.ranks),
            format!("{:.1}", self.seconds),
            self.batches.to_string(),
            format!("{:.0}", self.indices_per_second),
            format!("{least:.0}, {median:.0}, {most:.0}"),
            self.gaps.to_string(),
            format!("{:.2}", self.first_batch_ms),
            percentiles(&self.waits),
            swapped,
            self.swap.as_ref().map_or_else(|| "-".to_owned(), |swap| percentiles(&swap.waits)),
        ]
    }
}
