//! One daemon of several that answer alike.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use swift_sampler_proto::v1::control_client::ControlClient;
use swift_sampler_proto::v1::replicas_client::ReplicasClient;
use swift_sampler_proto::v1::sampling_client::SamplingClient;
use swift_sampler_proto::v1::studies_client::StudiesClient;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Channel;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use super::connection::{Connection, Route};
use crate::retry::Lost;
use crate::token::Credentials;

/// Largest message accepted, in bytes: a single batch of the largest size, 2^24 draws of 8 bytes, and its header.
const MESSAGE_BYTES_MAX: usize = (128 << 20) + (64 << 10);
/// How long a replica that failed is left out before it is asked whether it serves; twice as long after each "no".
const PROBE_AFTER_MIN: Duration = Duration::from_secs(1);
/// The longest it is left out for.
const PROBE_AFTER_MAX: Duration = Duration::from_secs(30);
/// How long it may take to say that it serves.
const PROBE_TIMEOUT: Duration = Duration::from_secs(5);
/// What it is asked for: a daemon that shuts down still answers, but not for this.
const PROBED_SERVICE: &str = "swiftsampler.v1.Sampling";

/// What calls are made on: a channel that shows the token.
pub(crate) type Line = InterceptedService<Channel, Credentials>;

/// One daemon of several that answer alike.
#[derive(Debug)]
pub(crate) struct Replica {
    pub(super) route: Route,
    connections: Vec<Connection>,
    failing: Mutex<Option<Failing>>,
}

/// Since the last failure of a replica that has not answered again.
#[derive(Debug)]
struct Failing {
    /// When to ask it whether it serves.
    probe_at: Instant,
    /// How long it was left out for last.
    left_out: Duration,
    /// Whether it is being asked.
    probed: bool,
}

impl Replica {
    pub(super) fn new(route: Route, connections: u8) -> Self {
        let connections = (0..connections).map(|_| Connection::default()).collect();
        Self { route, connections, failing: Mutex::new(None) }
    }

    /// Starts a call on the connection with the fewest; the first of those, so that few are made for few calls.
    pub(super) fn call(self: &Arc<Self>) -> Call {
        let calls = |number: &usize| self.connections[*number].calls.load(Ordering::Relaxed);
        let number = (0..self.connections.len()).min_by_key(calls).expect("there is at least one connection");
        let connection = &self.connections[number];
        connection.calls.fetch_add(1, Ordering::Relaxed);
        Call { replica: Arc::clone(self), number, channel: connection.channel(&self.route) }
    }

    /// Tells whether its last answer is newer than its last failure.
    pub(super) fn is_well(&self) -> bool {
        self.failing().is_none()
    }

    fn failing(&self) -> std::sync::MutexGuard<'_, Option<Failing>> {
        self.failing.lock().expect("no holder panics")
    }

    fn note_answer(&self) {
        *self.failing() = None;
    }

    fn note_failure(&self, pause_min: Duration) {
        let mut failing = self.failing();
        let left_out = match &*failing {
            // Calls that were under way together fail together: that is one failure.
            Some(known) if known.probe_at > Instant::now() => return,
            Some(known) => known.left_out * 2,
            None => PROBE_AFTER_MIN,
        };
        let left_out = left_out.max(pause_min).min(PROBE_AFTER_MAX);
        *failing = Some(Failing { probe_at: Instant::now() + left_out, left_out, probed: false });
    }

    /// Asks a replica that failed a while ago whether it serves again, on a task of its own.
    pub(super) fn probe_if_due(self: &Arc<Self>) {
        match &mut *self.failing() {
            Some(failing) if !failing.probed && failing.probe_at <= Instant::now() => failing.probed = true,
            _ => return,
        }
        let replica = Arc::clone(self);
        tokio::spawn(async move {
            let call = replica.call();
            let request = HealthCheckRequest { service: PROBED_SERVICE.into() };
            let mut health = HealthClient::new(call.channel.clone());
            match tokio::time::timeout(PROBE_TIMEOUT, health.check(request)).await {
                Ok(Ok(answer)) if answer.get_ref().status() == ServingStatus::Serving => call.answered(),
                Ok(Ok(_shutting_down)) => replica.note_failure(Duration::ZERO),
                Ok(Err(status)) => match Lost::from_status(&status) {
                    Some(lost) => call.failed(&lost),
                    None => call.answered(),
                },
                Err(_elapsed) => call.failed(&Lost::timed_out(PROBE_TIMEOUT)),
            }
        });
    }
}

/// A call to one replica, over one of its connections.
#[derive(Debug)]
pub(crate) struct Call {
    replica: Arc<Replica>,
    number: usize,
    channel: Channel,
}

impl Call {
    pub(crate) fn control(&self) -> ControlClient<Line> {
        ControlClient::new(self.line()).max_decoding_message_size(MESSAGE_BYTES_MAX)
    }

    pub(crate) fn sampling(&self) -> SamplingClient<Line> {
        SamplingClient::new(self.line()).max_decoding_message_size(MESSAGE_BYTES_MAX)
    }

    pub(crate) fn studies(&self) -> StudiesClient<Line> {
        StudiesClient::new(self.line()).max_decoding_message_size(MESSAGE_BYTES_MAX)
    }

    pub(crate) fn replicas(&self) -> ReplicasClient<Line> {
        ReplicasClient::new(self.line()).max_decoding_message_size(MESSAGE_BYTES_MAX)
    }

    fn line(&self) -> Line {
        InterceptedService::new(self.channel.clone(), self.replica.route.credentials.clone())
    }

    /// Notes that the replica answered.
    pub(crate) fn answered(&self) {
        self.replica.note_answer();
    }

    /// Notes that it did not, so that the others are asked first.
    pub(crate) fn failed(&self, lost: &Lost) {
        if lost.stalled {
            // Whatever became of its connections, a new one shows sooner whether it lives.
            self.replica.connections.iter().for_each(Connection::discard);
        }
        self.replica.note_failure(lost.pause_min);
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        self.replica.connections[self.number].calls.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;

    use super::*;
    use crate::target::Address;

    fn replica(connections: u8) -> Arc<Replica> {
        let route = Route {
            address: Address::Tcp("127.0.0.1:1".parse().unwrap()),
            origin: "http://127.0.0.1:1".parse().unwrap(),
            encryption: None,
            credentials: Credentials::new(None).unwrap(),
            timeout: Duration::from_secs(1),
            remade: Arc::new(AtomicBool::new(false)),
        };
        Arc::new(Replica::new(route, connections))
    }

    #[tokio::test]
    async fn calls_spread_over_connections_only_while_others_are_open() {
        let replica = replica(2);
        for _ in 0..3 {
            assert_eq!(replica.call().number, 0);
        }
        let open: Vec<Call> = (0..4).map(|_| replica.call()).collect();
        assert_eq!(open.iter().map(|call| call.number).collect::<Vec<_>>(), [0, 1, 0, 1]);
        drop(open);
        assert_eq!(replica.call().number, 0);
    }

    #[tokio::test]
    async fn calls_that_fail_together_count_as_one_failure() {
        let replica = replica(1);
        let lost = Lost::timed_out(Duration::from_secs(1));
        let calls = [replica.call(), replica.call(), replica.call()];
        calls.iter().for_each(|call| call.failed(&lost));
        assert_eq!(replica.failing().as_ref().unwrap().left_out, PROBE_AFTER_MIN);
        assert!(!replica.is_well());
        calls[0].answered();
        assert!(replica.is_well());
    }
}
