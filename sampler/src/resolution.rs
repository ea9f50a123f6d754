//! How finely features are told apart, by the size of the data.

/// Up to this many rows, cells hold exactly equal feature tuples.
const EXACT_ROWS_MAX: usize = 1 << 20;
/// Bits of a quantised tuple, shared by its features, beyond [`EXACT_ROWS_MAX`] rows.
const TUPLE_BITS: u32 = 20;

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

    /// Returns the resolution for a table of this size: exact while that is cheap.
    #[must_use]
    pub fn for_table(rows: usize, features: usize) -> Self {
        if rows <= EXACT_ROWS_MAX {
            Self::Exact
        } else {
            let features = u32::try_from(features).unwrap_or(TUPLE_BITS);
            Self::Bits((TUPLE_BITS / features.max(1)).max(1))
        }
    }
}
