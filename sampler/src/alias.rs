//! The alias method (Walker 1977, Vose 1991) on integers: one table look-up and one comparison a draw.
//!
//! Weights become integers that sum to `len · 2^32` when the table is built, and everything after is exact integer
//! arithmetic: draws are bit-identical on every platform, a zero weight is never drawn and the probability of every
//! entry is known exactly.

/// Units one slot holds; the table holds `len · SLOT_UNITS` in all.
const SLOT_UNITS: u64 = 1 << 32;

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

/// A discrete distribution over `0 .. len`, drawn in constant time.
#[derive(Debug, Clone)]
pub struct AliasTable {
    /// Threshold in the low, alias in the high 32 bits.
    slots: Vec<u64>,
    /// Mass of all entries before each, and of all: from 0 to `len · SLOT_UNITS`.
    cumulative: Vec<u64>,
    /// The entry of every `SLOT_UNITS`-th unit, and the last entry: units between two of them belong to an entry from the
    /// one to the other, few on average.
    guide: Vec<u32>,
}

impl AliasTable {
    /// Builds the table in O(len).
    ///
    /// The total variation distance to the weights' shares is below 2^-32. A positive weight, however small, keeps at
    /// least one unit of probability, 1 / (len · 2^32), and a zero weight has none.
    ///
    /// # Errors
    /// [`AliasTableError`] when the weights do not make a distribution.
    pub fn new(weights: &[f64]) -> Result<Self, AliasTableError> {
        let units = apportion(weights)?;
        let mut cumulative = vec![0];
        cumulative.extend(units.iter().scan(0, |sum, unit| {
            *sum += unit;
            Some(*sum)
        }));
        Ok(Self { slots: pair(units), guide: guide(&cumulative), cumulative })
    }

    /// Returns the number of entries.
    #[must_use]
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// Returns whether the table has no entries; never true of a table that was built.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// Returns the exact probability with which entry `index` is drawn.
    ///
    /// # Panics
    /// When `index` is out of range.
    #[must_use]
    pub fn probability(&self, index: usize) -> f64 {
        let units = self.cumulative[index + 1] - self.cumulative[index];
        units as f64 / (self.len() as f64 * SLOT_UNITS as f64)
    }

    /// Returns the units of all entries together.
    pub(crate) fn total(&self) -> u64 {
        self.cumulative[self.len()]
    }

    /// Returns the units of all entries before `index`.
    #[inline]
    pub(crate) fn units_before(&self, index: usize) -> u64 {
        self.cumulative[index]
    }

    /// Returns the entry that unit number `unit` belongs to, in O(log len) and on average O(1); units are numbered in the
    /// entries' order.
    #[inline]
    pub(crate) fn entry_of_unit(&self, unit: u64) -> usize {
        #[allow(clippy::cast_possible_truncation, reason = "a slot's number has 32 bits")]
        let slot = (unit / SLOT_UNITS) as usize;
        let (first, last) = (self.guide[slot] as usize, self.guide[slot + 1] as usize);
        first + self.cumulative[first + 1..=last].partition_point(|&before| before <= unit)
    }

    /// Maps a uniform 64-bit word to an entry.
    #[inline]
    #[must_use]
    pub fn entry(&self, word: u64) -> usize {
        let product = u128::from(word) * self.slots.len() as u128;
        let slot = (product >> 64) as u64;
        #[allow(clippy::cast_possible_truncation, reason = "the top half of the low word, 32 bits")]
        let fraction = ((product as u64) >> 32) as u32;
        let packed = self.slots[slot as usize];
        #[allow(clippy::cast_possible_truncation, reason = "the low half is the threshold")]
        let threshold = packed as u32;
        if fraction < threshold { slot as usize } else { (packed >> 32) as usize }
    }
}

/// Turns weights into integers that sum to `len · SLOT_UNITS`.
fn apportion(weights: &[f64]) -> Result<Vec<u64>, AliasTableError> {
    if u32::try_from(weights.len()).is_err() {
        return Err(AliasTableError::TooMany(weights.len()));
    }
    if let Some(index) = weights.iter().position(|weight| !(weight.is_finite() && *weight >= 0.0)) {
        return Err(AliasTableError::InvalidWeight { index, value: weights[index] });
    }
    let largest = weights.iter().copied().fold(0.0, f64::max);
    if largest <= 0.0 {
        return Err(AliasTableError::NoMass);
    }
    let sum: f64 = weights.iter().sum();
    if !sum.is_finite() {
        return Err(AliasTableError::Overflow);
    }
    let capacity = weights.len() as u64 * SLOT_UNITS;
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "within 0 ..= capacity")]
    let mut units: Vec<u64> = weights
        .iter()
        // Dividing first keeps the smallest weights from vanishing beside `capacity / sum`.
        .map(|&weight| if weight > 0.0 { ((weight / sum * capacity as f64) as u64).max(1) } else { 0 })
        .collect();
    settle(&mut units, capacity);
    Ok(units)
}

