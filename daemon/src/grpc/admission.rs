//! What every call goes through: its place, its time, and the memory of what it sends and gets.

mod answer;
mod upload;

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use tonic::Status;
use tonic::service::Routes;

use self::answer::WatchedAnswer;
use self::upload::CountedRequest;
use crate::budget::Reservation;
use crate::connections::ConnectionInfo;
use crate::daemon::Daemon;
use crate::error::Error;

/// Calls whose time depends on how much a client sends. They are held to their chunks instead.
const UPLOADS: [&str; 3] = [
    "/swiftsampler.v1.Control/ImportDataset",
    "/swiftsampler.v1.Control/ImportDatasetWithProgress",
    "/swiftsampler.v1.Control/RefreshFeatures",
];
/// Calls that wait at the daemon for something else than its work, and so take no turn; uploads do not, either.
const WAITS: [&str; 1] = ["/swiftsampler.v1.Studies/LeaseTrial"];
/// How much earlier a call ends than its client says: tonic would end it as CANCELLED.
const TIMEOUT_MARGIN: Duration = Duration::from_millis(2);

/// Puts the services behind the daemon's limits.
pub(crate) fn limited(routes: Routes, daemon: &Arc<Daemon>) -> Routes {
    Routes::from(routes.into_axum_router().layer(from_fn_with_state(Arc::clone(daemon), admit)))
}

async fn admit(State(daemon): State<Arc<Daemon>>, request: Request, next: Next) -> Response {
    let connection = request.extensions().get().cloned().unwrap_or_else(ConnectionInfo::unknown);
    let call = match daemon.admit_call(connection.peer()) {
        Ok(call) => call,
        Err(full) => return Status::from(full).into_http(),
    };
    let time = time(&daemon, &request);
    let request = request.map(|body| Body::new(CountedRequest::new(body, Arc::clone(&daemon), connection.peer())));
    let path = request.uri().path();
    let takes_turn = !UPLOADS.contains(&path) && !WAITS.contains(&path);
    let answer = async {
        // Over once the answer begins: what a stream sends later, it sends in turn with the others.
        let _turn = match takes_turn.then(|| daemon.turns.take(connection.peer())) {
            None => None,
            Some(turn) => match turn.await {
                Ok(turn) => Some(turn),
                Err(full) => return Status::from(full).into_http(),
            },
        };
        next.run(request).await
    };
    let answered = match time {
        None => answer.await,
        Some((after, limit)) => match tokio::time::timeout(after, answer).await {
            Ok(answered) => answered,
            Err(_elapsed) => Status::from(Error::TimedOut { after, limit }).into_http(),
        },
    };
    let (mut parts, body) = answered.into_parts();
    let reservation = parts.extensions.remove::<Reservation>();
    Response::from_parts(parts, Body::new(WatchedAnswer::new(body, connection.open_answer(), (call, reservation))))
}

/// Returns how long a call may take until it is answered, and what says so.
fn time(daemon: &Daemon, request: &Request) -> Option<(Duration, &'static str)> {
    let limit = (daemon.limits.request_timeout, "as long as this samplerd takes over a call (--request-timeout)");
    let limit = (!UPLOADS.contains(&request.uri().path())).then_some(limit);
    let given = request.headers().get("grpc-timeout").and_then(|value| parse_timeout(value.to_str().ok()?));
    let given = given.map(|given| (given.saturating_sub(TIMEOUT_MARGIN), "as long as the client gave (grpc-timeout)"));
    limit.into_iter().chain(given).min_by_key(|(after, _)| *after)
}

/// Reads a time as gRPC writes it: up to eight digits and a unit.
fn parse_timeout(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.len() > 8 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let value: u64 = digits.parse().ok()?;
    Some(match unit {
        "H" => Duration::from_secs(value * 3600),
        "M" => Duration::from_secs(value * 60),
        "S" => Duration::from_secs(value),
        "m" => Duration::from_millis(value),
        "u" => Duration::from_micros(value),
        "n" => Duration::from_nanos(value),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_grpc_writes_them() {
        for (text, time) in [
            ("1H", Some(Duration::from_secs(3600))),
            ("99999999S", Some(Duration::from_secs(99_999_999))),
            ("20m", Some(Duration::from_millis(20))),
            ("7u", Some(Duration::from_micros(7))),
            ("7n", Some(Duration::from_nanos(7))),
            ("100000000S", None),
            ("S", None),
            ("", None),
            ("-1S", None),
            ("5ü", None),
            ("5", None),
        ] {
            assert_eq!(parse_timeout(text), time, "{text}");
        }
    }

    #[test]
    fn uploads_are_methods_that_there_are() {
        let services = swift_sampler_proto::v1::FILE_DESCRIPTOR_SET;
        for path in UPLOADS.into_iter().chain(WAITS) {
            let method = path.rsplit('/').next().unwrap();
            assert!(services.windows(method.len()).any(|name| name == method.as_bytes()), "{path}");
        }
    }
}
