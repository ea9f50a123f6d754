//! How finely features are told apart, by the size of the data.

/// Up to this many rows, cells hold exactly equal feature tuples.
pub(crate) const EXACT_ROWS_MAX: usize = 1 << 20;
/// Up to this many rows a pair of features has 2^18 cells: a swap over so few examples is to be as fast.
const SMALL_PAIR_ROWS_MAX: usize = 2_000_000;
/// Up to this many rows there are never more cells than a swap takes a tenth of a second for, however fine they are.
const SPARSE_ROWS_MAX: usize = 1 << 21;

/// How finely features are told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resolution {
    /// Cells hold equal tuples.
    Exact,
    /// Each feature's quantile is cut into 2^bits equal intervals, 2^20 at most.
    Bits(u32),
}

impl Resolution {
    /// Most bits of [`Self::Bits`].
    pub const BITS_MAX: u32 = 20;

    /// Returns the version of the rules by which such cells are made. Draws depend on them, so it is part of a dataset's
    /// content. Exact cells have never changed.
    #[must_use]
    pub fn cells_version(self) -> u32 {
        match self {
            Self::Exact => 1,
            Self::Bits(_) => 2,
        }
    }

    /// Returns the resolution for a table of this size: exact while that is cheap, else as fine as fast swaps allow, which
    /// is 2^21 cells at most. `ARCHITECTURE.md` says what distance to the exact sampler that leaves;
    /// `cargo run --release --example cell_layout` measures it.
    #[must_use]
    pub fn for_table(rows: usize, features: usize) -> Self {
        if rows <= EXACT_ROWS_MAX {
            return Self::Exact;
        }
        Self::Bits(match u32::try_from(features).unwrap_or(u32::MAX) {
            // One feature's cells are so thin that finer ones would only cost.
            0 | 1 => 16,
            2 if rows <= SMALL_PAIR_ROWS_MAX => 9,
            2 => 10,
            // Most cells of more features are empty while examples are few.
            more if rows <= SPARSE_ROWS_MAX => (25 / more).max(1),
            more => (21 / more).max(1),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_exact_up_to_2_to_the_20_rows_and_2_to_the_21_at_most_beyond() {
        for features in 1..=8 {
            assert_eq!(Resolution::for_table(1 << 20, features), Resolution::Exact);
            for rows in [(1 << 20) + 1, 1 << 21, (1 << 21) + 1, 1 << 22, 1 << 31] {
                let Resolution::Bits(bits) = Resolution::for_table(rows, features) else { panic!("exact") };
                let tuples = 1usize << (bits as usize * features);
                assert!(bits > 0 && rows.min(tuples) <= 1 << 21, "{rows} rows, {features} features: {bits} bits");
            }
        }
        assert_eq!(Resolution::for_table(1_281_167, 2), Resolution::Bits(9));
        assert_eq!(Resolution::for_table(4_000_000, 2), Resolution::Bits(10));
    }
}
