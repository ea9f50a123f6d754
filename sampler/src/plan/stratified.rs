//! Stratified draws: systematic sampling, in random order.
//!
//! Let the alias table have U units, of which U·m·p belong to a cell of m examples with probability p each, and let the
//! segment have R draws. R points lie U/R units apart, behind one random offset o of the segment: point j is unit
//! ⌊(j·U + o) / R⌋, and its cell is the one that owns the unit. As R consecutive points cover the U units evenly, a cell
//! gets K points, ⌊R·m·p⌋ or ⌈R·m·p⌉ of them. They go to its examples in turn, so that each example gets ⌊K/m⌋ or ⌈K/m⌉.
//! From K ≥ ⌊m·(R·p)⌋ ≥ m·⌊R·p⌋ follows ⌊K/m⌋ ≥ ⌊R·p⌋, and likewise ⌈K/m⌉ ≤ ⌈R·p⌉: every example is drawn ⌊R·p⌋ or ⌈R·p⌉
//! times. As o is uniform, the expectation of K is R·m·p exactly, and the examples of a cell share it alike.

use crate::alias::SLOT_UNITS;
use crate::divisor::{Divisor, quotient};
use crate::instruction_set::{InstructionSet, Kernel, prefetch};
use crate::permutation::{Method, PermutationKey, Permutations, wide_place};
use crate::philox::{Domain, Seed, segment_words};
use crate::sampler::Sampler;
use crate::segment::Segment;
use crate::unit_table::UnitTable;

/// The low half of a 64-bit word.
const LOW: u64 = 0xffff_ffff;
/// Permutations computed side by side: several vectors, as each round of one waits for the round before.
const LANES: usize = 32;
/// Draws that go through a stage together; a multiple of [`LANES`].
const BLOCK_DRAWS: usize = 256;

/// The points of a segment. All of them are functions of these few numbers.
#[derive(Debug, Clone)]
pub(crate) struct Stratified {
    /// R.
    draws: u64,
    by_draws: Divisor,
    /// Entries of the alias table: U is 2^32 times as many.
    by_len: Divisor,
    /// U - 1 - o, where o is below U.
    less_offset: u64,
    /// U = quotient · R + remainder, and o likewise: products with U itself would not fit 64 bits.
    total: Divided,
    offset_divided: Divided,
    order: PermutationKey,
    within_cells: PermutationKey,
}

#[derive(Debug, Clone, Copy)]
struct Divided {
    quotient: u64,
    remainder: u64,
}

impl Divided {
    fn new(value: u64, by: u64) -> Self {
        Self { quotient: value / by, remainder: value % by }
    }
}

impl Stratified {
    /// Draws the offset and the keys of the orders, in O(1).
    pub(crate) fn new(cells: usize, seed: Seed, segment: Segment) -> Self {
        let (draws, len) = (segment.draws(), cells as u64);
        let total = len * SLOT_UNITS;
        let [high, low, ..] = segment_words(seed, segment.start, 0, Domain::Offset);
        let word = u64::from(high) << 32 | u64::from(low);
        let offset = (u128::from(word) * u128::from(total)) >> 64;
        let offset = u64::try_from(offset).expect("a fraction of a 64-bit total");
        Self {
            draws,
            by_draws: Divisor::new(draws),
            by_len: Divisor::new(len),
            less_offset: total - 1 - offset,
            total: Divided::new(total, draws),
            offset_divided: Divided::new(offset, draws),
            order: PermutationKey::new(seed, segment.start, Domain::SegmentOrder),
            within_cells: PermutationKey::new(seed, segment.start, Domain::CellOrder),
        }
    }

    /// Writes the examples of the segment's draws from number `first` on, counted from 0, and their probabilities.
    pub(super) fn draw_into(&self, sampler: &Sampler, first: u64, indices: &mut [u32], probabilities: &mut [f32]) {
        self.draw_with(InstructionSet::widest(), sampler, first, indices, probabilities);
    }

