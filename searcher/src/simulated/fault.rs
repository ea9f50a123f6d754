//! Trials that go wrong on purpose, for trying out what a study makes of them.

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use crate::randomness::seed_for;
use crate::target::TargetError;

/// Trials are shared out among this many parts, of which each fault takes one.
const PARTS: u64 = 10;
/// What a greedy trial takes, in bytes: a block at a time, until it has them all.
const BLOCK_BYTES: usize = 32 << 20;
const BLOCKS: usize = 32;

/// A way to go wrong, in the first epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// The training loss is not a number.
    Nan,
    /// The process ends by a signal.
    Crash,
    /// The training panics.
    Panic,
    /// The training stands still.
    Hang,
    /// The training takes memory, 1 GiB if nobody stops it, and stands still.
    Greed,
}

impl Fault {
    /// Returns the fault of the trial with this seed, if it has one.
    #[must_use]
    pub fn of_trial(faults: &[Self], seed: u64) -> Option<Self> {
        let part = seed_for(seed, 0, "simulated fault") % PARTS;
        usize::try_from(part).ok().and_then(|part| faults.get(part)).copied()
    }

    /// Goes wrong.
    ///
    /// # Errors
    /// [`TargetError::Infeasible`] for a loss that is not a number.
    ///
    /// # Panics
    /// If that is the fault.
    pub fn happen(self, epoch: u32) -> Result<(), TargetError> {
        match self {
            Self::Nan => Err(TargetError::Infeasible { loss: f64::NAN, step: 0, epoch }),
            Self::Crash => std::process::abort(),
            Self::Panic => panic!("as it was asked to"),
            Self::Hang => stand_still(),
            Self::Greed => {
                let blocks: Vec<Vec<u8>> =
                    (0..BLOCKS).map(|block| vec![1 + u8::from(block % 2 == 0); BLOCK_BYTES]).collect();
                std::hint::black_box(&blocks);
                stand_still()
            }
        }
    }
}

/// Parks this thread for good; a parked thread may wake by chance.
fn stand_still() -> ! {
    loop {
        std::thread::park();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenth_of_the_trials_has_each_fault() {
        let faults = [Fault::Nan, Fault::Hang];
        let found: Vec<Option<Fault>> = (0..2000).map(|seed| Fault::of_trial(&faults, seed)).collect();
        let count = |fault| found.iter().filter(|found| **found == fault).count();
        for fault in faults {
            // 200 ± 6 standard deviations of a binomial.
            assert!((120..280).contains(&count(Some(fault))), "{fault:?}: {}", count(Some(fault)));
        }
        assert_eq!(Fault::of_trial(&[], 3), None);
        assert!(matches!(Fault::Nan.happen(1), Err(TargetError::Infeasible { epoch: 1, .. })));
    }
}
