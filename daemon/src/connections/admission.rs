//! How many connections are open, in all and from one peer.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};

/// Who is at the other end of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Peer {
    /// A host, by its IPv4 address or the first 64 bits of its IPv6 address, all of which one host may have.
    Host(IpAddr),
    /// A process of this machine, over the Unix socket.
    ThisMachine,
}

impl From<IpAddr> for Peer {
    fn from(address: IpAddr) -> Self {
        Self::Host(match address.to_canonical() {
            IpAddr::V6(address) => {
                let network = address.to_bits() >> 64 << 64;
                IpAddr::V6(Ipv6Addr::from_bits(network))
            }
            v4 @ IpAddr::V4(_) => v4,
        })
    }
}

/// Why a connection is not admitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Full {
    /// As many are open as may be.
    All,
    /// As many of this peer.
    Peer,
}

impl Full {
    /// Returns its label in the metrics.
    pub(super) fn reason(self) -> &'static str {
        match self {
            Self::All => "full",
            Self::Peer => "peer_full",
        }
    }
}

/// Counts the connections of all listeners.
#[derive(Debug, Clone)]
pub struct Admission {
    open: Arc<Mutex<Open>>,
    connections_max: usize,
    a_peer_max: usize,
}

#[derive(Debug, Default)]
struct Open {
    all: usize,
    by_peer: HashMap<Peer, usize>,
}

impl Admission {
    /// Admits at most so many connections at once, in all and of one peer.
    #[must_use]
    pub fn new(connections_max: usize, a_peer_max: usize) -> Self {
        Self { open: Arc::default(), connections_max, a_peer_max }
    }

    /// Admits a connection until what is returned is dropped.
    pub(super) fn admit(&self, peer: Peer) -> Result<Place, Full> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if open.all >= self.connections_max {
            return Err(Full::All);
        }
        if open.by_peer.get(&peer).is_some_and(|&of_peer| of_peer >= self.a_peer_max) {
            return Err(Full::Peer);
        }
        open.all += 1;
        *open.by_peer.entry(peer).or_default() += 1;
        Ok(Place { open: Arc::clone(&self.open), peer })
    }
}

/// A connection's place among those that may be open.
#[derive(Debug)]
pub(super) struct Place {
    open: Arc<Mutex<Open>>,
    peer: Peer,
}

impl Place {
    /// Returns whose it is.
    pub(super) fn peer(&self) -> Peer {
        self.peer
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.all -= 1;
        if let Some(of_peer) = open.by_peer.get_mut(&self.peer) {
            *of_peer -= 1;
            if *of_peer == 0 {
                // Peers that come and go leave nothing behind.
                open.by_peer.remove(&self.peer);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(address: &str) -> Peer {
        Peer::from(address.parse::<IpAddr>().unwrap())
    }

    #[test]
    fn one_peer_cannot_take_all_places_and_places_come_back() {
        let admission = Admission::new(3, 2);
        let places = [admission.admit(peer("10.0.0.1")).unwrap(), admission.admit(peer("::ffff:10.0.0.1")).unwrap()];
        assert_eq!(admission.admit(peer("10.0.0.1")).unwrap_err(), Full::Peer);
        let other = admission.admit(Peer::ThisMachine).unwrap();
        assert_eq!(admission.admit(peer("10.0.0.2")).unwrap_err(), Full::All);
        drop(places);
        assert!(admission.admit(peer("10.0.0.1")).is_ok());
        drop(other);
        let open = admission.open.lock().unwrap();
        assert!(open.all == 0 && open.by_peer.is_empty(), "{open:?}");
    }

    #[test]
    fn addresses_that_one_host_may_have_are_one_peer() {
        assert_eq!(peer("2001:db8::1"), peer("2001:db8::ffff:1"));
        assert_ne!(peer("2001:db8::1"), peer("2001:db8:0:1::1"));
        assert_ne!(peer("10.0.0.1"), peer("10.0.0.2"));
    }
}