    /// Returns the cell of the segment's draw `number`, counted from 0, and the position in it of its example: the same
    /// example as [`Self::draw_into`], where the examples of a cell are on several hosts. `count` returns the number of
    /// examples in a cell.
    pub(crate) fn place(&self, units: &UnitTable, count: impl Fn(usize) -> u64, number: u64) -> (usize, u64) {
        let point = wide_place(&self.order, 0, self.draws, number);
        let unit = self.unit(point);
        let cell = units.cell_of(unit, units.first_cell((unit >> 32) as u32));
        let within = point - self.first_point(units.cell(cell)[0].before);
        let (cell, count) = (cell as usize, count(cell as usize));
        (cell, wide_place(&self.within_cells, cell as u64, count, within % count))
    }

    fn draw_with(
        &self,
        instructions: InstructionSet,
        sampler: &Sampler,
        first: u64,
        indices: &mut [u32],
        probabilities: &mut [f32],
    ) {
        let (units, order) = (sampler.table().units(), sampler.cells().order());
        instructions.run(StratifiedDraws { stratified: self, units, order, first, indices, probabilities });
    }

    /// Returns ⌊(j·U + o) / R⌋. As j and both remainders are below R ≤ 2^32, nothing overflows.
    #[inline(always)]
    fn unit(&self, point: u64) -> u64 {
        let (total, offset) = (self.total, self.offset_divided);
        point * total.quotient + offset.quotient + self.by_draws.divide(point * total.remainder + offset.remainder)
    }

    /// Returns the first point j at or after a cell's first unit c: the smallest with j·U + o ≥ c·R.
    #[inline(always)]
    fn first_point(&self, before: u64) -> u64 {
        // ⌊(c·R + (U - 1 - o)) / 2^32⌋ / len, as U is len · 2^32. What is divided is at most len·R + len - 1 < 2^64.
        let less_offset = self.less_offset;
        let low = (before & LOW) * self.draws;
        let carry = ((low & LOW) + (less_offset & LOW)) >> 32;
        self.by_len.divide((before >> 32) * self.draws + (low >> 32) + (less_offset >> 32) + carry)
    }
}

/// Goes through each block in stages, so that the memory accesses of one draw do not wait for those of another.
struct StratifiedDraws<'a> {
    stratified: &'a Stratified,
    units: &'a UnitTable,
    order: Option<&'a [u32]>,
    first: u64,
    indices: &'a mut [u32],
    probabilities: &'a mut [f32],
}

impl Kernel for StratifiedDraws<'_> {
    #[inline(always)]
    fn run(self) {
        let Self { stratified, units, order, first, indices, probabilities } = self;
        let draws = stratified.draws;
        let points = Permutations::new(&stratified.order, Method::of(draws), &[0; LANES], &[draws; LANES]);
        let mut block = Block::EMPTY;
        let blocks = indices.chunks_mut(BLOCK_DRAWS).zip(probabilities.chunks_mut(BLOCK_DRAWS));
        for (first, (indices, probabilities)) in (first..).step_by(BLOCK_DRAWS).zip(blocks) {
            block.choose_units(stratified, units, &points, first, indices.len());
            block.choose_cells(units, indices.len());
            block.look_up_cells(units, probabilities);
            block.number_within_cells(stratified, indices.len());
            for method in Method::ALL {
                block.permute_within_cells(stratified, method, indices.len());
            }
            for ((index, &start), &position) in indices.iter_mut().zip(&block.start).zip(&block.position) {
                *index = start + position;
            }
            if let Some(order) = order {
                indices.iter().for_each(|&place| prefetch(order, place as usize));
                indices.iter_mut().for_each(|place| *place = order[*place as usize]);
            }
        }
    }
}

