//! The alias method (Walker 1977, Vose 1991) on integers: one table look-up and one comparison a draw.
//!
//! Weights become integers that sum to `len · 2^32` when a table is built, and everything after is exact integer
//! arithmetic: draws are bit-identical on every platform, a zero weight is never drawn and the probability of every
//! entry is known exactly.

/// Units one slot holds; a table holds `len · SLOT_UNITS` in all.
pub(crate) const SLOT_UNITS: u64 = 1 << 32;

/// Why weights do not make a distribution.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum AliasTableError {
    /// No weight is positive.
    #[error("every weight is zero: at least one must be positive")]
    NoMass,
    /// A weight is negative, NaN or infinite.
    #[error("weight {index} is {value}: weights must be finite and not negative")]
    InvalidWeight {
        /// Its position.
        index: usize,
        /// Its value.
        value: f64,
    },
    /// The sum of the weights overflows.
    #[error("the weights sum to infinity: scale them down")]
    Overflow,
    /// More entries than 32-bit slots can name.
    #[error("{0} weights are more than the 2^32 - 1 a table can hold")]
    TooMany(usize),
}

/// Turns weights into integers that sum to `len · SLOT_UNITS`, in O(len).
///
/// The total variation distance to the weights' shares is below 2^-32. A positive weight, however small, keeps at
/// least one unit of probability, 1 / (len · 2^32), and a zero weight has none.
///
/// # Errors
/// [`AliasTableError`] when the weights do not make a distribution.
pub(crate) fn apportion(weights: Vec<f64>) -> Result<Vec<u64>, AliasTableError> {
    if u32::try_from(weights.len()).is_err() {
        return Err(AliasTableError::TooMany(weights.len()));
    }
    let (mut sum, mut valid, mut mass) = (0.0, true, false);
    for &weight in &weights {
        sum += weight;
        valid &= weight.is_finite() && weight >= 0.0;
        mass |= weight > 0.0;
    }
    if !valid && let Some(index) = weights.iter().position(|weight| !(weight.is_finite() && *weight >= 0.0)) {
        return Err(AliasTableError::InvalidWeight { index, value: weights[index] });
    }
    if !mass {
        return Err(AliasTableError::NoMass);
    }
    if !sum.is_finite() {
        return Err(AliasTableError::Overflow);
    }
    let capacity = weights.len() as u64 * SLOT_UNITS;
    let mut total = 0;
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "within 0 ..= capacity")]
    let mut units: Vec<u64> = weights
        .into_iter()
        .map(|weight| {
            // Dividing first keeps the smallest weights from vanishing beside `capacity / sum`.
            let units = if weight > 0.0 { ((weight / sum * capacity as f64) as u64).max(1) } else { 0 };
            total += u128::from(units);
            units
        })
        .collect();
    settle(&mut units, total, capacity);
    Ok(units)
}

/// Spreads what rounding left over: one unit an entry, first entries first, round after round. Rounds that treat all
/// entries alike are taken at once.
fn settle(units: &mut [u64], total: u128, capacity: u64) {
    let capacity = u128::from(capacity);
    let small = |count: u128| u64::try_from(count).expect("rounding leaves less than the capacity over");
    let mut missing = small(capacity.saturating_sub(total));
    while missing > 0 {
        let takers = units.iter().filter(|unit| **unit > 0).count() as u64;
        let each = (missing / takers).max(1);
        for unit in units.iter_mut().filter(|unit| **unit > 0) {
            let given = each.min(missing);
            *unit += given;
            missing -= given;
            if missing == 0 {
                break;
            }
        }
    }
    let mut excess = small(total.saturating_sub(capacity));
    while excess > 0 {
        // An entry keeps its last unit.
        let (mut givers, mut smallest) = (0, u64::MAX);
        for unit in units.iter().filter(|unit| **unit > 1) {
            (givers, smallest) = (givers + 1, smallest.min(*unit));
        }
        let each = (excess / givers).clamp(1, smallest - 1);
        for unit in units.iter_mut().filter(|unit| **unit > 1) {
            let taken = each.min(excess);
            *unit -= taken;
            excess -= taken;
        }
    }
}

/// Fills every slot with one entry up to a threshold and the alias that tops it up, in Vose's order; calls `fill` with slot,
/// threshold and alias. Slots it is not called for are filled by their own entry alone.
///
/// Vose keeps a stack of entries that do not fill their slots and one of those that overflow. Both begin in ascending
/// order, and all that is pushed later is an entry that does not overflow any more, to be popped at once. So it suffices to
/// go down through both kinds of entries, which two bits of a word tell apart.
pub(crate) fn pair(units: &[u64], mut fill: impl FnMut(usize, u32, u32)) {
    let small: Vec<u64> = units
        .chunks(64)
        .map(|units| units.iter().rev().fold(0, |bits, &unit| bits << 1 | u64::from(unit < SLOT_UNITS)))
        .collect();
    let mut givers = Descending::new(&small, !0).filter(|&entry| entry < units.len());
    let mut next_giver = || givers.next().expect("integer mass is conserved: a deficit has a surplus");
    #[allow(clippy::cast_possible_truncation, reason = "entries are checked against 2^32 when apportioned")]
    let mut fill = |slot: usize, threshold: u64, alias: usize| fill(slot, threshold as u32, alias as u32);
    let mut giver = next_giver();
    let mut rest = units[giver];
    for taker in Descending::new(&small, 0) {
        fill(taker, units[taker], giver);
        rest -= SLOT_UNITS - units[taker];
        while rest < SLOT_UNITS {
            let next = next_giver();
            fill(giver, rest, next);
            rest = units[next] - (SLOT_UNITS - rest);
            giver = next;
        }
    }
}

