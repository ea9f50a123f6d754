//! Where this daemon is, for the others of its registry, and where they are.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::daemon::Daemon;
use crate::registry::{PRESENCE_TTL, Registry};

/// How often a daemon says that it is there: often enough that one lost announcement is not noticed.
const ANNOUNCE_INTERVAL: Duration = Duration::from_secs(PRESENCE_TTL.as_secs() / 3);

/// This daemon among those of its registry.
#[derive(Debug)]
pub(super) struct Presence {
    /// Differs from every other daemon's.
    id: String,
    /// Where the others were, for when the registry cannot say.
    known: Mutex<Vec<String>>,
}

impl Presence {
    pub(super) fn new() -> Self {
        Self { id: format!("{:032x}", fastrand::u128(..)), known: Mutex::default() }
    }

    /// Returns the addresses of the other daemons, in random order, so that not all ask the same one. Blocks.
    pub(super) fn peers(&self, registry: &Registry) -> Vec<String> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        match registry.daemons() {
            Ok(daemons) => {
                let others = daemons.into_iter().filter(|(id, _)| *id != self.id).map(|(_, address)| address);
                *known = others.collect::<BTreeSet<_>>().into_iter().collect();
            }
            Err(error) => tracing::debug!(%error, "the daemons that were known are asked"),
        }
        let mut addresses = known.clone();
        fastrand::shuffle(&mut addresses);
        addresses
    }
}

/// Says where this daemon serves, again and again until it goes down. One that has its registry for itself need not.
pub(crate) async fn announce(daemon: Arc<Daemon>, address: String) {
    if !daemon.replicas.registry_is_shared {
        return;
    }
    let mut announced = true;
    loop {
        let to = address.clone();
        let said =
            daemon.with_registry(move |daemon| daemon.registry.announce(&daemon.replicas.presence.id, &to)).await;
        match said {
            Ok(()) => announced = true,
            Err(error) if announced => {
                announced = false;
                tracing::warn!(%error, address, "other daemons cannot be told where this one is");
            }
            Err(_repeated) => {}
        }
        tokio::select! {
            () = daemon.shutdown.cancelled() => return,
            () = tokio::time::sleep(ANNOUNCE_INTERVAL) => {}
        }
    }
}
