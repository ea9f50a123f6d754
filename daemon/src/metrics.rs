//! What the daemon counts, for Prometheus.

mod security;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use prometheus::core::Collector;
use prometheus::{
    Gauge, GaugeVec, Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
};

use crate::registry::SamplerFigures;

pub use security::SecurityMetrics;

/// Prefix of all names.
const NAMESPACE: &str = "swiftsampler";

/// Counters and gauges; labelled by dataset at most.
#[derive(Debug, Clone)]
pub struct Metrics {
    /// Batches sent.
    pub batches_served: IntCounter,
    /// Draws sent.
    pub draws_served: IntCounter,
    /// How long crops took to be selected.
    selection_duration: Histogram,
    crops_proposed: IntCounter,
    crops_selected: IntCounter,
    /// Streams open now.
    pub streams: IntGauge,
    /// Connections of gRPC open now.
    pub connections: IntGauge,
    /// Connections of gRPC accepted.
    pub connections_accepted: IntCounter,
    /// Connections that were closed before their time, by reason.
    connections_closed: IntCounterVec,
    /// How long finished messages waited for their stream to take them.
    pub send_wait: Histogram,
    /// From the request to activate a sampler until it serves.
    pub swap_duration: Histogram,
    /// Changes of version that this daemon added to jobs.
    pub swaps: IntCounter,
    /// Datasets fetched, by kind of source.
    pub fetches: IntCounterVec,
    /// Their bytes.
    pub fetched_bytes: IntCounterVec,
    /// Sources that did not give a dataset when asked for it.
    pub fetch_failures: IntCounterVec,
    /// How long a dataset took to be fetched and checked.
    pub fetch_duration: Histogram,
    /// Bytes of datasets sent to other daemons.
    pub sent_bytes: IntCounter,
    /// Whether the registry answered last time.
    pub registry_up: IntGauge,
    /// What a shared registry's mirror counts.
    pub mirror: MirrorMetrics,
    /// What is counted of certificates, tokens and refusals.
    pub security: SecurityMetrics,
    active_version: IntGaugeVec,
    features_revision: IntGaugeVec,
    effective_sample_size_ratio: GaugeVec,
    total_variation: GaugeVec,
    dataset_rows: IntGaugeVec,
    dataset_up: IntGaugeVec,
    dataset_checks_pending: IntGauge,
    datasets_quarantined: IntGauge,
    scrub_last: Gauge,
    scrub_last_duration: Gauge,
    scrub_last_datasets: IntGauge,
    values_imputed: IntCounter,
    uptime: Gauge,
}

/// How a shared registry and its mirror are.
#[derive(Debug, Clone)]
pub struct MirrorMetrics {
    /// The registry's generation, as the mirror has it.
    pub generation: IntGauge,
    /// Jobs extended while the registry was down and not yet committed to it.
    pub jobs_held: IntGauge,
    /// Jobs of which two daemons froze the same steps differently while the registry was down.
    pub jobs_diverged: IntCounter,
    /// Commits that not all replicas had in time.
    pub commits_unreplicated: IntCounter,
    age: Gauge,
    mirrored: Arc<Mutex<Option<Instant>>>,
}

/// The state of one dataset, as the gauges show it.
#[derive(Debug, Clone, Copy)]
pub struct DatasetGauges {
    /// The active version.
    pub active_version: u64,
    /// The revision of the features that it weighs examples by.
    pub features_revision: u64,
    /// What the active sampler is like.
    pub sampler: SamplerFigures,
    /// Number of examples.
    pub rows: u64,
}

