//! Turns at the daemon's threads, so that one peer's many calls do not make everyone's wait.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::connections::Peer;
use crate::error::Error;

/// Calls of one peer that are worked on at once; its others wait until they have their turn.
pub(crate) const CALLS_AT_WORK_A_PEER_MAX: usize = 64;

/// Calls of one peer that wait for their turn; each takes some KiB of memory.
pub(crate) const CALLS_WAITING_A_PEER_MAX: usize = 4096;

/// Hands out turns by peer.
#[derive(Debug, Default)]
pub struct Turns {
    by_peer: Arc<Mutex<HashMap<Peer, Arc<Semaphore>>>>,
}

/// A turn, over when it is dropped.
#[derive(Debug)]
pub struct Turn {
    by_peer: Arc<Mutex<HashMap<Peer, Arc<Semaphore>>>>,
    peer: Peer,
    permit: Option<OwnedSemaphorePermit>,
}

impl Turns {
    /// Waits for a turn; those of one peer come in the order in which they were asked for.
    ///
    /// # Errors
    /// [`Error::Busy`] when as many of this peer's wait as may.
    pub async fn take(&self, peer: Peer) -> Result<Turn, Error> {
        let semaphore = {
            let mut by_peer = self.by_peer.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(by_peer.entry(peer).or_insert_with(|| Arc::new(Semaphore::new(CALLS_AT_WORK_A_PEER_MAX))))
        };
        // Whoever has a turn or waits for one has a clone, as the map has, and this call by now.
        if Arc::strong_count(&semaphore) - 2 >= CALLS_AT_WORK_A_PEER_MAX + CALLS_WAITING_A_PEER_MAX {
            let message =
                format!("{CALLS_WAITING_A_PEER_MAX} calls from this address wait for their turn, and no more may");
            return Err(Error::Busy(message));
        }
        // Made first, so that whoever gives up while waiting leaves nothing behind either.
        let mut turn = Turn { by_peer: Arc::clone(&self.by_peer), peer, permit: None };
        // An error would say that it is closed, which it never is.
        turn.permit = semaphore.acquire_owned().await.ok();
        Ok(turn)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut by_peer = self.by_peer.lock().unwrap_or_else(PoisonError::into_inner);
        self.permit = None;
        // Whoever has a turn or waits for one has a clone.
        if by_peer.get(&self.peer).is_some_and(|semaphore| Arc::strong_count(semaphore) == 1) {
            by_peer.remove(&self.peer);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::net::IpAddr;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use super::*;

    #[tokio::test]
    async fn a_peers_calls_wait_for_each_other_and_not_for_those_of_others() {
        let turns = Turns::default();
        let [one, other] = [1, 2].map(|last| Peer::from(IpAddr::from([10, 0, 0, last])));
        let mut held = Vec::new();
        for _ in 0..CALLS_AT_WORK_A_PEER_MAX {
            held.push(turns.take(one).await.unwrap());
        }
        let mut context = Context::from_waker(Waker::noop());
        {
            let mut next = pin!(turns.take(one));
            assert!(next.as_mut().poll(&mut context).is_pending());
            assert!(pin!(turns.take(other)).poll(&mut context).is_ready());
            held.pop();
            let Poll::Ready(Ok(turn)) = next.poll(&mut context) else { panic!("a turn is free") };
            held.push(turn);
            assert!(pin!(turns.take(one)).poll(&mut context).is_pending(), "it gives up");
        }
        {
            let mut waiting: Vec<_> = (0..CALLS_WAITING_A_PEER_MAX).map(|_| Box::pin(turns.take(one))).collect();
            assert!(waiting.iter_mut().all(|next| next.as_mut().poll(&mut context).is_pending()));
            assert!(matches!(pin!(turns.take(one)).poll(&mut context), Poll::Ready(Err(Error::Busy(_)))));
            assert!(pin!(turns.take(other)).poll(&mut context).is_ready());
        }
        held.clear();
        assert!(turns.by_peer.lock().unwrap().is_empty());
    }
}
