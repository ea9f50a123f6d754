//! Metrics, health and a page, over HTTP.

pub(crate) mod serve;

use std::fmt::Write;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use prometheus::{Encoder, TextEncoder};
use swift_sampler::job::VersionChange;

use crate::access::{Access, guard_http};
use crate::app::ServeError;
use crate::daemon::Daemon;
use crate::error::Error;
use crate::tls::TlsListener;

#[derive(Clone)]
struct Shared {
    daemon: Arc<Daemon>,
    metrics: prometheus::Registry,
}

/// Serves until the daemon goes down. Health is for everybody, the rest for those with access.
///
/// # Errors
/// [`ServeError::Http`] when the listener fails.
pub async fn serve(
    daemon: Arc<Daemon>,
    metrics: prometheus::Registry,
    listener: TlsListener,
    access: &Arc<Access>,
) -> Result<(), ServeError> {
    let (stop, daemon_metrics) = (daemon.shutdown.clone(), daemon.metrics.clone());
    let guarded = Router::new().route("/", get(page)).route("/metrics", get(show_metrics));
    let routes = guard_http(guarded, access)
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .with_state(Shared { daemon, metrics });
    serve::serve(listener, routes, daemon_metrics, stop).await;
    Ok(())
}

async fn show_metrics(State(shared): State<Shared>) -> Response {
    shared.daemon.metrics.show_uptime(shared.daemon.started.elapsed());
    shared.daemon.metrics.show_quarantined(shared.daemon.loaded.store().quarantined());
    shared.daemon.metrics.show_checks_pending(shared.daemon.loaded.unchecked().len());
    let mut text = Vec::new();
    let encoder = TextEncoder::new();
    match encoder.encode(&shared.metrics.gather(), &mut text) {
        Ok(()) => ([(header::CONTENT_TYPE, encoder.format_type().to_owned())], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response(),
    }
}

async fn ready(State(shared): State<Shared>) -> Response {
    if shared.daemon.shutdown.is_cancelled() {
        return (StatusCode::SERVICE_UNAVAILABLE, "shutting down\n").into_response();
    }
    match shared.daemon.with_registry(|daemon| daemon.registry.poll()).await {
        Ok(_) => match shared.daemon.registry.outage() {
            None => "ready\n".into_response(),
            Some(outage) => format!("ready, from the mirror of the registry: {outage}\n").into_response(),
        },
        Err(error) => (StatusCode::SERVICE_UNAVAILABLE, format!("{error}\n")).into_response(),
    }
}

async fn page(State(shared): State<Shared>) -> Response {
    match shared.daemon.with_registry(render).await {
        Ok(page) => Html(page).into_response(),
        Err(error) => (StatusCode::SERVICE_UNAVAILABLE, format!("{error}\n")).into_response(),
    }
}

/// Names are of letters, digits and `._-/` only, so nothing needs escaping.
fn render(daemon: &Daemon) -> Result<String, Error> {
    let mut datasets = String::new();
    for (dataset, active, sampler) in daemon.registry.active_samplers()? {
        #[allow(clippy::cast_precision_loss, reason = "datasets have fewer than 2^32 rows")]
        let share = 100.0 * sampler.figures.effective_sample_size / dataset.rows as f64;
        row(
            &mut datasets,
            &[
                &dataset.name,
                &dataset.rows.to_string(),
                &active.version.to_string(),
                &active.revision.to_string(),
                &format!("{:.0} ({share:.1}%)", sampler.figures.effective_sample_size),
                if daemon.loaded.store().holds(sampler.content(&dataset.hash)) { "yes" } else { "not yet" },
            ],
        );
    }
    let mut jobs = String::new();
    for job in daemon.registry.jobs()? {
        let revisions = daemon.registry.revisions_of(&job)?;
        let shown = |change: &VersionChange| match revisions.get(&change.version) {
            None => format!("{} from step {}", change.version, change.from_step),
            Some(revision) => {
                format!("{} (features revision {revision}) from step {}", change.version, change.from_step)
            }
        };
        let log: Vec<_> = job.log.changes().iter().map(shown).collect();
        let horizon = match job.log.horizon() {
            u64::MAX => "all".to_owned(),
            horizon => horizon.to_string(),
        };
        row(&mut jobs, &[&job.name, &job.dataset, &job.batch_size.to_string(), &horizon, &log.join(", ")]);
    }
    let mut studies = String::new();
    for study in daemon.registry.studies()? {
        row(&mut studies, &[&study.name, &study.dataset, &study.trials.to_string(), &format!("{:?}", study.state)]);
    }
    let metrics = &daemon.metrics;
    Ok(format!(
        include_str!("page.html"),
        version = env!("CARGO_PKG_VERSION"),
        streams = metrics.streams.get(),
        batches = metrics.batches_served.get(),
        draws = metrics.draws_served.get(),
        datasets = datasets,
        jobs = jobs,
        studies = studies,
    ))
}

fn row(table: &mut String, cells: &[&str]) {
    table.push_str("<tr>");
    for cell in cells {
        write!(table, "<td>{cell}</td>").expect("writing to a string cannot fail");
    }
    table.push_str("</tr>\n");
}
