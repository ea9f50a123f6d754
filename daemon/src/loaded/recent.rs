//! The most recently used values by key.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};

/// A place for one value; whoever finds it empty fills it while others who want the same value wait.
type Slot<V> = Arc<Mutex<Option<V>>>;

/// The most recently used values by key, each made once.
#[derive(Debug)]
pub(super) struct Recent<K, V> {
    /// Sizes of the values held, together; the newest is held whatever its size.
    capacity: usize,
    size: fn(&V) -> usize,
    state: Mutex<RecentState<K, V>>,
}

#[derive(Debug)]
struct RecentState<K, V> {
    /// Counts uses.
    now: u64,
    entries: HashMap<K, Entry<V>>,
}

#[derive(Debug)]
struct Entry<V> {
    used: u64,
    /// That of the value; 0 while it is not made.
    size: usize,
    slot: Slot<V>,
}

impl<K: Clone + Eq + Hash, V: Clone> Recent<K, V> {
    pub(super) fn new(capacity: usize, size: fn(&V) -> usize) -> Self {
        Self { capacity, size, state: Mutex::new(RecentState { now: 0, entries: HashMap::new() }) }
    }

    /// Returns a value if it is held; waits where it is being made.
    pub(super) fn get(&self, key: &K) -> Option<V> {
        let slot = {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            state.now += 1;
            let now = state.now;
            let entry = state.entries.get_mut(key)?;
            entry.used = now;
            Arc::clone(&entry.slot)
        };
        slot.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Returns a value, making it if it is not held.
    pub(super) fn get_or_make<E>(&self, key: &K, make: impl FnOnce() -> Result<V, E>) -> Result<V, E> {
        let slot = self.slot(key);
        let mut value = slot.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(value) = &*value {
            return Ok(value.clone());
        }
        match make() {
            Ok(made) => {
                *value = Some(made.clone());
                drop(value);
                self.note_size(key, &slot, (self.size)(&made));
                Ok(made)
            }
            Err(error) => {
                self.remove(key, &slot);
                Err(error)
            }
        }
    }

    /// Holds a value that was made elsewhere.
    pub(super) fn put(&self, key: &K, value: V) {
        let (slot, size) = (self.slot(key), (self.size)(&value));
        *slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(value);
        self.note_size(key, &slot, size);
    }

    fn slot(&self, key: &K) -> Slot<V> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.now += 1;
        let now = state.now;
        let entry =
            state.entries.entry(key.clone()).or_insert_with(|| Entry { used: now, size: 0, slot: Slot::default() });
        entry.used = now;
        Arc::clone(&entry.slot)
    }

    /// Notes the size of a value just made, and lets go of those used longest ago, beyond the capacity.
    fn note_size(&self, key: &K, made: &Slot<V>, size: usize) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match state.entries.get_mut(key) {
            Some(entry) if Arc::ptr_eq(&entry.slot, made) => entry.size = size,
            // Forgotten meanwhile.
            _ => return,
        }
        while state.entries.values().map(|entry| entry.size).sum::<usize>() > self.capacity {
            let others = state.entries.iter().filter(|(other, entry)| entry.size > 0 && *other != key);
            let oldest = others.min_by_key(|(_, entry)| entry.used).map(|(key, _)| key.clone());
            let Some(oldest) = oldest else { return };
            state.entries.remove(&oldest);
        }
    }

    /// Removes a slot that could not be filled, so that it takes no value's place.
    fn remove(&self, key: &K, unfilled: &Slot<V>) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.entries.get(key).is_some_and(|entry| Arc::ptr_eq(&entry.slot, unfilled)) {
            state.entries.remove(key);
        }
    }

    /// Lets go of the values of some keys.
    pub(super) fn forget(&self, unwanted: impl Fn(&K) -> bool) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.entries.retain(|key, _| !unwanted(key));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether the value is held.
    fn is_held(recent: &Recent<u32, u32>, key: u32) -> bool {
        recent.get(&key) == Some(key)
    }

    #[test]
    fn the_most_recently_used_values_are_held() {
        let recent = Recent::new(2, |_| 1);
        for key in [1, 2, 1, 3] {
            assert_eq!(recent.get_or_make(&key, || Ok::<_, ()>(key)), Ok(key));
        }
        assert_eq!([1, 2, 3].map(|key| is_held(&recent, key)), [true, false, true]);
    }

    #[test]
    fn values_are_held_up_to_a_total_size_and_the_newest_whatever_its_size() {
        let recent = Recent::new(10, |value: &u32| *value as usize);
        for key in [5, 3, 2, 6] {
            recent.get_or_make(&key, || Ok::<_, ()>(key)).unwrap();
        }
        assert_eq!([5, 3, 2, 6].map(|key| recent.get(&key)), [None, None, Some(2), Some(6)]);
        recent.get_or_make(&11, || Ok::<_, ()>(11)).unwrap();
        assert_eq!([2, 6, 11].map(|key| recent.get(&key)), [None, None, Some(11)]);
    }

    #[test]
    fn values_that_cannot_be_made_take_no_place() {
        let recent = Recent::new(2, |_| 1);
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
