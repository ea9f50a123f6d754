//! What goes on on one connection, as far as it tells whether the connection should be closed.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Waker;
use std::time::{Duration, Instant};

use super::allowance::EARNED_A_CALL;

/// Bytes that every client sends before anything else: HTTP/2's preface and the header of its SETTINGS.
const HANDSHAKE_BYTES: u64 = 24 + 9;

/// What goes on on one connection.
#[derive(Debug)]
pub(super) struct Activity {
    started: Instant,
    received_bytes: AtomicU64,
    /// Frames that were earned and not yet added to the connection's allowance.
    earned: AtomicU64,
    /// Set once the client has sent too many frames that bring nothing, for too long.
    is_flooded: AtomicBool,
    /// The connection, where it waits until it may read on.
    paused: Mutex<Option<Waker>>,
    answers: Mutex<Answers>,
}

#[derive(Debug, Default)]
struct Answers {
    next: u64,
    /// When each open answer last had something for the client to take; none while it has not.
    offered: HashMap<u64, Option<Instant>>,
}

impl Activity {
    pub(super) fn new() -> Self {
        Self {
            started: Instant::now(),
            received_bytes: AtomicU64::new(0),
            earned: AtomicU64::new(0),
            is_flooded: AtomicBool::new(false),
            paused: Mutex::default(),
            answers: Mutex::default(),
        }
    }

    /// Notes that the client has sent bytes.
    pub(super) fn note_received(&self, bytes: usize) {
        self.received_bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Tells whether the client has said that it speaks HTTP/2.
    pub(super) fn has_begun(&self) -> bool {
        self.received_bytes.load(Ordering::Relaxed) >= HANDSHAKE_BYTES
    }

    /// Notes that what the client did allows it so many more frames.
    pub(super) fn earn(&self, frames: u64) {
        self.earned.fetch_add(frames, Ordering::Relaxed);
        if let Some(paused) = self.paused.lock().unwrap_or_else(PoisonError::into_inner).take() {
            paused.wake();
        }
    }

    /// Takes what was earned.
    pub(super) fn take_earned(&self) -> u64 {
        self.earned.swap(0, Ordering::Relaxed)
    }

    /// Notes who waits for more to be earned.
    pub(super) fn pause(&self, connection: &Waker) {
        *self.paused.lock().unwrap_or_else(PoisonError::into_inner) = Some(connection.clone());
    }

    pub(super) fn note_flood(&self) {
        self.is_flooded.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_flooded(&self) -> bool {
        self.is_flooded.load(Ordering::Relaxed)
    }

    /// Returns how long the connection has been open.
    pub(super) fn age(&self) -> Duration {
        self.started.elapsed()
    }

    /// Returns how long the client has not taken what it asked for, of the answer where that is longest.
    pub(super) fn stalled(&self) -> Duration {
        let answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        let first = answers.offered.values().flatten().min();
        first.map_or(Duration::ZERO, Instant::elapsed)
    }
}

/// An answer that is being sent.
#[derive(Debug)]
pub(crate) struct OpenAnswer {
    activity: Arc<Activity>,
    key: u64,
}

impl OpenAnswer {
    pub(super) fn new(activity: Arc<Activity>) -> Self {
        let key = {
            let mut answers = activity.answers.lock().unwrap_or_else(PoisonError::into_inner);
            answers.next += 1;
            let key = answers.next;
            answers.offered.insert(key, None);
            key
        };
        Self { activity, key }
    }

    /// Notes that the connection asks for the next part: it has sent the last one.
    pub(crate) fn note_taken(&self) {
        self.set(None);
    }

    /// Notes that there is a part for the client to take.
    pub(crate) fn note_offered(&self) {
        self.set(Some(Instant::now()));
    }

    /// Notes that all of it was sent.
    pub(crate) fn note_ended(&self) {
        self.activity.earn(EARNED_A_CALL.into());
    }

    fn set(&self, offered: Option<Instant>) {
        let mut answers = self.activity.answers.lock().unwrap_or_else(PoisonError::into_inner);
        answers.offered.insert(self.key, offered);
    }
}

impl Drop for OpenAnswer {
    fn drop(&mut self) {
        self.activity.answers.lock().unwrap_or_else(PoisonError::into_inner).offered.remove(&self.key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_stalls_while_its_client_does_not_take_it() {
        let activity = Arc::new(Activity::new());
        let (first, second) = (OpenAnswer::new(Arc::clone(&activity)), OpenAnswer::new(Arc::clone(&activity)));
        assert_eq!(activity.stalled(), Duration::ZERO, "nothing is there to be taken");
        first.note_offered();
        second.note_offered();
        while activity.stalled().is_zero() {}
        second.note_taken();
        assert!(!activity.stalled().is_zero(), "the first is still not taken");
        drop(first);
        assert_eq!(activity.stalled(), Duration::ZERO);
    }

    #[test]
    fn a_connection_has_begun_with_the_preface_and_settings() {
        let activity = Activity::new();
        activity.note_received(32);
        assert!(!activity.has_begun());
        activity.note_received(1);
        assert!(activity.has_begun());
    }
}
