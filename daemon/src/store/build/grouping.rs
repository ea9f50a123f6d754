//! Rows grouped by cell in bounded memory: one pass over the columns of features writes down the cell of every row, others
//! over what it wrote each list the rows of a range of cells.

use std::collections::HashMap;
use std::ops::Range;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use safetensors::Dtype;
use swift_sampler::{Axis, CellKeys, CellsBuilder, GradientFloor};

use super::super::progress::Progress;
use super::super::tensor_file::TensorFile;
use super::super::{StoreError, locked};
use super::Work;

/// Rows whose cells are found at once.
const ROWS_A_BLOCK: usize = 1 << 16;
/// Longest keys that are counted in a table of all there could be, in bits.
const TABLE_BITS_MAX: u32 = 22;

/// The axes of the features, with where their columns lie.
pub(super) struct Grouping<'a> {
    pub(super) columns: &'a TensorFile,
    /// The tensors of the features.
    pub(super) features: &'a [usize],
    pub(super) axes: &'a [Axis],
    pub(super) keys: CellKeys,
    /// The keys of all rows, once they are counted; finding them takes far longer than reading them.
    pub(super) keys_file: &'a KeysFile,
    pub(super) rows: usize,
    pub(super) progress: &'a Progress,
}

/// The keys of all rows in a file, in as few bytes as they need.
pub(super) struct KeysFile {
    file: TensorFile,
    /// Numbers of 32 bits to a key.
    words: usize,
}

impl KeysFile {
    pub(super) fn create(path: &Path, keys: &CellKeys, rows: usize) -> Result<Self, StoreError> {
        let words = if keys.bits() <= u32::BITS { 1 } else { 2 };
        Ok(Self { file: TensorFile::create(path, &[("keys".to_owned(), Dtype::U32, words * rows)])?, words })
    }

    #[allow(clippy::cast_possible_truncation, reason = "a key is taken apart, or has few bits")]
    fn write(&self, first: usize, keys: &[u64], words: &mut Vec<u32>) -> Result<(), StoreError> {
        words.clear();
        match self.words {
            1 => words.extend(keys.iter().map(|&key| key as u32)),
            _ => words.extend(keys.iter().flat_map(|&key| [key as u32, (key >> u32::BITS) as u32])),
        }
        self.file.write(0, first * self.words, words)
    }

    fn read(&self, first: usize, keys: &mut [u64], words: &mut Vec<u32>) -> Result<(), StoreError> {
        words.resize(keys.len() * self.words, 0);
        self.file.read(0, first * self.words, words)?;
        for (key, words) in keys.iter_mut().zip(words.chunks_exact(self.words)) {
            *key = words.iter().rev().fold(0, |key, &word| key << u32::BITS | u64::from(word));
        }
        Ok(())
    }
}

/// The cells there are, ascending.
pub(super) struct Found {
    /// Their keys.
    keys: Vec<u64>,
    /// Cell boundaries in the order of rows.
    starts: Vec<u32>,
    numbers: Numbers,
}

/// Tells a cell's number by its key.
enum Numbers {
    Table(Vec<u32>),
    Map(HashMap<u64, u32>),
}

/// How many rows have each key.
enum Counts {
    Table(Vec<u32>),
    Map(HashMap<u64, u32>),
}