/// A block of draws, one a position.
struct Block {
    point: [u32; BLOCK_DRAWS],
    unit: [u64; BLOCK_DRAWS],
    cell: [u32; BLOCK_DRAWS],
    /// Units before the cell.
    before: [u64; BLOCK_DRAWS],
    start: [u32; BLOCK_DRAWS],
    count: [u32; BLOCK_DRAWS],
    /// The point's number among its cell's, then the example's position within the cell.
    position: [u32; BLOCK_DRAWS],
}

impl Block {
    const EMPTY: Self = Self {
        point: [0; BLOCK_DRAWS],
        unit: [0; BLOCK_DRAWS],
        cell: [0; BLOCK_DRAWS],
        before: [0; BLOCK_DRAWS],
        start: [0; BLOCK_DRAWS],
        count: [1; BLOCK_DRAWS],
        position: [0; BLOCK_DRAWS],
    };

    #[inline(always)]
    #[allow(clippy::cast_possible_truncation, reason = "draws and slots are numbered below 2^32")]
    fn choose_units(
        &mut self,
        stratified: &Stratified,
        units: &UnitTable,
        order: &Permutations<'_, LANES>,
        first: u64,
        draws: usize,
    ) {
        let groups = self.point.as_chunks_mut::<LANES>().0.iter_mut().zip(self.unit.as_chunks_mut::<LANES>().0);
        for (first, (points, unit)) in (first..).step_by(LANES).zip(groups).take(draws.div_ceil(LANES)) {
            for (point, draw) in points.iter_mut().zip(first..) {
                // The last group draws the segment's last draw several times, and writes it once.
                *point = draw.min(stratified.draws - 1) as u32;
            }
            order.places(points);
            for lane in 0..LANES {
                unit[lane] = stratified.unit(u64::from(points[lane]));
            }
            for unit in unit {
                units.prefetch_guide((*unit >> 32) as u32);
            }
        }
    }

    #[inline(always)]
    #[allow(clippy::cast_possible_truncation, reason = "slots are numbered below 2^32")]
    fn choose_cells(&mut self, units: &UnitTable, draws: usize) {
        for (cell, unit) in self.cell.iter_mut().zip(&self.unit).take(draws) {
            *cell = units.first_cell((unit >> 32) as u32);
        }
        for (cell, &unit) in self.cell.iter_mut().zip(&self.unit).take(draws) {
            *cell = units.cell_of(unit, *cell);
        }
    }

    #[inline(always)]
    fn look_up_cells(&mut self, units: &UnitTable, probabilities: &mut [f32]) {
        for (draw, probability) in probabilities.iter_mut().enumerate() {
            let [here, next] = units.cell(self.cell[draw]);
            self.before[draw] = here.before;
            self.start[draw] = here.start;
            self.count[draw] = next.start - here.start;
            *probability = here.probability;
        }
    }

    #[inline(always)]
    #[allow(clippy::cast_possible_truncation, reason = "points are numbered below 2^32")]
    fn number_within_cells(&mut self, stratified: &Stratified, draws: usize) {
        for draw in 0..draws {
            let number = (u64::from(self.point[draw]) - stratified.first_point(self.before[draw])) as u32;
            self.position[draw] = number - quotient(u64::from(number), self.count[draw]) * self.count[draw];
        }
    }

