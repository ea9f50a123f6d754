//! Datasets that are served before all of their bytes were checked.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use tokio::sync::Notify;

/// A queue of datasets to check, each once.
#[derive(Debug, Default)]
pub struct Unchecked {
    hashes: Mutex<VecDeque<String>>,
    added: Notify,
}

impl Unchecked {
    /// Adds a dataset, unless it is waiting.
    pub(super) fn add(&self, hash: &str) {
        let mut hashes = self.hashes.lock().unwrap_or_else(PoisonError::into_inner);
        if !hashes.iter().any(|waiting| waiting == hash) {
            hashes.push_back(hash.to_owned());
            self.added.notify_one();
        }
    }

    /// Waits until there is a dataset to check, and returns it. It waits on until it [is done](Self::done).
    pub async fn next(&self) -> String {
        loop {
            let first = self.hashes.lock().unwrap_or_else(PoisonError::into_inner).front().cloned();
            match first {
                Some(hash) => return hash,
                None => self.added.notified().await,
            }
        }
    }

    /// Notes that a dataset was checked.
    pub fn done(&self, hash: &str) {
        self.hashes.lock().unwrap_or_else(PoisonError::into_inner).retain(|waiting| waiting != hash);
    }

    /// Returns how many datasets wait, one that is being checked among them.
    #[must_use]
    pub fn len(&self) -> usize {
        self.hashes.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Returns whether none waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