impl Metrics {
    /// Creates the metrics and registers them.
    ///
    /// # Errors
    /// When the registry has metrics of these names already.
    pub fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let metrics = Self {
            batches_served: counter("batches_served_total", "Batches sent to training jobs.")?,
            draws_served: counter("draws_served_total", "Draws sent to training jobs.")?,
            selection_duration: histogram(
                "selection_duration_seconds",
                "Time from a request to select crops until they are selected.",
                &[1e-4, 3e-4, 1e-3, 3e-3, 0.01, 0.03, 0.1, 1.0],
            )?,
            crops_proposed: counter("crops_proposed_total", "Crops that training jobs proposed.")?,
            crops_selected: counter("crops_selected_total", "Crops that were selected among them.")?,
            streams: gauge("streams", "Streams of batches open now.")?,
            connections: gauge("connections", "Connections of gRPC open now.")?,
            connections_accepted: counter("connections_accepted_total", "Connections of gRPC accepted.")?,
            connections_closed: IntCounterVec::new(
                options(
                    "connections_closed_total",
                    "Connections closed before their time, as too many were open, or for what their client did or left undone.",
                ),
                &["reason"],
            )?,
            send_wait: histogram(
                "send_wait_seconds",
                "Time a finished message waited for its stream to take it; long where the reader is the slower side.",
                &[1e-4, 1e-3, 1e-2, 0.1, 1.0, 10.0],
            )?,
            swap_duration: histogram(
                "swap_duration_seconds",
                "Time from the request to activate a sampler until it serves.",
                &[1e-3, 3e-3, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0],
            )?,
            swaps: counter("swaps_total", "Changes of sampler version noted in jobs.")?,
            fetches: by_source("dataset_fetches_total", "Datasets fetched.")?,
            fetched_bytes: by_source("dataset_fetched_bytes_total", "Bytes of fetched datasets.")?,
            fetch_failures: by_source("dataset_fetch_failures_total", "Times that a source did not give a dataset.")?,
            fetch_duration: histogram(
                "dataset_fetch_duration_seconds",
                "Time from asking a source for a dataset until it is here and checked.",
                &[0.01, 0.1, 1.0, 10.0, 100.0, 1000.0],
            )?,
            sent_bytes: counter("dataset_sent_bytes_total", "Bytes of datasets sent to other daemons.")?,
            registry_up: gauge("registry_up", "1 if the registry answered last time, else 0.")?,
            mirror: MirrorMetrics::new()?,
            security: SecurityMetrics::new()?,
            active_version: by_dataset("active_version", "The active sampler version.")?,
            features_revision: by_dataset(
                "features_revision",
                "The revision of the features that the active sampler weighs examples by; the import is 1.",
            )?,
            effective_sample_size_ratio: GaugeVec::new(
                options(
                    "effective_sample_size_ratio",
                    "1 / sum p^2 of the active sampler, as a share of the examples.",
                ),
                &["dataset"],
            )?,
            total_variation: GaugeVec::new(
                options(
                    "sampler_total_variation",
                    "Total variation distance of the active sampler to the exact one, estimated.",
                ),
                &["dataset"],
            )?,
            dataset_rows: by_dataset("dataset_rows", "Examples in the dataset.")?,
            dataset_up: by_dataset("dataset_up", "1 if the dataset's columns are stored here and whole, else 0.")?,
            dataset_checks_pending: gauge(
                "dataset_checks_pending",
                "Datasets that are served while their bytes are still being checked.",
            )?,
            datasets_quarantined: gauge(
                "datasets_quarantined",
                "Damaged datasets that were moved to the data directory's quarantine and are not served from there.",
            )?,
            scrub_last: Gauge::with_opts(options(
                "scrub_last_timestamp_seconds",
                "Unix time at which all stored datasets had been checked again; 0 before the first time since the start.",
            ))?,
            scrub_last_duration: Gauge::with_opts(options("scrub_last_duration_seconds", "How long that took."))?,
            scrub_last_datasets: gauge("scrub_last_datasets", "How many datasets were checked then.")?,
            values_imputed: counter(
                "values_imputed_total",
                "Values that were missing in imported files and were given their column's median.",
            )?,
            uptime: Gauge::with_opts(options("uptime_seconds", "Seconds since the daemon started."))?,
        };
        for collector in metrics.collectors().into_iter().chain(metrics.security.collectors()) {
            registry.register(collector)?;
        }
        Ok(metrics)
    }

    /// Shows the state of a dataset.
    pub fn show_dataset(&self, name: &str, gauges: DatasetGauges) {
        let label = &[name];
        self.active_version.with_label_values(label).set(clamp(gauges.active_version));
        self.features_revision.with_label_values(label).set(clamp(gauges.features_revision));
        self.dataset_rows.with_label_values(label).set(clamp(gauges.rows));
        #[allow(clippy::cast_precision_loss, reason = "datasets have fewer than 2^32 rows")]
        let ratio = gauges.sampler.effective_sample_size / gauges.rows as f64;
        self.effective_sample_size_ratio.with_label_values(label).set(ratio);
        match gauges.sampler.total_variation {
            Some(distance) => self.total_variation.with_label_values(label).set(distance),
            // Not known of a sampler of an earlier version; an error says that no other's is shown.
            None => drop(self.total_variation.remove_label_values(label)),
        }
    }

    /// Shows whether a dataset's stored columns are whole.
    pub fn show_dataset_up(&self, name: &str, up: bool) {
        self.dataset_up.with_label_values(&[name]).set(i64::from(up));
    }

    /// Forgets all datasets but those of these names.
    pub fn keep_datasets(&self, names: &[&str]) {
        for family in self.dataset_rows.collect() {
            for metric in family.get_metric() {
                let Some(label) = metric.get_label().first() else { continue };
                if !names.contains(&label.value()) {
                    self.forget_dataset(label.value());
                }
            }
        }
    }

    /// Notes that crops were selected.
    pub fn note_selection(&self, proposed: usize, selected: usize, took: Duration) {
        self.crops_proposed.inc_by(proposed as u64);
        self.crops_selected.inc_by(selected as u64);
        self.selection_duration.observe(took.as_secs_f64());
    }

    /// Shows how many datasets are served while they are still being checked.
    pub fn show_checks_pending(&self, datasets: usize) {
        self.dataset_checks_pending.set(i64::try_from(datasets).unwrap_or(i64::MAX));
    }

    /// Notes that a connection was closed before its time.
    pub fn note_closed(&self, reason: &str) {
        self.connections_closed.with_label_values(&[reason]).inc();
    }

    /// Shows how many damaged datasets lie in quarantine.
    pub fn show_quarantined(&self, datasets: usize) {
        self.datasets_quarantined.set(i64::try_from(datasets).unwrap_or(i64::MAX));
    }

    /// Shows that all of so many datasets were checked just now.
    pub fn show_scrubbed(&self, datasets: usize, took: Duration) {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        self.scrub_last.set(now.as_secs_f64());
        self.scrub_last_duration.set(took.as_secs_f64());
        self.scrub_last_datasets.set(i64::try_from(datasets).unwrap_or(i64::MAX));
    }

    /// Notes that values were imputed.
    pub fn note_imputed(&self, values: u64) {
        self.values_imputed.inc_by(values);
    }

    /// Shows how long the daemon has run.
    pub fn show_uptime(&self, uptime: Duration) {
        self.uptime.set(uptime.as_secs_f64());
    }

    fn forget_dataset(&self, name: &str) {
        // An error says that the gauge was not there, which is what is wanted.
        for gauge in [&self.active_version, &self.features_revision, &self.dataset_rows, &self.dataset_up] {
            gauge.remove_label_values(&[name]).ok();
        }
        for gauge in [&self.effective_sample_size_ratio, &self.total_variation] {
            gauge.remove_label_values(&[name]).ok();
        }
    }

    fn collectors(&self) -> Vec<Box<dyn Collector>> {
        vec![
            Box::new(self.batches_served.clone()),
            Box::new(self.draws_served.clone()),
            Box::new(self.selection_duration.clone()),
            Box::new(self.crops_proposed.clone()),
            Box::new(self.crops_selected.clone()),
            Box::new(self.streams.clone()),
            Box::new(self.connections.clone()),
            Box::new(self.connections_accepted.clone()),
            Box::new(self.connections_closed.clone()),
            Box::new(self.send_wait.clone()),
            Box::new(self.swap_duration.clone()),
            Box::new(self.swaps.clone()),
            Box::new(self.fetches.clone()),
            Box::new(self.fetched_bytes.clone()),
            Box::new(self.fetch_failures.clone()),
            Box::new(self.fetch_duration.clone()),
            Box::new(self.sent_bytes.clone()),
            Box::new(self.registry_up.clone()),
            Box::new(self.mirror.generation.clone()),
            Box::new(self.mirror.jobs_held.clone()),
            Box::new(self.mirror.jobs_diverged.clone()),
            Box::new(self.mirror.commits_unreplicated.clone()),
            Box::new(self.mirror.age.clone()),
            Box::new(self.active_version.clone()),
            Box::new(self.features_revision.clone()),
            Box::new(self.effective_sample_size_ratio.clone()),
            Box::new(self.total_variation.clone()),
            Box::new(self.dataset_rows.clone()),
            Box::new(self.dataset_up.clone()),
            Box::new(self.dataset_checks_pending.clone()),
            Box::new(self.datasets_quarantined.clone()),
            Box::new(self.scrub_last.clone()),
            Box::new(self.scrub_last_duration.clone()),
            Box::new(self.scrub_last_datasets.clone()),
            Box::new(self.values_imputed.clone()),
            Box::new(self.uptime.clone()),
        ]
    }
}

