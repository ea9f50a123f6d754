//! Which cell a unit of the alias table's mass belongs to: what stratified draws look up.

use crate::alias::SLOT_UNITS;
use crate::instruction_set::prefetch;

/// Cells after the first possible one that are looked at in turn.
const STEPS: usize = 3;

/// A cell, as its units are numbered.
#[derive(Debug, Clone, Copy)]
#[repr(C, align(16))]
pub(crate) struct UnitCell {
    /// Units of all cells before it.
    pub(crate) before: u64,
    /// The cell's first place in the order of rows.
    pub(crate) start: u32,
    /// The probability of one example of the cell, as it is handed out.
    pub(crate) probability: f32,
}

/// The units of all cells, numbered in the cells' order.
#[derive(Debug, Clone)]
pub(crate) struct UnitTable {
    /// One a cell, and one where the last cell ends.
    cells: Box<[UnitCell]>,
    /// The cell of every `SLOT_UNITS`-th unit, and the last cell: units between two of them belong to a cell from the one
    /// to the other, few on average.
    guide: Box<[u32]>,
}

impl UnitTable {
    /// Numbers the units of cells, in O(cells); `examples` are the place where each cell begins and the probability of one
    /// of its examples, and those where the last ends.
    pub(crate) fn new(units: &[u64], examples: impl Iterator<Item = (u32, f32)>) -> Self {
        let mut before = 0;
        let cells: Box<[UnitCell]> = units
            .iter()
            .chain([&0])
            .zip(examples)
            .map(|(units, (start, probability))| {
                let here = UnitCell { before, start, probability };
                before += units;
                here
            })
            .collect();
        Self { guide: guide(&cells), cells }
    }

    /// Returns the exact probability of `cell`.
    pub(crate) fn share(&self, cell: usize) -> f64 {
        let units = self.cells[cell + 1].before - self.cells[cell].before;
        units as f64 / ((self.cells.len() - 1) as f64 * SLOT_UNITS as f64)
    }

    /// Returns a cell and the one after it.
    #[inline(always)]
    pub(crate) fn cell(&self, cell: u32) -> [UnitCell; 2] {
        [self.cells[cell as usize], self.cells[cell as usize + 1]]
    }

    /// Asks for what [`Self::first_cell`] reads.
    #[inline(always)]
    pub(crate) fn prefetch_guide(&self, slot: u32) {
        prefetch(&self.guide, slot as usize);
    }

    /// Returns the cell of the first unit of a slot, and asks for what [`Self::cell_of`] reads.
    #[inline(always)]
    pub(crate) fn first_cell(&self, slot: u32) -> u32 {
        let cell = self.guide[slot as usize];
        prefetch(&self.cells, cell as usize + 1);
        cell
    }

    /// Returns the cell of a unit, not before `first`, the cell of the first unit of the unit's slot; in O(log cells) and on
    /// average O(1).
    #[inline(always)]
    #[allow(clippy::cast_possible_truncation, reason = "cells are fewer than 2^32; a slot's number has 32 bits")]
    pub(crate) fn cell_of(&self, unit: u64, first: u32) -> u32 {
        let mut cell = first;
        // Without branches, as where to stop cannot be predicted. The last entry is above every unit.
        for _ in 0..STEPS {
            cell += u32::from(self.cells[cell as usize + 1].before <= unit);
        }
        if self.cells[cell as usize + 1].before <= unit {
            let last = self.guide[(unit / SLOT_UNITS) as usize + 1];
            let beyond = &self.cells[cell as usize + 1..=last as usize];
            cell += beyond.partition_point(|beyond| beyond.before <= unit) as u32;
        }
        cell
    }
}

/// Returns the cell of every `SLOT_UNITS`-th unit, and the last cell.
fn guide(cells: &[UnitCell]) -> Box<[u32]> {
    let last = u32::try_from(cells.len() - 2).expect("checked against 2^32 when apportioned");
    let mut cell = 0;
    let first_cells = (0..u64::from(last) + 1).map(|slot| {
        while cells[cell as usize + 1].before <= slot * SLOT_UNITS {
            cell += 1;
        }
        cell
    });
    first_cells.chain([last]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alias::apportion;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_unit_belongs_to_the_cell_it_lies_in(exponents in prop::collection::vec(prop::option::of(-15.0..15.0f64), 1..300)) {
            prop_assume!(exponents.iter().any(Option::is_some));
            let weights = exponents.iter().map(|e| e.map_or(0.0, |e| 10f64.powf(e))).collect();
            let units = apportion(weights).unwrap();
            let table = UnitTable::new(&units, (0..).map(|start| (start, 0.0)));
            let total = units.iter().sum();
            for unit in table.cells.iter().flat_map(|cell| [cell.before.saturating_sub(1), cell.before]) {
                if unit < total {
                    let first = table.first_cell(u32::try_from(unit / SLOT_UNITS).unwrap());
                    let [here, next] = table.cell(table.cell_of(unit, first));
                    prop_assert!((here.before..next.before).contains(&unit));
                }
            }
        }
    }
}
