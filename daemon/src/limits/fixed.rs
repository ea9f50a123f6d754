//! The limits that nobody has to set.

use std::time::Duration;

use swift_sampler::BATCH_SIZE_MAX;

use super::page::{bytes, count, time};
use crate::{app, connections, daemon, descriptors, grpc, http, registry, replicas};

/// A limit that is a constant of the code.
#[derive(Debug)]
pub(super) struct Fixed {
    /// What it limits.
    pub(super) of: &'static str,
    /// What it is, with the unit.
    pub(super) value: String,
    /// What happens beyond it.
    pub(super) beyond: &'static str,
}

/// Of connections.
pub(super) fn of_connections() -> Vec<Fixed> {
    vec![
        row("until a client speaks HTTP/2", time(connections::HANDSHAKE_MAX), "closed, `reason=\"handshake\"`"),
        row(
            "frames at once that bring nothing (PING, SETTINGS, WINDOW_UPDATE, empty data, calls taken back)",
            count(u64::from(connections::allowance::BURST_FRAMES)),
            "the client is read more slowly: answers, and what is sent, allow for more",
        ),
        row(
            "such frames a second",
            count(u64::from(connections::allowance::FRAMES_A_SECOND)),
            "the same; closed when that has lasted for 10 s, `reason=\"flood\"`",
        ),
        row(
            "a client does not take an answer that it asked for",
            time(connections::ANSWER_STALL_MAX),
            "its connection is closed, `reason=\"stalled\"`; a paused reader of the client library goes on by itself",
        ),
        row(
            "age of a connection (`--max-connection-age`)",
            time(crate::config::CONNECTION_AGE_MAX_DEFAULT),
            "GOAWAY; calls go on, streams end a tenth later at a batch",
        ),
        row("a silent connection is probed after", time(app::KEEP_ALIVE_INTERVAL), "a PING"),
        row("answer to a probe", time(app::KEEP_ALIVE_TIMEOUT), "closed"),
        row(
            "calls open on one connection",
            count(u64::from(app::CALLS_A_CONNECTION_MAX)),
            "further ones wait at the client, else REFUSED_STREAM",
        ),
        row(
            "calls reset before they were begun, on one connection",
            count(app::CALLS_RESET_MAX as u64),
            "GOAWAY, ENHANCE_YOUR_CALM",
        ),
        row(
            "calls in breach of HTTP/2 on one connection",
            count(app::CALLS_IN_ERROR_MAX as u64),
            "GOAWAY, ENHANCE_YOUR_CALM",
        ),
        row(
            "sent ahead on one call or connection",
            bytes(u64::from(app::RECEIVE_WINDOW_BYTES)),
            "the client waits, else FLOW_CONTROL_ERROR",
        ),
        row("a frame", bytes(u64::from(app::FRAME_BYTES_MAX)), "FRAME_SIZE_ERROR"),
        row(
            "headers of a call, and their CONTINUATIONs",
            bytes(u64::from(app::HEADERS_BYTES_MAX)),
            "431, or ENHANCE_YOUR_CALM",
        ),
        row(
            "descriptors kept for other things than connections",
            count(descriptors::RESERVED as u64),
            "fewer connections are admitted",
        ),
        row(
            "connections of HTTP",
            count(http::serve::CONNECTIONS_MAX as u64),
            "closed at once, `reason=\"http_full\"`",
        ),
        row("head of an HTTP request, or the wait for it", time(http::serve::HEAD_MAX), "closed"),
        row("size of that head", bytes(http::serve::HEAD_BYTES_MAX as u64), "431"),
        row("headers of an HTTP request", count(http::serve::HEADERS_MAX as u64), "431"),
        row("answer over HTTP", time(http::serve::ANSWER_MAX), "503"),
        row("age of a connection of HTTP", time(http::serve::AGE_MAX), "closed"),
        row(
            "drain at the end (`--drain-timeout`)",
            time(Duration::from_secs(crate::config::DRAIN_TIMEOUT_DEFAULT_S)),
            "calls that are still open are cut",
        ),
    ]
}

