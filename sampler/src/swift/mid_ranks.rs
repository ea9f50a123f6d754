//! T, eq. (10), by mid-ranks: half of the mass that ties with a cell lies below it.

use super::grid::{self, EXACT_UNITS};
use crate::piecewise::PiecewiseLinear;

/// Digits of a radix sort.
const DIGIT_BITS: u32 = 11;

/// T of all cells, as a table, and the weight H(T) of each.
pub(super) struct Ranked {
    /// Distinct G, ascending, and T at each.
    pub(super) combined: Vec<f64>,
    pub(super) transformed: Vec<f64>,
    pub(super) weights: Vec<f64>,
}

/// Ranks cells by sorting them, G rounded to the exact grid, neighbours tying; in O(cells · log cells).
#[allow(clippy::cast_possible_truncation, reason = "a cell's number has 32 bits")]
pub(super) fn by_sorting(combined: &[f64], mass: &[f64], step: &PiecewiseLinear) -> Ranked {
    let keys: Vec<i64> = combined.iter().map(|&combined| grid::exact(combined)).collect();
    let lowest = keys.iter().copied().min().expect("there is a cell");
    let highest = keys.iter().copied().max().expect("there is a cell");
    let cell_bits = (keys.len() as u64).next_power_of_two().ilog2();
    let above = highest.abs_diff(lowest);
    if above >> (63 - cell_bits) == 0 {
        // A key and its cell fit a word.
        let words = keys.iter().zip(0u64..).map(|(key, cell)| key.abs_diff(lowest) << cell_bits | cell).collect();
        let words = sorted(words, cell_bits, cell_bits + u64::BITS - above.leading_zeros());
        let cells = words.iter().map(|word| (word >> cell_bits, (word & ((1 << cell_bits) - 1)) as usize));
        ranked(cells, lowest, mass, step)
    } else {
        let mut cells: Vec<(u64, usize)> = keys.iter().map(|key| key.abs_diff(lowest)).zip(0..).collect();
        cells.sort_unstable();
        ranked(cells.iter().copied(), lowest, mass, step)
    }
}

/// Ranks cells that come in ascending order, each with how far its key is above the lowest.
fn ranked(
    cells: impl Iterator<Item = (u64, usize)> + Clone,
    lowest: i64,
    mass: &[f64],
    step: &PiecewiseLinear,
) -> Ranked {
    let total: f64 = cells.clone().map(|(_, cell)| mass[cell]).sum();
    let (mut combined, mut transformed) = (Vec::with_capacity(mass.len()), Vec::with_capacity(mass.len()));
    let mut weights = vec![0.0; mass.len()];
    let mut step = step.ascending();
    let (mut below, mut tied) = (0.0, Vec::new());
    let mut cells = cells.peekable();
    while let Some((first, cell)) = cells.next() {
        let (mut last, mut own) = (first, mass[cell]);
        tied.clear();
        while let Some((key, cell)) = cells.next_if(|&(key, _)| key - last <= 1) {
            last = key;
            own += mass[cell];
            tied.push(cell);
        }
        let t = ((below + 0.5 * own) / total).min(1.0);
        let weight = step.at(t);
        weights[cell] = weight;
        tied.iter().for_each(|&cell| weights[cell] = weight);
        below += own;
        combined.push((lowest + i64::try_from(first).expect("a difference of keys of 2^40 √N")) as f64 / EXACT_UNITS);
        transformed.push(t);
    }
    Ranked { combined, transformed, weights }
}

/// Sorts words by their bits from `low` to `high`, which tell apart all of them that are not in order already.
#[allow(clippy::cast_possible_truncation, reason = "a digit has 11 bits")]
fn sorted(mut words: Vec<u64>, low: u32, high: u32) -> Vec<u64> {
    let mut other = vec![0; words.len()];
    for shift in (low..high).step_by(DIGIT_BITS as usize) {
        let digit = |word: u64| (word >> shift) as usize & ((1 << DIGIT_BITS) - 1);
        let mut ends = [0usize; 1 << DIGIT_BITS];
        words.iter().for_each(|&word| ends[digit(word)] += 1);
        let mut end = 0;
        for slot in &mut ends {
            (*slot, end) = (end, end + *slot);
        }
        for &word in &words {
            let place = &mut ends[digit(word)];
            other[*place] = word;
            *place += 1;
        }
        std::mem::swap(&mut words, &mut other);
    }
    words
}

