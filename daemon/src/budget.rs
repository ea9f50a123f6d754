//! Memory that many share.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::error::Error;

/// Bytes a unit: what is reserved is rounded up to it, so that 32 bits count any memory.
const UNIT_BYTES: u64 = 1 << 10;

/// Memory that many share, in bytes.
#[derive(Debug)]
pub struct Budget {
    units: Arc<Semaphore>,
    units_max: u32,
    of: &'static str,
    flag: &'static str,
}

/// A part of a budget, given back when the last clone is dropped.
#[derive(Debug, Clone)]
pub struct Reservation(#[allow(dead_code, reason = "it is held")] Arc<OwnedSemaphorePermit>);

impl Budget {
    /// Makes a budget of `bytes_max` for what `of` names, which `flag` sets.
    #[must_use]
    pub fn new(of: &'static str, bytes_max: u64, flag: &'static str) -> Self {
        let units_max = units(bytes_max).min(u32::try_from(Semaphore::MAX_PERMITS >> 1).unwrap_or(u32::MAX));
        Self { units: Arc::new(Semaphore::new(units_max as usize)), units_max, of, flag }
    }

    /// Reserves `bytes`, or all where that is more.
    ///
    /// # Errors
    /// [`Error::Busy`] when others have too much of it.
    pub fn reserve(&self, bytes: u64) -> Result<Reservation, Error> {
        let wanted = units(bytes).min(self.units_max);
        match Arc::clone(&self.units).try_acquire_many_owned(wanted) {
            Ok(permit) => Ok(Reservation(Arc::new(permit))),
            Err(_full) => {
                let (free, max) =
                    (self.units.available_permits() as u64 * UNIT_BYTES, u64::from(self.units_max) * UNIT_BYTES);
                let (of, flag) = (self.of, self.flag);
                Err(Error::Busy(format!("{bytes} bytes of {of} are needed, and {free} of {max} are free ({flag})")))
            }
        }
    }
}

fn units(bytes: u64) -> u32 {
    u32::try_from(bytes.div_ceil(UNIT_BYTES)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_reserved_comes_back_and_one_may_have_all() {
        let budget = Budget::new("answers", 10 << 10, "--answer-bytes-max");
        let all = budget.reserve(u64::MAX).unwrap();
        let refused = budget.reserve(1).unwrap_err().to_string();
        assert!(
            refused.contains("answers") && refused.contains("0 of 10240 are free (--answer-bytes-max)"),
            "{refused}"
        );
        let other = all.clone();
        drop(all);
        assert!(budget.reserve(1).is_err(), "a clone still has it");
        drop(other);
        let parts: Vec<_> = (0..10).map(|_| budget.reserve(1).unwrap()).collect();
        assert!(budget.reserve(0).is_ok());
        assert!(budget.reserve(1).is_err());
        drop(parts);
        assert!(budget.reserve(10 << 10).is_ok());
    }
}
