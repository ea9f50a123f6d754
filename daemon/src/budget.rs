//! What there is only so much of, shared by all peers.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::connections::Peer;
use crate::error::Error;

/// This share of everything is kept for peers that have less than it: whoever takes all there is leaves so much.
const SPARE_SHARE: u64 = 8;

/// What there is only so much of: places or bytes.
#[derive(Debug)]
pub struct Budget {
    used: Arc<Mutex<Used>>,
    max: u64,
    of: &'static str,
    flag: &'static str,
}

#[derive(Debug, Default)]
struct Used {
    all: u64,
    by_peer: HashMap<Peer, u64>,
}

/// A part of a budget, given back when the last clone is dropped.
#[derive(Debug, Clone)]
pub struct Reservation(#[allow(dead_code, reason = "it is held")] Arc<Held>);

#[derive(Debug)]
struct Held {
    used: Arc<Mutex<Used>>,
    peer: Peer,
    amount: u64,
}

impl Budget {
    /// Makes a budget of `max` of what `of` names, which `flag` sets.
    #[must_use]
    pub fn new(of: &'static str, max: u64, flag: &'static str) -> Self {
        Self { used: Arc::default(), max, of, flag }
    }

    /// Reserves an amount for a peer, or as much as one peer may have where that is less.
    ///
    /// # Errors
    /// [`Error::Busy`] when there is not so much left, or no more for this peer.
    pub fn reserve(&self, peer: Peer, amount: u64) -> Result<Reservation, Error> {
        let spare = self.max / SPARE_SHARE;
        let amount = amount.min(self.max - spare);
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        let of_peer = used.by_peer.get(&peer).copied().unwrap_or(0) + amount;
        let all = used.all + amount;
        // What is spare goes to peers that have no more than that.
        if all > self.max || (all > self.max - spare && of_peer > spare) {
            let (of, flag, max, free) = (self.of, self.flag, self.max, self.max - used.all);
            let spare = format!("{spare} of them for those who have few");
            return Err(Error::Busy(format!(
                "{free} of {max} {of} are free, {spare}, and {amount} are needed ({flag})"
            )));
        }
        used.all = all;
        used.by_peer.insert(peer, of_peer);
        Ok(Reservation(Arc::new(Held { used: Arc::clone(&self.used), peer, amount })))
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        used.all -= self.amount;
        if let Some(of_peer) = used.by_peer.get_mut(&self.peer) {
            *of_peer -= self.amount;
            if *of_peer == 0 {
                // Peers that come and go leave nothing behind.
                used.by_peer.remove(&self.peer);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;

    fn peer(last: u8) -> Peer {
        Peer::from(IpAddr::from([10, 0, 0, last]))
    }

    #[test]
    fn what_is_reserved_comes_back() {
        let budget = Budget::new("bytes of answers", 80, "--answer-bytes-max");
        let most = budget.reserve(peer(1), u64::MAX).unwrap();
        let refused = budget.reserve(peer(1), 1).unwrap_err().to_string();
        assert!(refused.starts_with("10 of 80 bytes of answers are free"), "{refused}");
        assert!(refused.contains("(--answer-bytes-max)"), "{refused}");
        let other = most.clone();
        drop(most);
        assert!(budget.reserve(peer(1), 1).is_err(), "a clone still has it");
        drop(other);
        let parts: Vec<_> = (0..70).map(|_| budget.reserve(peer(1), 1).unwrap()).collect();
        assert!(budget.reserve(peer(1), 1).is_err());
        drop(parts);
        assert!(budget.used.lock().unwrap().by_peer.is_empty());
    }

    #[test]
    fn who_takes_all_there_is_leaves_some_for_others() {
        let budget = Budget::new("calls", 80, "--calls-max");
        let most: Vec<_> = (0..).map_while(|_| budget.reserve(peer(1), 1).ok()).collect();
        assert_eq!(most.len(), 70);
        let few: Vec<_> = (2..7).map(|last| budget.reserve(peer(last), 2).unwrap()).collect();
        assert!(budget.reserve(peer(7), 1).is_err(), "now it is all gone");
        drop((most, few));
        let _half = budget.reserve(peer(1), 40).unwrap();
        assert!(budget.reserve(peer(2), 40).is_err());
        assert!(budget.reserve(peer(2), 30).is_ok());
    }

    #[test]
    fn a_budget_too_small_to_be_shared_goes_to_whom_comes_first() {
        let budget = Budget::new("streams", 1, "--streams-max");
        let only = budget.reserve(peer(1), 1).unwrap();
        assert!(budget.reserve(peer(2), 1).is_err());
        drop(only);
        assert!(budget.reserve(peer(2), 1).is_ok());
    }
}
