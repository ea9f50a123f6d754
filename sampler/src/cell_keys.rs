//! Tuples of intervals as numbers that sort like them.

use crate::axis::Axis;

/// Bits of a key.
const KEY_BITS: u32 = u64::BITS;
/// Rows whose intervals are looked up at once.
const ROWS_A_BLOCK: usize = 1024;

/// Packs a row's intervals, one an axis, into a 64-bit key: rows of equal keys are a cell, and cells are in order of their
/// keys. For whoever sorts more rows than it holds in memory.
#[derive(Debug, Clone)]
pub struct CellKeys {
    /// Bits of each axis.
    widths: Vec<u32>,
}

impl CellKeys {
    /// Most axes, however many rows: each of many has one bit.
    pub const AXES_MAX: usize = 64;

    /// Lays out the keys of these axes; `None` where they need more than 64 bits, which axes that
    /// [`Resolution::for_table`](crate::Resolution::for_table) quantised do not.
    #[must_use]
    pub fn new(axes: &[Axis]) -> Option<Self> {
        let width = |axis: &Axis| usize::BITS - (axis.len() - 1).leading_zeros();
        let widths: Vec<u32> = axes.iter().map(width).collect();
        (widths.iter().sum::<u32>() <= KEY_BITS).then_some(Self { widths })
    }

    /// Returns the bits that keys have: all are below 2^bits.
    #[must_use]
    pub fn bits(&self) -> u32 {
        self.widths.iter().sum()
    }

    /// Writes the keys of rows given by their values on each axis.
    ///
    /// # Panics
    /// When there is not one column an axis, or one of them is not as long as `keys`.
    pub fn keys_into(&self, axes: &[Axis], columns: &[&[f64]], keys: &mut [u64]) {
        assert!(axes.len() == self.widths.len() && columns.len() == axes.len(), "one column an axis");
        keys.fill(0);
        let mut intervals = [0; ROWS_A_BLOCK];
        for ((axis, column), &width) in axes.iter().zip(columns).zip(&self.widths) {
            assert!(column.len() == keys.len(), "one value a key");
            for (values, keys) in column.chunks(ROWS_A_BLOCK).zip(keys.chunks_mut(ROWS_A_BLOCK)) {
                let intervals = &mut intervals[..values.len()];
                axis.intervals_into(values, intervals);
                keys.iter_mut()
                    .zip(intervals)
                    .for_each(|(key, &mut interval)| *key = *key << width | u64::from(interval));
            }
        }
    }

    /// Returns the intervals of a key, one an axis.
    #[must_use]
    #[allow(clippy::cast_possible_truncation, reason = "an axis has at most 32 bits")]
    pub fn intervals(&self, key: u64) -> Vec<u32> {
        let mut shift = self.bits();
        let interval = |&width: &u32| {
            shift -= width;
            // An axis of one interval has no bits, also where those after it have all 64.
            (key.checked_shr(shift).unwrap_or(0) & ((1 << width) - 1)) as u32
        };
        self.widths.iter().map(interval).collect()
    }
}
