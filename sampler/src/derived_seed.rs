//! Seeds that are a pure function of another seed and of what they are for.

use crate::philox::{halves, join, philox4x32_10};

/// Derives a seed from a study's seed, a trial's number and what the numbers are for.
///
/// The purpose is hashed (FNV-1a) into the counter of one Philox block keyed by the study's seed, so seeds of
/// different trials and purposes are unrelated, and the same on every platform and in every process.
#[must_use]
pub fn seed_for(study_seed: u64, number: u64, purpose: &str) -> u64 {
    let tag = purpose
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    let [n0, n1] = halves(number);
    let [t0, t1] = halves(tag);
    let [high, low, ..] = philox4x32_10([n0, n1, t0, t1], halves(study_seed));
    join(high, low)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_differ_by_study_trial_and_purpose_and_are_frozen() {
        let seeds = [seed_for(0, 0, "a"), seed_for(1, 0, "a"), seed_for(0, 1, "a"), seed_for(0, 0, "b")];
        for (i, seed) in seeds.iter().enumerate() {
            assert!(!seeds[..i].contains(seed));
        }
        assert_eq!(
            [seed_for(7, 3, "draws"), seed_for(1 << 40, 1 << 33, "training")],
            [0x2df6_bb28_21a0_b899, 0x6017_8fb0_29ed_88c3]
        );
    }
}