/// Of calls.
pub(super) fn of_calls() -> Vec<Fixed> {
    vec![
        row(
            "calls of one peer worked on at once",
            count(crate::turns::CALLS_AT_WORK_A_PEER_MAX as u64),
            "they wait their turn, within their time; waits of `LeaseTrial` and uploads take none",
        ),
        row(
            "calls of one peer that wait for that",
            count(crate::turns::CALLS_WAITING_A_PEER_MAX as u64),
            "RESOURCE_EXHAUSTED, retry in 500 ms",
        ),
        row("a request", bytes(grpc::REQUEST_BYTES_MAX as u64), "OUT_OF_RANGE"),
        row("an answer", bytes(grpc::ANSWER_BYTES_MAX as u64), "OUT_OF_RANGE"),
        row("a chunk of an upload", bytes(grpc::upload::CHUNK_BYTES_MAX as u64), "INVALID_ARGUMENT"),
        row("wait for the next chunk", time(grpc::upload::CHUNK_WAIT_MAX), "INVALID_ARGUMENT"),
        row("files of an upload", count(grpc::upload::FILES_MAX as u64), "INVALID_ARGUMENT"),
        row("imports and refreshes at work", count(daemon::IMPORTS_MAX as u64), "they wait their turn"),
        row("steps of `GetBatches`", count(u64::from(grpc::sampling::STEPS_MAX)), "INVALID_ARGUMENT"),
        row("draws of `GetBatches`", count(grpc::sampling::DRAWS_MAX), "INVALID_ARGUMENT"),
        row("crops of `SelectCrops`", count(grpc::crops::CROPS_MAX as u64), "RESOURCE_EXHAUSTED"),
        row(
            "a stream's message, unless one batch is larger",
            bytes(grpc::stream::MESSAGE_BYTES_MAX),
            "batches go in several",
        ),
        row("batches of a message", count(grpc::stream::BATCHES_A_MESSAGE_MAX), "batches go in several"),
        row(
            "messages that wait for a stream's reader",
            count(grpc::stream::QUEUE_MESSAGES as u64),
            "nothing more is drawn",
        ),
        row(
            "messages of all streams, beyond one batch each",
            bytes(grpc::stream::MESSAGES_BYTES_MAX),
            "messages are smaller",
        ),
        row("wait for a dataset that is fetched", time(daemon::FETCH_WAIT_MAX), "UNAVAILABLE, retry in 500 ms"),
        row(
            "datasets sent to other daemons at once",
            count(replicas::SENDS_MAX as u64),
            "RESOURCE_EXHAUSTED, retry in 500 ms",
        ),
        row(
            "wait of `LeaseTrial`",
            time(Duration::from_millis(u64::from(registry::LEASE_WAIT_MAX_MS))),
            "INVALID_ARGUMENT",
        ),
    ]
}

/// Of jobs, studies and names.
pub(super) fn of_records() -> Vec<Fixed> {
    vec![
        row("a name", format!("{} bytes", registry::NAME_LENGTH_MAX), "INVALID_ARGUMENT"),
        row("batch size", count(u64::from(BATCH_SIZE_MAX)), "INVALID_ARGUMENT"),
        row(
            "steps beyond the horizon, unless it is a seek",
            count(registry::STEPS_BEYOND_HORIZON_MAX),
            "FAILED_PRECONDITION",
        ),
        row("steps of a lease", count(registry::LEASE_STEPS_MAX), "the horizon is extended again"),
        row("JSON of a study or trial", bytes(registry::JSON_BYTES_MAX as u64), "INVALID_ARGUMENT"),
        row("trials of a study", count(registry::TRIALS_MAX), "INVALID_ARGUMENT"),
        row("attempts of a trial", count(u64::from(registry::ATTEMPTS_MAX)), "INVALID_ARGUMENT"),
        row("name of a worker", format!("{} bytes", registry::WORKER_NAME_MAX), "INVALID_ARGUMENT"),
        row(
            "lease of a trial",
            time(Duration::from_millis(u64::from(*registry::LEASE_RANGE_MS.end()))),
            "INVALID_ARGUMENT",
        ),
    ]
}

fn row(of: &'static str, value: String, beyond: &'static str) -> Fixed {
    Fixed { of, value, beyond }
}
