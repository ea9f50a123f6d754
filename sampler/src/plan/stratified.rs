//! Stratified draws: systematic sampling, in random order.
//!
//! Let the alias table have U units, of which U·m·p belong to a cell of m examples with probability p each, and let the
//! segment have R draws. R points lie U/R units apart, behind one random offset o of the segment: point j is unit
//! ⌊(j·U + o) / R⌋, and its cell is the one that owns the unit. As R consecutive points cover the U units evenly, a cell
//! gets K points, ⌊R·m·p⌋ or ⌈R·m·p⌉ of them. They go to its examples in turn, so that each example gets ⌊K/m⌋ or ⌈K/m⌉.
//! From K ≥ ⌊m·(R·p)⌋ ≥ m·⌊R·p⌋ follows ⌊K/m⌋ ≥ ⌊R·p⌋, and likewise ⌈K/m⌉ ≤ ⌈R·p⌉: every example is drawn ⌊R·p⌋ or ⌈R·p⌉
//! times. As o is uniform, the expectation of K is R·m·p exactly, and the examples of a cell share it alike.

use crate::alias::AliasTable;
use crate::divisor::Divisor;
use crate::permutation::{Permutation, PermutationKey, Shape};
use crate::philox::{Domain, LANES, Seed, segment_words};
use crate::sampler::Sampler;
use crate::segment::Segment;

/// The points of a segment. All of them are functions of these few numbers.
#[derive(Debug, Clone)]
pub(crate) struct Stratified {
    /// R.
    draws: u64,
    by_draws: Divisor,
    /// Entries of the alias table: U is 2^32 times as many.
    by_len: Divisor,
    /// o, below U.
    offset: u64,
    /// U = quotient · R + remainder, and o likewise: products with U itself would not fit 64 bits.
    total: Divided,
    offset_divided: Divided,
    order: PermutationKey,
    order_shape: Shape,
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
    pub(crate) fn new(alias: &AliasTable, seed: Seed, segment: Segment) -> Self {
        let (draws, total) = (segment.draws(), alias.total());
        let [high, low, ..] = segment_words(seed, segment.start, 0, Domain::Offset);
        let word = u64::from(high) << 32 | u64::from(low);
        let offset = (u128::from(word) * u128::from(total)) >> 64;
        let offset = u64::try_from(offset).expect("a fraction of a 64-bit total");
        Self {
            draws,
            by_draws: Divisor::new(draws),
            by_len: Divisor::new(alias.len() as u64),
            offset,
            total: Divided::new(total, draws),
            offset_divided: Divided::new(offset, draws),
            order: PermutationKey::new(seed, segment.start, Domain::SegmentOrder),
            order_shape: Shape::new(draws),
            within_cells: PermutationKey::new(seed, segment.start, Domain::CellOrder),
        }
    }

    /// Writes the examples of the segment's draws from number `first` on, counted from 0, and their probabilities.
    ///
    /// Goes through a block in stages, so that the memory accesses of one draw do not wait for those of another.
    #[allow(clippy::cast_possible_truncation, reason = "draws are numbered below 2^32")]
    pub(super) fn draw_into(&self, sampler: &Sampler, first: u64, indices: &mut [u32], probabilities: &mut [f32]) {
        let order = Permutation::new(&self.order, 0, self.order_shape);
        let blocks = indices.chunks_mut(LANES).zip(probabilities.chunks_mut(LANES));
        for (first, (indices, probabilities)) in (first..).step_by(LANES).zip(blocks) {
            // The last block draws the segment's last draw several times, and writes it once.
            let mut points = std::array::from_fn(|lane| (first + lane as u64).min(self.draws - 1) as u32);
            order.places(&mut points);
            let cells = points.map(|point| sampler.alias().entry_of_unit(self.unit(u64::from(point))));
            let positions = if cells.iter().all(|&cell| cell == cells[0]) {
                self.positions_in_one_cell(sampler, points, cells[0])
            } else {
                std::array::from_fn(|lane| self.position(sampler, points[lane], cells[lane]))
            };
            for (lane, (index, probability)) in indices.iter_mut().zip(probabilities).enumerate() {
                (*index, *probability) = sampler.example(cells[lane], positions[lane]);
            }
        }
    }

    /// Returns the cell of the segment's draw `number`, counted from 0, and the position in it of its example: the same
    /// example as [`Self::draw_into`], where the examples of a cell are on several hosts. `count` returns the number of
    /// examples in a cell.
    #[allow(clippy::cast_possible_truncation, reason = "draws are numbered below 2^32")]
    pub(crate) fn place(&self, alias: &AliasTable, count: impl Fn(usize) -> u64, number: u64) -> (usize, u64) {
        let point = u64::from(Permutation::new(&self.order, 0, self.order_shape).place(number as u32));
        let cell = alias.entry_of_unit(self.unit(point));
        let count = count(cell);
        let within = (point - self.first_point(alias, cell)) % count;
        let order = Permutation::new(&self.within_cells, cell as u64, Shape::new(count));
        (cell, order.place_of_wide(within))
    }

    /// Returns the position, within its cell, of the example that gets a point.
    #[inline]
    #[allow(clippy::cast_possible_truncation, reason = "points are numbered below 2^32")]
    fn position(&self, sampler: &Sampler, point: u32, cell: usize) -> u32 {
        let count = sampler.cells().count(cell);
        if count == 1 {
            return 0;
        }
        let number = (u64::from(point) - self.first_point(sampler.alias(), cell)) as u32 % count;
        self.order_within(cell, count).place(number)
    }

    /// The same for points of one cell, as all are under the uniform sampler.
    #[allow(clippy::cast_possible_truncation, reason = "points are numbered below 2^32")]
    fn positions_in_one_cell(&self, sampler: &Sampler, points: [u32; LANES], cell: usize) -> [u32; LANES] {
        let count = sampler.cells().count(cell);
        let first = self.first_point(sampler.alias(), cell);
        let mut numbers = points.map(|point| (u64::from(point) - first) as u32 % count);
        self.order_within(cell, count).places(&mut numbers);
        numbers
    }

    #[inline]
    fn order_within(&self, cell: usize, count: u32) -> Permutation<'_> {
        Permutation::new(&self.within_cells, cell as u64, Shape::new(u64::from(count)))
    }

    /// Returns ⌊(j·U + o) / R⌋. As j and both remainders are below R ≤ 2^32, nothing overflows.
    #[inline]
    fn unit(&self, point: u64) -> u64 {
        let (total, offset) = (self.total, self.offset_divided);
        point * total.quotient + offset.quotient + self.by_draws.divide(point * total.remainder + offset.remainder)
    }

    /// Returns the first point j at or after the cell's first unit c: the smallest with j·U + o ≥ c·R.
    #[inline]
    #[allow(clippy::cast_possible_truncation, reason = "a point is at most R")]
    fn first_point(&self, alias: &AliasTable, cell: usize) -> u64 {
        let total = alias.total();
        let before = u128::from(alias.units_before(cell)) * u128::from(self.draws);
        // The total is len · 2^32, and dividing by 2^32 first leaves the quotient the same.
        let rounded_up = (before + u128::from(total - 1 - self.offset)) >> 32;
        match u64::try_from(rounded_up) {
            Ok(rounded_up) => self.by_len.divide(rounded_up),
            Err(_beyond_64_bits) => (rounded_up / u128::from(total >> 32)) as u64,
        }
    }
}
