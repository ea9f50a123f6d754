//! Datasets and samplers held in memory, most recently used.
//!
//! Keys are content: a dataset's hash, and a hash with a canonical spec. So nothing here can be stale, and an evicted
//! sampler is built again to the same draws.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};

use swift_sampler::{Dataset, Sampler, SamplerError, SamplerSpec};

use crate::store::{Store, StoreError};

/// Datasets held at once; their columns are mapped, their cells are in memory.
const DATASETS_MAX: usize = 16;
/// Samplers held at once. Streams hold on to the one they use.
const SAMPLERS_MAX: usize = 64;

/// Why a sampler cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// Its dataset cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// It cannot be built.
    #[error(transparent)]
    Sampler(#[from] SamplerError),
    /// Its spec is not one.
    #[error("sampler spec: {0}")]
    Spec(serde_json::Error),
}

/// Datasets and samplers in memory.
#[derive(Debug)]
pub struct Loaded {
    store: Store,
    datasets: Recent<String, Arc<Dataset>>,
    samplers: Recent<(String, String), Arc<Sampler>>,
}

impl Loaded {
    /// Loads from a store.
    #[must_use]
    pub fn new(store: Store) -> Self {
        Self { store, datasets: Recent::new(DATASETS_MAX), samplers: Recent::new(SAMPLERS_MAX) }
    }

    /// Returns the store.
    #[must_use]
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Returns a dataset, reading and checking it if it is not held. Blocks meanwhile.
    ///
    /// # Errors
    /// [`StoreError`] when it is damaged.
    pub fn dataset(&self, hash: &str) -> Result<Arc<Dataset>, StoreError> {
        self.datasets.get_or_make(&hash.to_owned(), || self.store.get(hash).map(Arc::new))
    }

    /// Returns a sampler, building it if it is not held. Blocks meanwhile.
    ///
    /// # Errors
    /// [`LoadError`].
    pub fn sampler(&self, hash: &str, spec_json: &str) -> Result<Arc<Sampler>, LoadError> {
        self.samplers.get_or_make(&(hash.to_owned(), spec_json.to_owned()), || {
            let spec: SamplerSpec = serde_json::from_str(spec_json).map_err(LoadError::Spec)?;
            let dataset = self.dataset(hash)?;
            Ok(Arc::new(Sampler::build(&spec, &dataset)?))
        })
    }

    /// Lets go of a dataset and its samplers.
    pub fn forget(&self, hash: &str) {
        self.datasets.forget(|held| held == hash);
        self.samplers.forget(|(held, _)| held == hash);
    }
}

/// A place for one value; whoever finds it empty fills it while others who want the same value wait.
type Slot<V> = Arc<Mutex<Option<V>>>;

/// The most recently used values by key, each made once.
#[derive(Debug)]
struct Recent<K, V> {
    capacity: usize,
    state: Mutex<RecentState<K, V>>,
}

#[derive(Debug)]
struct RecentState<K, V> {
    /// Counts uses.
    now: u64,
    slots: HashMap<K, (u64, Slot<V>)>,
}

impl<K: Clone + Eq + Hash, V: Clone> Recent<K, V> {
    fn new(capacity: usize) -> Self {
        Self { capacity, state: Mutex::new(RecentState { now: 0, slots: HashMap::new() }) }
    }

    fn get_or_make<E>(&self, key: &K, make: impl FnOnce() -> Result<V, E>) -> Result<V, E> {
        let slot = self.slot(key);
        let mut value = slot.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(value) = &*value {
            return Ok(value.clone());
        }
        match make() {
            Ok(made) => {
                *value = Some(made.clone());
                drop(value);
                self.evict();
                Ok(made)
            }
            Err(error) => {
                self.remove(key, &slot);
                Err(error)
            }
        }
    }

    fn slot(&self, key: &K) -> Slot<V> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.now += 1;
        let now = state.now;
        let (used, slot) = state.slots.entry(key.clone()).or_default();
        *used = now;
        Arc::clone(slot)
    }

    /// Lets go of the values used longest ago, beyond the capacity.
    fn evict(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        while state.slots.len() > self.capacity {
            let oldest = state.slots.iter().min_by_key(|(_, (used, _))| *used).map(|(key, _)| key.clone());
            let Some(oldest) = oldest else { return };
            state.slots.remove(&oldest);
        }
    }

    /// Removes a slot that could not be filled, so that it takes no value's place.
    fn remove(&self, key: &K, unfilled: &Slot<V>) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.slots.get(key).is_some_and(|(_, slot)| Arc::ptr_eq(slot, unfilled)) {
            state.slots.remove(key);
        }
    }

    fn forget(&self, unwanted: impl Fn(&K) -> bool) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.slots.retain(|key, _| !unwanted(key));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether the value is held: asking for it does not make it.
    fn is_held(recent: &Recent<u32, u32>, key: u32) -> bool {
        recent.get_or_make(&key, || Err(())) == Ok(key)
    }

    #[test]
    fn the_most_recently_used_values_are_held() {
        let recent = Recent::new(2);
        for key in [1, 2, 1, 3] {
            assert_eq!(recent.get_or_make(&key, || Ok::<_, ()>(key)), Ok(key));
        }
        assert_eq!([1, 2, 3].map(|key| is_held(&recent, key)), [true, false, true]);
    }

    #[test]
    fn values_that_cannot_be_made_take_no_place() {
        let recent = Recent::new(2);
        for key in [1, 2] {
            recent.get_or_make(&key, || Ok::<_, ()>(key)).unwrap();
        }
        for key in 3..10 {
            assert_eq!(recent.get_or_make(&key, || Err("refused")), Err("refused"));
        }
        assert_eq!([1, 2, 3].map(|key| is_held(&recent, key)), [true, true, false]);
        assert_eq!(recent.get_or_make(&3, || Ok::<_, ()>(3)), Ok(3), "it is tried again");
    }
}
