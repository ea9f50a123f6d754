//! Distinct draws: weighted, without replacement.
//!
//! With E independent and standard exponential, ordering the examples by E/p ascending draws them one after another, each
//! with the probability of those that are left (Efraimidis and Spirakis, *Weighted random sampling with a reservoir*, 2006;
//! what `torch.multinomial` without replacement does).
//!
//! An epoch longer than the number of examples that can be drawn goes round by round: round L orders the examples that
//! the epoch had L times or fewer so far, after which it had each of them L + 1 times.

use crate::exponential::exponential;
use crate::philox::{LANES, Seed, row_words};
use crate::sampler::Sampler;
use crate::segment::Segment;

/// Keys collected at least before those that come too late are thrown away.
const KEYS_MIN: usize = 1 << 16;

/// The examples of an epoch, in order.
#[derive(Debug, Clone)]
pub(super) struct Distinct {
    /// Rows drawn in the epoch before the segment.
    earlier: Vec<u32>,
    /// What the segment draws, as positions in the sampler's order of rows by cell: a row's cell follows from it.
    places: Vec<u32>,
}

impl Distinct {
    /// Draws the segment, leaving out what the epoch had.
    pub(super) fn new(sampler: &Sampler, seed: Seed, segment: Segment, earlier: Vec<u32>) -> Self {
        let wanted = usize::try_from(segment.draws()).expect("fewer than 2^28");
        let mut places = Vec::with_capacity(wanted);
        let mut epoch = Epoch::new(sampler, &earlier);
        let mut round = epoch.least_had();
        loop {
            let drawn = epoch.round(seed, segment.start, round, wanted - places.len());
            places.extend_from_slice(&drawn);
            if places.len() == wanted {
                return Self { earlier, places };
            }
            round += 1;
            epoch.set_had(&drawn, round);
        }
    }

    pub(super) fn size_bytes(&self) -> usize {
        4 * (self.earlier.len() + self.places.len())
    }

    /// Writes the examples of the segment's draws from number `first` on, counted from 0, and their probabilities.
    pub(super) fn draw_into(&self, sampler: &Sampler, first: u64, indices: &mut [u32], probabilities: &mut [f32]) {
        let first = usize::try_from(first).expect("fewer than 2^28");
        for (&place, (index, probability)) in self.places[first..].iter().zip(indices.iter_mut().zip(probabilities)) {
            let (cell, _) = sampler.cells().cell_of_place(place);
            (*index, *probability) = sampler.example(cell, place);
        }
    }

    /// Returns the rows of the epoch up to the segment's draw number `draws`.
    pub(super) fn rows_until(&self, sampler: &Sampler, draws: u64) -> Vec<u32> {
        let draws = usize::try_from(draws).expect("fewer than 2^28");
        let mut rows = Vec::with_capacity(self.earlier.len() + draws);
        rows.extend_from_slice(&self.earlier);
        rows.extend(self.places[..draws].iter().map(|&place| sampler.cells().row_at(place)));
        rows
    }
}

/// What one segment's rounds choose from.
struct Epoch<'a> {
    sampler: &'a Sampler,
    /// Cells whose examples can be drawn.
    cells: Vec<usize>,
    /// How often the epoch had each row; empty while it had none.
    had: Vec<u32>,
}

impl<'a> Epoch<'a> {
    fn new(sampler: &'a Sampler, earlier: &[u32]) -> Self {
        let cells = (0..sampler.cells().len()).filter(|&cell| sampler.cell_probability(cell) > 0.0).collect();
        let mut had = Vec::new();
        if !earlier.is_empty() {
            had.resize(sampler.rows(), 0);
            earlier.iter().for_each(|&row| had[row as usize] += 1);
        }
        Self { sampler, cells, had }
    }

    fn had(&self, row: u32) -> u32 {
        self.had.get(row as usize).copied().unwrap_or(0)
    }

    /// Notes that the epoch had the examples at `places` so often.
    fn set_had(&mut self, places: &[u32], times: u32) {
        self.had.resize(self.sampler.rows(), 0);
        places.iter().for_each(|&place| self.had[self.sampler.cells().row_at(place) as usize] = times);
    }

    /// Returns how often the epoch had the example that it had least often, of those that can be drawn.
    fn least_had(&self) -> u32 {
        self.drawable().map(|example| self.had(example.row)).min().expect("a sampler can draw some example")
    }

    fn drawable(&self) -> impl Iterator<Item = Example> {
        let cells = self.sampler.cells();
        self.cells.iter().flat_map(move |&cell| {
            let probability = self.sampler.cell_probability(cell);
            cells.places(cell).map(move |place| Example { row: cells.row_at(place), place, probability })
        })
    }

    /// Returns the places of the first `wanted` examples of a round, in order; fewer where the round has fewer.
    fn round(&self, seed: Seed, segment_start: u64, number: u32, wanted: usize) -> Vec<u32> {
        let mut first = FirstKeys::new(wanted);
        let mut block = [Example::default(); LANES];
        let mut examples = self.drawable().filter(|example| self.had(example.row) <= number).fuse();
        loop {
            let filled = block.iter_mut().zip(&mut examples).map(|(slot, example)| *slot = example).count();
            let words = row_words(seed, segment_start, number, &block.map(|example| example.row));
            for (Example { row, place, probability }, word) in block.into_iter().zip(words).take(filled) {
                first.push(Keyed { key: (exponential(word) / probability).to_bits(), row, place });
            }
            if filled < LANES {
                return first.into_places();
            }
        }
    }
}

#[derive(Debug, Clone, Copy, Default)]
struct Example {
    row: u32,
    place: u32,
    probability: f64,
}

/// An example with its key, E/p as bits: positive floats are ordered as their bits are. Equal keys are ordered by row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Keyed {
    key: u64,
    row: u32,
    place: u32,
}

/// The smallest so many of the keys pushed, in memory for twice as many.
struct FirstKeys {
    wanted: usize,
    keys: Vec<Keyed>,
    /// Keys above it are not among the first.
    largest: u64,
}

impl FirstKeys {
    fn new(wanted: usize) -> Self {
        Self { wanted, keys: Vec::new(), largest: u64::MAX }
    }

    #[inline]
    fn push(&mut self, key: Keyed) {
        if key.key <= self.largest {
            if self.keys.len() == self.wanted.saturating_mul(2).max(KEYS_MIN) {
                self.shrink();
            }
            self.keys.push(key);
        }
    }

    fn shrink(&mut self) {
        if self.keys.len() > self.wanted {
            let (_, last, _) = self.keys.select_nth_unstable(self.wanted - 1);
            self.largest = last.key;
            self.keys.truncate(self.wanted);
        }
    }

    fn into_places(mut self) -> Vec<u32> {
        self.shrink();
        self.keys.sort_unstable();
        self.keys.into_iter().map(|keyed| keyed.place).collect()
    }
}
