//! Connections of HTTP, each held to its limits.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::Request;
use axum::http::StatusCode;
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Router};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::connections::Listen;
use crate::metrics::Metrics;
use crate::tls::{TlsListener, TlsSocket};

/// Connections of HTTP open at once: scrapers, probes and a few browsers.
pub(crate) const CONNECTIONS_MAX: usize = 256;
/// How long a client may take over the head of a request, or between two.
pub(crate) const HEAD_MAX: Duration = Duration::from_secs(10);
/// How long an answer may take.
pub(crate) const ANSWER_MAX: Duration = Duration::from_secs(30);
/// How long a connection may live: a client that takes nothing of an answer keeps it no longer.
pub(crate) const AGE_MAX: Duration = Duration::from_secs(10 * 60);
/// Largest head of a request, in bytes.
pub(crate) const HEAD_BYTES_MAX: usize = 16 << 10;
/// Most headers of a request.
pub(crate) const HEADERS_MAX: usize = 64;
/// Pause before connections are accepted again after that failed, as it does when too many files are open.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Accepts connections and answers requests on them until `stop`, then waits for the requests in work.
pub(super) async fn serve(listener: TlsListener, routes: Router, metrics: Metrics, stop: CancellationToken) {
    let routes = routes.layer(from_fn(answer_in_time));
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            accepted = listener.accept() => match accepted {
                Ok((socket, _)) => match Arc::clone(&places).try_acquire_owned() {
                    Ok(place) => {
                        let serving = serve_one(socket, routes.clone(), stop.clone());
                        connections.spawn(async move {
                            serving.await;
                            drop(place);
                        });
                    }
                    Err(_full) => metrics.note_closed("http_full"),
                },
                Err(error) => {
                    tracing::warn!(%error, "a connection of HTTP could not be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
            Some(ended) = connections.join_next() => note_end(ended),
        }
    }
    drop(listener);
    while let Some(ended) = connections.join_next().await {
        note_end(ended);
    }
}

async fn serve_one(socket: TlsSocket<TcpStream>, routes: Router, stop: CancellationToken) {
    let routes = routes.layer(Extension(socket.certificate()));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_MAX)
        .max_buf_size(HEAD_BYTES_MAX)
        .max_headers(HEADERS_MAX)
        .serve_connection(TokioIo::new(socket), TowerToHyperService::new(routes));
    tokio::pin!(connection);
    let served = async {
        tokio::select! {
            ended = connection.as_mut() => return ended,
            () = stop.cancelled() => connection.as_mut().graceful_shutdown(),
        }
        connection.await
    };
    // What fails here is the client's: it went away, or what it sent is no HTTP.
    match tokio::time::timeout(AGE_MAX, served).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(%error, "a connection of HTTP ended"),
        Err(_elapsed) => tracing::debug!("a connection of HTTP has reached its age"),
    }
}

async fn answer_in_time(request: Request, next: Next) -> Result<Response, Infallible> {
    Ok(match tokio::time::timeout(ANSWER_MAX, next.run(request)).await {
        Ok(answered) => answered,
        Err(_elapsed) => {
            let message = format!("not answered within {} s\n", ANSWER_MAX.as_secs());
            (StatusCode::SERVICE_UNAVAILABLE, message).into_response()
        }
    })
}

fn note_end(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended {
        tracing::error!(%error, "serving a connection of HTTP failed");
    }
}
