//! Grids that G, eq. (6), is rounded to, so that sums equal on paper tie although they were rounded apart.

/// Units of the exact grid in 1: cells of up to 2^20 rows are told apart by 2^-40, and neighbours on the grid tie.
pub(super) const EXACT_UNITS: f64 = (1u64 << 40) as f64;
/// Units of the coarse grid in 1: finer than 2^20 cells can tell weights apart, coarse enough to count on.
const COARSE_UNITS: f64 = (1u32 << 17) as f64;
/// Shifts the coarse grid, so that its numbers are positive for up to 2^24 features, by a fraction (of the golden section)
/// that no sum of a few fractions comes close to: equal sums are not rounded to two sides of a boundary.
const COARSE_SHIFT: f64 = (1u32 << 29) as f64 + 0.618_033_988_749_894_8;

/// Returns G on the exact grid.
#[allow(clippy::cast_possible_truncation, reason = "|G| ≤ √N, so 2^40 G is far inside i64")]
pub(super) fn exact(combined: f64) -> i64 {
    (combined * EXACT_UNITS).round() as i64
}

/// Returns the number of G's interval on the coarse grid.
#[inline]
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "positive and below 2^30")]
pub(super) fn coarse(combined: f64) -> u32 {
    (combined * COARSE_UNITS + COARSE_SHIFT) as u32
}

/// Returns G in the middle of an interval of the coarse grid.
pub(super) fn coarse_centre(interval: u32) -> f64 {
    (f64::from(interval) + 0.5 - COARSE_SHIFT) / COARSE_UNITS
}
