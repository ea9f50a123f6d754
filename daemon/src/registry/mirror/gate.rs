//! Whether the registry can be asked now, and how long it is worth waiting for that.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::registry::redis::Session;

/// How long calls wait for a registry that was lost: long enough for a Sentinel to promote a replica. After that, they are
/// told at once until it is back.
pub(super) const PATIENCE: Duration = Duration::from_secs(4);

/// Calls pass while the registry can be asked.
#[derive(Debug)]
pub(super) struct Gate {
    state: Mutex<State>,
    opened: Condvar,
}

#[derive(Debug)]
enum State {
    Open(Arc<Session>),
    Shut { since: Instant, reason: String },
}

impl Gate {
    /// Returns a gate that is shut; the calls that come wait as for a registry that was lost just now.
    pub(super) fn shut_now(reason: &str) -> Self {
        let state = State::Shut { since: Instant::now(), reason: reason.to_owned() };
        Self { state: Mutex::new(state), opened: Condvar::new() }
    }

    /// Returns the session once the gate is open.
    ///
    /// # Errors
    /// Why it is shut, when it has been for [`PATIENCE`].
    pub(super) fn pass(&self) -> Result<Arc<Session>, String> {
        let mut state = self.lock();
        loop {
            let (since, reason) = match &*state {
                State::Open(session) => return Ok(Arc::clone(session)),
                State::Shut { since, reason } => (since, reason),
            };
            let Some(left) = PATIENCE.checked_sub(since.elapsed()) else { return Err(reason.clone()) };
            (state, _) = self.opened.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Lets calls pass.
    pub(super) fn open(&self, session: Arc<Session>) {
        *self.lock() = State::Open(session);
        self.opened.notify_all();
    }

    /// Keeps calls from asking over a session that was lost. Nothing happens where another has come since.
    pub(super) fn shut(&self, lost: &Arc<Session>, reason: &str) {
        let mut state = self.lock();
        if matches!(&*state, State::Open(session) if Arc::ptr_eq(session, lost)) {
            tracing::warn!(reason, "the registry was lost");
            *state = State::Shut { since: Instant::now(), reason: reason.to_owned() };
        }
    }

    /// Notes why the registry still cannot be asked.
    pub(super) fn still_shut(&self, because: &str) {
        if let State::Shut { reason, .. } = &mut *self.lock() {
            because.clone_into(reason);
        }
    }

    /// Returns the session, if the gate is open.
    pub(super) fn session(&self) -> Option<Arc<Session>> {
        match &*self.lock() {
            State::Open(session) => Some(Arc::clone(session)),
            State::Shut { .. } => None,
        }
    }

    /// Returns why the gate is shut, if it is.
    pub(super) fn outage(&self) -> Option<String> {
        match &*self.lock() {
            State::Open(_) => None,
            State::Shut { reason, .. } => Some(reason.clone()),
        }
    }

    /// Tells whether calls are refused at once.
    pub(super) fn patience_is_over(&self) -> bool {
        matches!(&*self.lock(), State::Shut { since, .. } if since.elapsed() >= PATIENCE)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