/// Spreads what rounding left over: one unit an entry, first entries first, round after round. Rounds that treat all
/// entries alike are taken at once.
fn settle(units: &mut [u64], capacity: u64) {
    let total: u128 = units.iter().map(|&unit| u128::from(unit)).sum();
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

/// Returns the entry of every `SLOT_UNITS`-th unit, and the last entry.
fn guide(cumulative: &[u64]) -> Vec<u32> {
    let last = u32::try_from(cumulative.len() - 2).expect("checked against 2^32 when apportioned");
    let mut entry = 0;
    let entries = (0..u64::from(last) + 1).map(|slot| {
        while cumulative[entry as usize + 1] <= slot * SLOT_UNITS {
            entry += 1;
        }
        entry
    });
    entries.chain([last]).collect()
}

/// Fills every slot with one entry and the alias that tops it up, in Vose's order.
fn pair(mut units: Vec<u64>) -> Vec<u64> {
    let index = |position: usize| u32::try_from(position).expect("checked against 2^32 when apportioned");
    let (mut small, mut large) = (Vec::new(), Vec::new());
    for (position, &unit) in units.iter().enumerate() {
        if unit < SLOT_UNITS { small.push(index(position)) } else { large.push(index(position)) }
    }
    // An entry that fills its slot alone is its own alias, whatever the threshold.
    let mut slots: Vec<u64> = (0..units.len()).map(|position| u64::from(index(position)) << 32).collect();
    while let Some(taker) = small.pop() {
        let giver = *large.last().expect("integer mass is conserved: a deficit has a surplus");
        slots[taker as usize] = u64::from(giver) << 32 | units[taker as usize];
        let rest = units[giver as usize] - (SLOT_UNITS - units[taker as usize]);
        units[giver as usize] = rest;
        if rest < SLOT_UNITS {
            large.pop();
            small.push(giver);
        }
    }
    slots
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Sums what every slot gives to each entry.
    fn realised(table: &AliasTable) -> Vec<u64> {
        let mut units = vec![0; table.len()];
        for (slot, &packed) in table.slots.iter().enumerate() {
            let threshold = packed & 0xffff_ffff;
            units[slot] += threshold;
            units[(packed >> 32) as usize] += SLOT_UNITS - threshold;
        }
        units
    }

    fn units(table: &AliasTable) -> Vec<u64> {
        table.cumulative.windows(2).map(|pair| pair[1] - pair[0]).collect()
    }

    proptest! {
        #[test]
        fn the_table_realises_its_units_exactly(exponents in prop::collection::vec(prop::option::of(-15.0..15.0f64), 1..300)) {
            let weights: Vec<f64> = exponents.iter().map(|e| e.map_or(0.0, |e| 10f64.powf(e))).collect();
            match AliasTable::new(&weights) {
                Err(error) => {
                    prop_assert_eq!(error, AliasTableError::NoMass);
                    prop_assert!(weights.iter().all(|&w| w <= 0.0));
                }
                Ok(table) => {
                    prop_assert_eq!(realised(&table), units(&table));
                    for unit in table.cumulative.iter().flat_map(|&edge| [edge.saturating_sub(1), edge]) {
                        if unit < table.total() {
                            let entry = table.entry_of_unit(unit);
                            prop_assert!((table.cumulative[entry]..table.cumulative[entry + 1]).contains(&unit));
                        }
                    }
                    let sum: f64 = weights.iter().sum();
                    let mut variation = 0.0;
                    for (index, weight) in weights.iter().enumerate() {
                        let p = table.probability(index);
                        variation += 0.5 * (p - weight / sum).abs();
                        prop_assert_eq!(p > 0.0, *weight > 0.0);
                    }
                    prop_assert!(variation < 1.0 / SLOT_UNITS as f64, "total variation {}", variation);
                }
            }
        }
    }

    /// One entry pays for a million that round up to one unit; taken unit by unit, that would be 10^12 operations.
    #[test]
    fn a_million_vanishing_weights_beside_a_large_one_are_settled_at_once() {
        let mut weights = vec![1e-30; 1_000_000];
        weights[17] = 1.0;
        let table = AliasTable::new(&weights).unwrap();
        assert_eq!(realised(&table), units(&table));
        assert!(units(&table).iter().enumerate().all(|(index, &unit)| (unit == 1) == (index != 17)));
    }

    #[test]
    fn invalid_weights_are_named() {
        assert_eq!(AliasTable::new(&[0.0, 0.0]).unwrap_err(), AliasTableError::NoMass);
        assert_eq!(AliasTable::new(&[]).unwrap_err(), AliasTableError::NoMass);
        assert!(matches!(AliasTable::new(&[1.0, f64::NAN]), Err(AliasTableError::InvalidWeight { index: 1, .. })));
        assert!(matches!(AliasTable::new(&[1.0, -1.0]), Err(AliasTableError::InvalidWeight { index: 1, .. })));
        assert_eq!(AliasTable::new(&[f64::MAX, f64::MAX]).unwrap_err(), AliasTableError::Overflow);
    }

    #[test]
    fn the_first_and_last_words_stay_in_range() {
        let table = AliasTable::new(&[1.0, 0.0, 3.0]).unwrap();
        assert_ne!(table.entry(0), 1);
        assert_ne!(table.entry(u64::MAX), 1);
        assert!(table.entry(u64::MAX) < 3);
    }
}
