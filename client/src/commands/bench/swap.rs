//! A sampler activated while batches are read.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use serde::Serialize;
use swift_sampler_client::{Client, ClientError, JobConfig, proto};

use super::reader::{Measured, Plan};
use super::waits::{Percentiles, Waits, milliseconds};

/// How long after an activation waits count as those of a swap.
const AFTERMATH: Duration = Duration::from_millis(500);

/// How often to see whether the measurement was interrupted.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);

/// The activation, as it was made.
#[derive(Debug, Clone, Copy)]
pub(super) struct Activation {
    asked: Instant,
    acknowledged: Duration,
    anew: Duration,
}

/// What a swap took, in milliseconds since the activation was asked for.
#[derive(Debug, Serialize)]
pub(super) struct Swapped {
    pub(super) activated_ms: f64,
    /// Until a reader that asks anew has its first batch.
    pub(super) asking_anew_ms: f64,
    /// Until running streams had their first batch of the new version.
    pub(super) first_stream_ms: f64,
    pub(super) median_stream_ms: f64,
    pub(super) last_stream_ms: f64,
    /// Streams that had none before the end.
    streams_without: usize,
    /// Waits of all streams from the activation until half a second after it.
    pub(super) waits: Percentiles,
}

/// Activates the awaited version when it is `at`, and asks for a batch of job `other`, then makes the version active that
/// was before.
pub(super) async fn swap(
    client: &Client,
    config: &JobConfig,
    plan: &Plan,
    at: Instant,
) -> Result<Activation, ClientError> {
    let before = client.get_dataset(&config.dataset).await?.active_version;
    client.open_job(config).await?;
    tokio::time::sleep_until(at.into()).await;
    plan.swapping.store(true, Ordering::Relaxed);
    let asked = Instant::now();
    client.activate_sampler(&config.dataset, plan.awaited).await?;
    let acknowledged = asked.elapsed();
    let request = proto::GetBatchesRequest { job: config.name.clone(), steps: 1, ..Default::default() };
    client.get_batches(request).await?;
    let anew = asked.elapsed();
    tokio::time::sleep_until((asked + AFTERMATH).into()).await;
    plan.swapping.store(false, Ordering::Relaxed);
    while Instant::now() < plan.end && !plan.stop.load(Ordering::Relaxed) {
        tokio::time::sleep(LOOK_INTERVAL).await;
    }
    client.activate_sampler(&config.dataset, before).await?;
    Ok(Activation { asked, acknowledged, anew })
}

impl Swapped {
    pub(super) fn new(activation: Activation, readers: &[Measured]) -> Self {
        let Activation { asked, acknowledged, anew } = activation;
        let mut streams: Vec<Duration> =
            readers.iter().filter_map(|reader| reader.swapped).map(|swapped| swapped - asked).collect();
        streams.sort_unstable();
        let mut waits = Waits::new();
        readers.iter().for_each(|reader| waits.add(&reader.swapping));
        let stream = |found: Option<&Duration>| found.copied().map_or(f64::NAN, milliseconds);
        Self {
            activated_ms: milliseconds(acknowledged),
            asking_anew_ms: milliseconds(anew),
            first_stream_ms: stream(streams.first()),
            median_stream_ms: stream(streams.get(streams.len() / 2)),
            last_stream_ms: stream(streams.last()),
            streams_without: readers.len() - streams.len(),
            waits: waits.percentiles(),
        }
    }
}