/// The numbers of the bits that are set in words after inverting those in `flip`, descending.
struct Descending<'a> {
    words: &'a [u64],
    flip: u64,
    /// What is left of the word behind `words`.
    word: u64,
}

impl<'a> Descending<'a> {
    fn new(words: &'a [u64], flip: u64) -> Self {
        Self { words, flip, word: 0 }
    }
}

impl Iterator for Descending<'_> {
    type Item = usize;

    #[inline]
    fn next(&mut self) -> Option<usize> {
        while self.word == 0 {
            let (last, before) = self.words.split_last()?;
            (self.words, self.word) = (before, last ^ self.flip);
        }
        let bit = self.word.ilog2();
        self.word ^= 1 << bit;
        Some(64 * self.words.len() + bit as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Sums what every slot gives to each entry.
    fn realised(units: &[u64]) -> Vec<u64> {
        let mut slots: Vec<(u64, usize)> = (0..units.len()).map(|slot| (0, slot)).collect();
        pair(units, |slot, threshold, alias| slots[slot] = (u64::from(threshold), alias as usize));
        let mut realised = vec![0; units.len()];
        for (slot, (threshold, alias)) in slots.into_iter().enumerate() {
            realised[slot] += threshold;
            realised[alias] += SLOT_UNITS - threshold;
        }
        realised
    }

    proptest! {
        #[test]
        fn slots_realise_the_units_exactly(exponents in prop::collection::vec(prop::option::of(-15.0..15.0f64), 1..300)) {
            let weights: Vec<f64> = exponents.iter().map(|e| e.map_or(0.0, |e| 10f64.powf(e))).collect();
            match apportion(weights.clone()) {
                Err(error) => {
                    prop_assert_eq!(error, AliasTableError::NoMass);
                    prop_assert!(weights.iter().all(|&w| w <= 0.0));
                }
                Ok(units) => {
                    prop_assert_eq!(&realised(&units), &units);
                    let sum: f64 = weights.iter().sum();
                    let mut variation = 0.0;
                    for (&units, weight) in units.iter().zip(&weights) {
                        let p = units as f64 / (weights.len() as f64 * SLOT_UNITS as f64);
                        variation += 0.5 * (p - weight / sum).abs();
                        prop_assert_eq!(p > 0.0, *weight > 0.0);
                    }
                    prop_assert!(variation < 1.0 / SLOT_UNITS as f64, "total variation {}", variation);
                }
            }
        }

        /// The stacks of Vose's method, as published.
        #[test]
        fn pairs_are_those_of_voses_stacks(weights in prop::collection::vec(0.0..1.0f64, 1..300)) {
            let units = apportion(weights.into_iter().map(|w| w + 1e-9).collect()).unwrap();
            let (mut small, mut large) = (Vec::new(), Vec::new());
            for (entry, &unit) in units.iter().enumerate() {
                if unit < SLOT_UNITS { small.push(entry) } else { large.push(entry) }
            }
            let (mut left, mut expected) = (units.clone(), Vec::new());
            while let Some(taker) = small.pop() {
                let giver = *large.last().unwrap();
                expected.push((taker, left[taker], giver));
                left[giver] -= SLOT_UNITS - left[taker];
                if left[giver] < SLOT_UNITS {
                    small.push(large.pop().unwrap());
                }
            }
            let mut pairs = Vec::new();
            pair(&units, |slot, threshold, alias| pairs.push((slot, u64::from(threshold), alias as usize)));
            prop_assert_eq!(pairs, expected);
        }
    }

    /// One entry pays for a million that round up to one unit; taken unit by unit, that would be 10^12 operations.
    #[test]
    fn a_million_vanishing_weights_beside_a_large_one_are_settled_at_once() {
        let mut weights = vec![1e-30; 1_000_000];
        weights[17] = 1.0;
        let units = apportion(weights).unwrap();
        assert_eq!(realised(&units), units);
        assert!(units.iter().enumerate().all(|(index, &unit)| (unit == 1) == (index != 17)));
    }

    #[test]
    fn invalid_weights_are_named() {
        let refused = |weights: &[f64]| apportion(weights.to_vec()).unwrap_err();
        assert_eq!(refused(&[0.0, 0.0]), AliasTableError::NoMass);
        assert_eq!(refused(&[]), AliasTableError::NoMass);
        assert!(matches!(refused(&[1.0, f64::NAN]), AliasTableError::InvalidWeight { index: 1, .. }));
        assert!(matches!(refused(&[1.0, -1.0]), AliasTableError::InvalidWeight { index: 1, .. }));
        assert_eq!(refused(&[f64::MAX, f64::MAX]), AliasTableError::Overflow);
    }
}
