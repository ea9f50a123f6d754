//! How many files and sockets the process may have open.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Descriptors kept for what is no connection of gRPC: HTTP, the registry, datasets, uploads, other daemons.
pub(crate) const RESERVED: usize = 256;

/// Takes as many descriptors as the system allows the process. Services are often started with 1,024 of them.
pub fn raise() {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current == maximum {
        return;
    }
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }) {
        tracing::warn!(%error, "the limit of open files could not be raised from {current:?} to {maximum:?}");
    }
}

/// Returns how many connections may be open of those asked for, so that there are descriptors left.
pub(crate) fn connections(connections_max: usize) -> usize {
    let available =
        getrlimit(Resource::Nofile).current.map_or(usize::MAX, |most| usize::try_from(most).unwrap_or(usize::MAX));
    let possible = available.saturating_sub(RESERVED).max(available / 2);
    if possible < connections_max {
        tracing::warn!(
            "{connections_max} connections are allowed, but the system's limit of open files leaves {possible}: raise it \
             (ulimit -n, LimitNOFILE), or lower --connections-max"
        );
    }
    connections_max.min(possible)
}