impl MirrorMetrics {
    /// Creates the metrics, not yet registered.
    ///
    /// # Errors
    /// When a name is none; these are.
    pub fn new() -> Result<Self, prometheus::Error> {
        Ok(Self {
            generation: gauge("registry_generation", "Generation of the registry that this daemon has seen.")?,
            jobs_held: gauge(
                "registry_jobs_held",
                "Jobs extended while the registry was down and not yet committed to it.",
            )?,
            jobs_diverged: counter(
                "registry_jobs_diverged_total",
                "Jobs of which two daemons froze the same steps differently while the registry was down.",
            )?,
            commits_unreplicated: counter(
                "registry_commits_unreplicated_total",
                "Commits that not all replicas of the registry had in time.",
            )?,
            age: Gauge::with_opts(options(
                "registry_mirror_age_seconds",
                "Time since the mirror last heard of the registry; 0 while it follows.",
            ))?,
            mirrored: Arc::default(),
        })
    }

    /// Notes that the mirror is as the registry now.
    pub fn show_mirrored(&self) {
        *self.mirrored.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
        self.age.set(0.0);
    }

    /// Shows how long it is since the mirror was.
    pub fn show_age(&self) {
        if let Some(mirrored) = *self.mirrored.lock().unwrap_or_else(PoisonError::into_inner) {
            self.age.set(mirrored.elapsed().as_secs_f64());
        }
    }
}

fn options(name: &str, help: &str) -> Opts {
    Opts::new(name, help).namespace(NAMESPACE)
}

fn counter(name: &str, help: &str) -> Result<IntCounter, prometheus::Error> {
    IntCounter::with_opts(options(name, help))
}

fn gauge(name: &str, help: &str) -> Result<IntGauge, prometheus::Error> {
    IntGauge::with_opts(options(name, help))
}

fn by_dataset(name: &str, help: &str) -> Result<IntGaugeVec, prometheus::Error> {
    IntGaugeVec::new(options(name, help), &["dataset"])
}

fn by_source(name: &str, help: &str) -> Result<IntCounterVec, prometheus::Error> {
    IntCounterVec::new(options(name, help), &["source"])
}

fn histogram(name: &str, help: &str, buckets: &[f64]) -> Result<Histogram, prometheus::Error> {
    Histogram::with_opts(HistogramOpts::from(options(name, help)).buckets(buckets.to_vec()))
}

fn clamp(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