/// Ranks cells by counting them on the coarse grid, in O(cells).
pub(super) fn by_counting(mut combined: Vec<f64>, mass: &[f64], step: &PiecewiseLinear) -> Ranked {
    let mut bins: Vec<u32> = combined.iter().map(|&combined| grid::coarse(combined)).collect();
    let lowest = bins.iter().copied().min().expect("there is a cell");
    let highest = bins.iter().copied().max().expect("there is a cell");
    // Mass first, weights then.
    let mut of_bin = vec![0.0; (highest - lowest) as usize + 1];
    for (bin, mass) in bins.iter_mut().zip(mass) {
        *bin -= lowest;
        of_bin[*bin as usize] += mass;
    }
    let total: f64 = of_bin.iter().sum();
    let (mut centres, mut transformed) = (Vec::new(), Vec::new());
    let mut step = step.ascending();
    let mut below = 0.0;
    for (bin, slot) in (lowest..).zip(&mut of_bin) {
        let own = *slot;
        if own > 0.0 {
            let t = ((below + 0.5 * own) / total).min(1.0);
            *slot = step.at(t);
            below += own;
            centres.push(grid::coarse_centre(bin));
            transformed.push(t);
        }
    }
    for (weight, bin) in combined.iter_mut().zip(bins) {
        *weight = of_bin[bin as usize];
    }
    Ranked { combined: centres, transformed, weights: combined }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn step() -> PiecewiseLinear {
        PiecewiseLinear::new(&[0.3, 0.6], &[0.1, 1.0, 0.4, 0.8]).unwrap()
    }

    proptest! {
        #[test]
        fn words_are_sorted_by_the_bits_asked_for(words in prop::collection::vec(any::<u64>(), 0..3000), low in 0u32..30) {
            let key = |word: &u64| (word & ((1 << 50) - 1)) >> low;
            let mut expected = words.clone();
            expected.sort_by_key(key);
            let masked = |words: Vec<u64>| -> Vec<u64> { words.into_iter().map(|word| word & ((1 << 50) - 1)).collect() };
            prop_assert_eq!(sorted(masked(words), low, 50), masked(expected));
        }

        /// Where cells are few bins apart, or many tie, both ways of ranking give the same.
        #[test]
        fn counting_gives_the_ranks_of_sorting_where_bins_tell_all_cells_apart(
            cells in prop::collection::vec((0u32..300, 0.1..2.0f64), 1..400),
        ) {
            let combined: Vec<f64> = cells.iter().map(|&(at, _)| f64::from(at) * 0.003 - 0.4).collect();
            let mass: Vec<f64> = cells.iter().map(|&(_, mass)| mass).collect();
            let (sorted, counted) = (by_sorting(&combined, &mass, &step()), by_counting(combined, &mass, &step()));
            for (a, b) in [(&sorted.transformed, &counted.transformed), (&sorted.weights, &counted.weights)] {
                prop_assert_eq!(a.len(), b.len());
                prop_assert!(a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-9));
            }
        }
    }

    /// Keys that do not fit a word beside their cells.
    #[test]
    fn sums_of_very_many_features_are_ranked_too() {
        let (combined, mass) = ([3e6, -3e6, 0.0, 3e6], [1.0, 1.0, 1.0, 1.0]);
        let ranked = by_sorting(&combined, &mass, &step());
        assert_eq!(ranked.combined, [-3e6, 0.0, 3e6]);
        assert_eq!(ranked.transformed, [0.125, 0.375, 0.75]);
    }
}