impl Grouping<'_> {
    /// Finds the cell of every row and counts the rows of each cell, on several threads.
    pub(super) fn count(&self, threads: usize) -> Result<Found, StoreError> {
        let all = Mutex::new(Counts::none(self.keys.bits()));
        let next = AtomicUsize::new(0);
        let count = || {
            let mut counts = Counts::none(self.keys.bits());
            let mut block = Block::new(self.features.len());
            loop {
                let first = next.fetch_add(ROWS_A_BLOCK, Ordering::Relaxed);
                if first >= self.rows {
                    break;
                }
                self.find_keys(first, &mut block)?;
                self.keys_file.write(first, &block.keys, &mut block.words)?;
                counts.add(&block.keys);
            }
            locked(&all).merge(counts);
            Ok(())
        };
        super::side_by_side((0..threads).map(|_| Box::new(count) as Work<'_>).collect(), threads)?;
        let counts = all.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
        Ok(Found::new(counts.ascending(), self.keys.bits()))
    }

    /// Sums the gradient norms of each cell, raised to the floor, in row order.
    pub(super) fn masses(&self, found: &Found, gradient: usize, floor: GradientFloor) -> Result<Vec<f64>, StoreError> {
        let mut masses = vec![0.0; found.len()];
        let mut norms = vec![0.0; ROWS_A_BLOCK];
        self.each_block(found, |first, cells| {
            let norms = &mut norms[..cells.len()];
            self.columns.read(gradient, first, norms)?;
            for (&cell, &norm) in cells.iter().zip(&*norms) {
                masses[cell as usize] += floor.raise(norm);
            }
            Ok(())
        })?;
        Ok(masses)
    }

    /// Lists the rows of a range of cells, cell by cell, those of a cell ascending.
    pub(super) fn order(&self, found: &Found, cells: &Range<usize>) -> Result<Vec<u32>, StoreError> {
        let start = found.starts[cells.start];
        let mut next: Vec<u32> = found.starts[cells.clone()].iter().map(|cell| cell - start).collect();
        let mut order = vec![0; (found.starts[cells.end] - start) as usize];
        self.each_block(found, |first, numbers| {
            let first = u32::try_from(first).expect("a dataset has fewer than 2^32 rows");
            for (row, &cell) in (first..).zip(numbers) {
                // Cells before the range wrap to numbers beyond it.
                if let Some(place) = next.get_mut((cell as usize).wrapping_sub(cells.start)) {
                    order[*place as usize] = row;
                    *place += 1;
                }
            }
            Ok(())
        })?;
        Ok(order)
    }

    /// Passes the number of every row's cell on, block by block with the first row.
    fn each_block(
        &self,
        found: &Found,
        mut each: impl FnMut(usize, &[u32]) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let mut block = Block::new(self.features.len());
        let mut numbers = Vec::with_capacity(ROWS_A_BLOCK);
        for first in (0..self.rows).step_by(ROWS_A_BLOCK) {
            self.progress.check()?;
            block.keys.resize(ROWS_A_BLOCK.min(self.rows - first), 0);
            self.keys_file.read(first, &mut block.keys, &mut block.words)?;
            self.progress.advance(block.keys.len());
            found.numbers.of_keys(&block.keys, &mut numbers);
            each(first, &numbers)?;
        }
        Ok(())
    }

    /// Finds the keys of a block of rows.
    fn find_keys(&self, first: usize, block: &mut Block) -> Result<(), StoreError> {
        self.progress.check()?;
        let rows = ROWS_A_BLOCK.min(self.rows - first);
        block.keys.resize(rows, 0);
        for (values, &feature) in block.values.iter_mut().zip(self.features) {
            values.resize(rows, 0.0);
            self.columns.read(feature, first, values)?;
        }
        let values: Vec<&[f64]> = block.values.iter().map(Vec::as_slice).collect();
        self.keys.keys_into(self.axes, &values, &mut block.keys);
        self.progress.advance(rows);
        Ok(())
    }
}

/// Values and keys of some rows.
struct Block {
    values: Vec<Vec<f64>>,
    keys: Vec<u64>,
    /// Keys as they are in their file.
    words: Vec<u32>,
}

impl Block {
    fn new(features: usize) -> Self {
        Self { values: vec![Vec::new(); features], keys: Vec::new(), words: Vec::new() }
    }
}

impl Found {
    fn new(counts: Vec<(u64, u32)>, bits: u32) -> Self {
        let mut starts = vec![0];
        let mut end = 0;
        starts.extend(counts.iter().map(|(_, count)| {
            end += count;
            end
        }));
        let keys: Vec<u64> = counts.into_iter().map(|(key, _)| key).collect();
        let numbered = (0..).zip(&keys);
        let numbers = if bits <= TABLE_BITS_MAX {
            let mut table = vec![0; 1 << bits];
            numbered.for_each(|(number, &key)| table[index(key)] = number);
            Numbers::Table(table)
        } else {
            Numbers::Map(numbered.map(|(number, &key)| (key, number)).collect())
        };
        Self { keys, starts, numbers }
    }

    /// Returns the number of cells.
    pub(super) fn len(&self) -> usize {
        self.keys.len()
    }

    /// Returns where the rows of a cell start in the order.
    pub(super) fn start(&self, cell: usize) -> usize {
        self.starts[cell] as usize
    }

    /// Cuts the cells into ranges of at most so many rows; a cell of more is a range of its own.
    pub(super) fn ranges(&self, rows_max: usize) -> Vec<Range<usize>> {
        let mut ranges = Vec::new();
        let mut first = 0;
        while first < self.len() {
            let end_row = self.start(first).saturating_add(rows_max);
            let end = self.starts.partition_point(|&start| start as usize <= end_row) - 1;
            let end = end.max(first + 1);
            ranges.push(first..end);
            first = end;
        }
        ranges
    }

    /// Pushes the cells.
    pub(super) fn push_to(&self, builder: &mut CellsBuilder, keys: &CellKeys, masses: Option<&[f64]>) {
        for (cell, &key) in self.keys.iter().enumerate() {
            let count = self.starts[cell + 1] - self.starts[cell];
            builder.push(&keys.intervals(key), count, masses.map_or(0.0, |masses| masses[cell]));
        }
    }
}

impl Numbers {
    fn of_keys(&self, keys: &[u64], numbers: &mut Vec<u32>) {
        numbers.clear();
        match self {
            Self::Table(table) => numbers.extend(keys.iter().map(|&key| table[index(key)])),
            Self::Map(map) => numbers.extend(keys.iter().map(|key| map[key])),
        }
    }
}

impl Counts {
    fn none(bits: u32) -> Self {
        if bits <= TABLE_BITS_MAX { Self::Table(vec![0; 1 << bits]) } else { Self::Map(HashMap::new()) }
    }

    fn add(&mut self, keys: &[u64]) {
        match self {
            Self::Table(table) => keys.iter().for_each(|&key| table[index(key)] += 1),
            Self::Map(map) => keys.iter().for_each(|&key| *map.entry(key).or_default() += 1),
        }
    }

    fn merge(&mut self, other: Self) {
        match (self, other) {
            (Self::Table(table), Self::Table(other)) => table.iter_mut().zip(other).for_each(|(all, of)| *all += of),
            (all, other) => {
                for (key, count) in other.ascending() {
                    all.add_count(key, count);
                }
            }
        }
    }

    fn add_count(&mut self, key: u64, count: u32) {
        match self {
            Self::Table(table) => table[index(key)] += count,
            Self::Map(map) => *map.entry(key).or_default() += count,
        }
    }

    /// Returns the keys that have rows, ascending, with how many.
    fn ascending(self) -> Vec<(u64, u32)> {
        match self {
            Self::Table(table) => (0..).zip(table).filter(|(_, count)| *count > 0).collect(),
            Self::Map(map) => {
                let mut counts: Vec<_> = map.into_iter().collect();
                counts.sort_unstable();
                counts
            }
        }
    }
}

/// Returns the place of a key in a table.
fn index(key: u64) -> usize {
    usize::try_from(key).expect("keys of a table have few bits")
}
