//! What every draw looks up: the alias table over the cells, and where the examples of each cell are.
//!
//! Draws are taken in blocks and each block in stages, so that the memory accesses of one draw do not wait for those of
//! another: a stage asks for the memory that the next one reads.

use std::hint::select_unpredictable;
use std::sync::OnceLock;

use crate::alias::{self, SLOT_UNITS};
use crate::instruction_set::{InstructionSet, Kernel, prefetch};
use crate::philox::{LANES, Seed, draw_words_block};
use crate::unit_table::UnitTable;

/// Draws that go through a stage together: enough accesses to wait for at once, in arrays that stay in the first-level
/// cache.
const BLOCK_DRAWS: usize = 256;
/// The low half of a 64-bit word.
const LOW: u64 = 0xffff_ffff;

/// A cell and the slot of the same number, together as a draw often needs both.
#[derive(Debug, Clone, Copy)]
#[repr(C, align(16))]
struct Slot {
    /// Fractions of the slot below it belong to the cell of its own number, others to the alias.
    threshold: u32,
    alias: u32,
    /// The cell's first place in the order of rows; it ends where the next begins.
    start: u32,
    /// The probability of one example of the cell.
    probability: f32,
}

/// A distribution over the examples of cells.
#[derive(Debug, Clone)]
pub(crate) struct DrawTable {
    /// One a cell, and one where the last cell ends.
    slots: Box<[Slot]>,
    effective_sample_size: f64,
    /// Built when first needed: independent draws do without.
    units: OnceLock<UnitTable>,
}

impl DrawTable {
    /// Builds the table of cells with these units and so many examples, which begin, and end, at `starts`; in O(cells).
    #[allow(clippy::cast_possible_truncation, reason = "cells are fewer than 2^32; f32 goes on the wire")]
    pub(crate) fn new(units: &[u64], counts: impl Iterator<Item = u64>, mut starts: impl Iterator<Item = u32>) -> Self {
        let total = units.len() as f64 * SLOT_UNITS as f64;
        let mut squares = 0.0;
        let mut slots = Vec::with_capacity(units.len() + 1);
        let cells = units.iter().zip(counts).zip(&mut starts).enumerate();
        slots.extend(cells.map(|(cell, ((&units, count), start))| {
            let count = count as f64;
            let probability = units as f64 / total / count;
            squares += probability * probability * count;
            Slot { threshold: 0, alias: cell as u32, start, probability: probability as f32 }
        }));
        let end = starts.next().expect("the last cell ends somewhere");
        slots.push(Slot { threshold: 0, alias: 0, start: end, probability: 0.0 });
        alias::pair(units, |slot, threshold, alias| {
            slots[slot].threshold = threshold;
            slots[slot].alias = alias;
        });
        Self { slots: slots.into_boxed_slice(), effective_sample_size: squares.recip(), units: OnceLock::new() }
    }

    /// Returns the number of cells.
    pub(crate) fn len(&self) -> usize {
        self.slots.len() - 1
    }

    /// Returns 1 / Σ p² over examples.
    pub(crate) fn effective_sample_size(&self) -> f64 {
        self.effective_sample_size
    }

    /// Returns the units of each cell, in O(1); in O(cells) when first called.
    pub(crate) fn units(&self) -> &UnitTable {
        self.units.get_or_init(|| {
            let mut units = vec![0; self.len()];
            for (cell, slot) in self.slots[..self.len()].iter().enumerate() {
                units[cell] += u64::from(slot.threshold);
                units[slot.alias as usize] += SLOT_UNITS - u64::from(slot.threshold);
            }
            UnitTable::new(&units, self.slots.iter().map(|slot| (slot.start, slot.probability)))
        })
    }

    /// Maps a uniform 64-bit word to a cell.
    #[allow(clippy::cast_possible_truncation, reason = "halves of words")]
    pub(crate) fn cell(&self, word: u64) -> usize {
        let product = u128::from(word) * self.len() as u128;
        let slot = (product >> 64) as usize;
        let Slot { threshold, alias, .. } = self.slots[slot];
        if (product as u64 >> 32) as u32 >= threshold { alias as usize } else { slot }
    }

    /// Returns the probability of one example of `cell`, as it is handed out.
    #[inline]
    pub(crate) fn probability(&self, cell: usize) -> f32 {
        self.slots[cell].probability
    }

    /// Writes the draws from number `first` of a job on, as rows and their probabilities; `order` holds the row at each
    /// place, `None` where each is its own.
    pub(crate) fn draw_into(
        &self,
        instructions: InstructionSet,
        order: Option<&[u32]>,
        seed: Seed,
        first: u64,
        indices: &mut [u32],
        probabilities: &mut [f32],
    ) {
        let draws = IndependentDraws { slots: &self.slots, order, seed, first, indices, probabilities };
        instructions.run(draws);
    }
}

struct IndependentDraws<'a> {
    slots: &'a [Slot],
    order: Option<&'a [u32]>,
    seed: Seed,
    first: u64,
    indices: &'a mut [u32],
    probabilities: &'a mut [f32],
}

impl Kernel for IndependentDraws<'_> {
    #[inline(always)]
    fn run(self) {
        let Self { slots, order, seed, first, indices, probabilities } = self;
        let mut block = Block {
            words: [[0; BLOCK_DRAWS]; 4],
            slot: [0; BLOCK_DRAWS],
            fraction: [0; BLOCK_DRAWS],
            word: [0; BLOCK_DRAWS],
        };
        let blocks = indices.chunks_mut(BLOCK_DRAWS).zip(probabilities.chunks_mut(BLOCK_DRAWS));
        for (first, (indices, probabilities)) in
            (0..).step_by(BLOCK_DRAWS).map(|draw| first.wrapping_add(draw)).zip(blocks)
        {
            block.choose_slots(slots, seed, first, indices.len());
            block.choose_cells(slots, indices);
            block.choose_places(slots, order, indices, probabilities);
            if let Some(order) = order {
                for index in indices {
                    *index = order[*index as usize];
                }
            }
        }
    }
}