    /// Permutes the positions in all cells of several examples that one method is for.
    #[inline(always)]
    #[allow(clippy::cast_possible_truncation, reason = "a block has 256 draws")]
    fn permute_within_cells(&mut self, stratified: &Stratified, method: Method, draws: usize) {
        let (mut here, mut len) = ([0u8; BLOCK_DRAWS], 0);
        for draw in 0..draws {
            here[len] = draw as u8;
            len += usize::from(self.count[draw] > 1 && Method::of(u64::from(self.count[draw])) == method);
        }
        let (mut cells, mut counts, mut positions) = ([0u64; BLOCK_DRAWS], [0u64; BLOCK_DRAWS], [0u64; BLOCK_DRAWS]);
        for (to, &draw) in here[..len].iter().enumerate() {
            cells[to] = u64::from(self.cell[draw as usize]);
            counts[to] = u64::from(self.count[draw as usize]);
            positions[to] = u64::from(self.position[draw as usize]);
        }
        while len > 0 {
            for spare in len..len.next_multiple_of(LANES) {
                (cells[spare], counts[spare], positions[spare]) = (cells[len - 1], counts[len - 1], positions[len - 1]);
            }
            let groups = cells.as_chunks::<LANES>().0.iter().zip(counts.as_chunks::<LANES>().0);
            for ((cells, counts), positions) in
                groups.zip(positions.as_chunks_mut::<LANES>().0).take(len.div_ceil(LANES))
            {
                Permutations::new(&stratified.within_cells, method, cells, counts).step(positions);
            }
            // Those that are not at their places move up, to take another step together.
            let mut left = 0;
            for from in 0..len {
                let (draw, cell, count, position) = (here[from], cells[from], counts[from], positions[from]);
                self.position[draw as usize] = position as u32;
                (here[left], cells[left], counts[left], positions[left]) = (draw, cell, count, position);
                left += usize::from(position >= count);
            }
            len = left;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Dataset, FeatureTable, SamplerSpec};
    use proptest::prelude::*;

    fn by_weight(weights: Vec<f64>) -> Sampler {
        let table = FeatureTable::new(vec![("w".into(), weights)]).unwrap();
        let dataset = Dataset::new(table, vec![], None).unwrap();
        Sampler::build(&SamplerSpec::Column { column: "w".into() }, &dataset).unwrap()
    }

    /// One draw, as it is defined.
    fn defined(stratified: &Stratified, sampler: &Sampler, draw: u64) -> u32 {
        let (units, cells, draws) = (sampler.table().units(), sampler.cells(), u128::from(stratified.draws));
        let total = u128::from(SLOT_UNITS) * cells.len() as u128;
        let offset = total - 1 - u128::from(stratified.less_offset);
        let point = u128::from(wide_place(&stratified.order, 0, stratified.draws, draw));
        let unit = (point * total + offset) / draws;
        let cell = (0u32..).find(|&cell| u128::from(units.cell(cell)[1].before) > unit).unwrap();
        let [here, next] = units.cell(cell);
        let count = u64::from(next.start - here.start);
        let first_point = (u128::from(here.before) * draws + (total - 1 - offset)) / total;
        let number = u64::try_from(point - first_point).unwrap() % count;
        let position = wide_place(&stratified.within_cells, u64::from(cell), count, number);
        cells.row_at(here.start + u32::try_from(position).unwrap())
    }

    proptest! {
        /// Of every instruction set that the machine has; cells have one to some hundred examples.
        #[test]
        fn blocks_are_the_draws_as_defined(
            cells in prop::collection::vec(prop_oneof![1usize..3, 1usize..20, 1usize..300], 1..40),
            seed: u64,
            draws in 1u64..3000,
            skipped in 0u64..1000,
        ) {
            let weight = |cell: usize| (cell * cell % 7) as f64 + 1.0 / (cell + 1) as f64;
            let weights = cells.iter().enumerate().flat_map(|(cell, &count)| std::iter::repeat_n(weight(cell), count));
            let sampler = by_weight(weights.collect());
            let segment = Segment { epoch_start: 5, start: 5, end: 5 + draws };
            let stratified = Stratified::new(sampler.cells().len(), Seed(seed), segment);
            let first = skipped.min(draws - 1);
            let expected: Vec<u32> = (first..draws).map(|draw| defined(&stratified, &sampler, draw)).collect();
            for instructions in InstructionSet::available() {
                let (mut indices, mut probabilities) = (vec![0; expected.len()], vec![0.0; expected.len()]);
                stratified.draw_with(instructions, &sampler, first, &mut indices, &mut probabilities);
                prop_assert_eq!(&indices, &expected, "{:?}", instructions);
            }
        }
    }
}
