//! A daemon that does not serve, for tests.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::{PeerAccess, ReplicaSettings, Replicas};
use crate::clock::SystemClock;
use crate::daemon::Daemon;
use crate::limits::Limits;
use crate::loaded::Loaded;
use crate::metrics::Metrics;
use crate::parsing::Parsing;
use crate::registry::{Backend, Registry};
use crate::store::Store;

/// Returns a daemon over a registry that others use as well.
pub(super) fn daemon(data_dir: &Path, backend: Arc<dyn Backend>) -> Arc<Daemon> {
    let daemon = Daemon::new(
        Registry::new(backend, Arc::new(SystemClock)),
        Loaded::new(Store::open(data_dir).unwrap(), Limits::default().plans_bytes_max),
        Metrics::register(&prometheus::Registry::new()).unwrap(),
        Limits::default(),
        Replicas::new(
            &ReplicaSettings { shared_dir: None, removal_grace: Duration::ZERO, peers: PeerAccess::default() },
            true,
        ),
        Parsing::InProcess,
    );
    Arc::new(daemon.unwrap())
}