/// The words of a block of draws.
struct Block {
    words: [[u64; BLOCK_DRAWS]; 4],
    slot: [u32; BLOCK_DRAWS],
    /// Where in its slot a draw falls.
    fraction: [u32; BLOCK_DRAWS],
    /// The word that chooses the example.
    word: [u64; BLOCK_DRAWS],
}

impl Block {
    #[inline(always)]
    #[allow(clippy::cast_possible_truncation, reason = "halves of a word")]
    #[allow(clippy::needless_range_loop, reason = "arrays side by side, the shape compilers vectorise")]
    fn choose_slots(&mut self, slots: &[Slot], seed: Seed, first: u64, draws: usize) {
        let groups = draws.div_ceil(LANES);
        for group in 0..groups {
            let words = draw_words_block(seed, first.wrapping_add((group * LANES) as u64));
            for (block, words) in self.words.iter_mut().zip(words) {
                block.as_chunks_mut().0[group] = words;
            }
        }
        // Below 2^32, as the vector units' multiplication asks for.
        let len = (slots.len() - 1) as u64 & LOW;
        let [high, low, position_high, position_low] = &self.words;
        for draw in 0..groups * LANES {
            // The 64-bit word times `len` has the slot in its high half, and the fraction next to it.
            let product = (high[draw] & LOW) * len + (((low[draw] & LOW) * len) >> 32);
            self.slot[draw] = (product >> 32) as u32;
            self.fraction[draw] = product as u32;
            self.word[draw] = position_high[draw] << 32 | position_low[draw] & LOW;
        }
        for &slot in &self.slot[..draws] {
            prefetch(slots, slot as usize);
        }
    }

    /// Puts the cells into `cells`.
    #[inline(always)]
    fn choose_cells(&self, slots: &[Slot], cells: &mut [u32]) {
        for (cell, (&slot, &fraction)) in cells.iter_mut().zip(self.slot.iter().zip(&self.fraction)) {
            let Slot { threshold, alias, .. } = slots[slot as usize];
            // One as likely as the other: a branch would be mispredicted half of the time.
            *cell = select_unpredictable(fraction < threshold, slot, alias);
            prefetch(slots, *cell as usize);
        }
    }

    /// Puts places into the stead of cells.
    #[inline(always)]
    #[allow(clippy::cast_possible_truncation, reason = "a position is below the cell's count")]
    fn choose_places(&self, slots: &[Slot], order: Option<&[u32]>, cells: &mut [u32], probabilities: &mut [f32]) {
        for ((cell, probability), &word) in cells.iter_mut().zip(probabilities).zip(&self.word) {
            let [here, next] = [slots[*cell as usize], slots[*cell as usize + 1]];
            let position = (u128::from(word) * u128::from(next.start - here.start)) >> 64;
            *cell = here.start + position as u32;
            *probability = here.probability;
            if let Some(order) = order {
                prefetch(order, *cell as usize);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::philox::draw_words;
    use proptest::prelude::*;

    /// One draw, as it is defined.
    fn defined(table: &DrawTable, order: Option<&[u32]>, seed: Seed, draw: u64) -> (u32, u32) {
        let [cell, position] = draw_words(seed, draw);
        let cell = table.cell(cell);
        let [here, next] = [table.slots[cell], table.slots[cell + 1]];
        let position = (u128::from(position) * u128::from(next.start - here.start)) >> 64;
        let place = here.start + u32::try_from(position).unwrap();
        (order.map_or(place, |order| order[place as usize]), here.probability.to_bits())
    }

    proptest! {
        /// Of every instruction set that the machine has.
        #[test]
        fn blocks_are_the_draws_as_defined(
            cells in prop::collection::vec((0u32..4, 1u32..2000), 1..200),
            seed: u64,
            first in prop_oneof![any::<u64>(), (u64::from(u32::MAX) - 500)..(1 << 32)],
            draws in 1usize..700,
            ordered: bool,
        ) {
            prop_assume!(cells.iter().any(|&(weight, _)| weight > 0));
            let first = first.min(u64::MAX - 1000);
            let starts: Vec<u32> = std::iter::once(0)
                .chain(cells.iter().scan(0, |end, &(_, count)| { *end += count; Some(*end) }))
                .collect();
            let weights = cells.iter().map(|&(weight, count)| f64::from(weight) * f64::from(count)).collect();
            let units = alias::apportion(weights).unwrap();
            let counts = cells.iter().map(|&(_, count)| u64::from(count));
            let table = DrawTable::new(&units, counts, starts.iter().copied());
            let total = units.iter().sum::<u64>() as f64;
            for (cell, &units) in units.iter().enumerate() {
                prop_assert_eq!(table.units().share(cell).to_bits(), (units as f64 / total).to_bits());
            }
            let order: Vec<u32> = (0..starts[cells.len()]).rev().collect();
            let order = ordered.then_some(&order[..]);
            let expected: Vec<_> = (first..).take(draws).map(|draw| defined(&table, order, Seed(seed), draw)).collect();
            for instructions in InstructionSet::available() {
                let (mut indices, mut probabilities) = (vec![0; draws], vec![0.0; draws]);
                table.draw_into(instructions, order, Seed(seed), first, &mut indices, &mut probabilities);
                let drawn: Vec<_> = indices.into_iter().zip(probabilities.into_iter().map(f32::to_bits)).collect();
                prop_assert_eq!(&drawn, &expected, "{:?}", instructions);
            }
        }
    }
}
