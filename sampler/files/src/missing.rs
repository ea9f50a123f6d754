//! What becomes of values that are missing.

use serde::{Deserialize, Serialize};

/// Bits of a value that one pass tells apart.
const DIGIT_BITS: u32 = 16;

/// What becomes of a value that is missing: of a null, of NaN and of an infinity.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Missing {
    /// The files are refused.
    #[default]
    Refuse,
    /// It is passed on as NaN, to be replaced by its column's [`median`]. Where crops lie cannot be guessed: what is missing of
    /// them is refused all the same.
    Impute,
}

/// The missing values of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MissingValues {
    /// Position of the column among those of the files.
    pub column: usize,
    /// The first row, counted over all files.
    pub first_row: usize,
    /// How many there are.
    pub values: u64,
}

/// Finds the median of a column in passes over its values that each keep no more than counts; of an even number of values
/// the lower of the two in the middle, so that it is a value that occurs. `scan` passes all values on. Values that are NaN do
/// not count; `None` where there is no other.
///
/// # Errors
/// Those of `scan`.
///
/// # Panics
/// When scans pass on different values.
pub fn median<E>(mut scan: impl FnMut(&mut dyn FnMut(&[f64])) -> Result<(), E>) -> Result<Option<f64>, E> {
    // Bits of the median that are known, and how many of the values with these bits come before it.
    let (mut known, mut before) = (0u64, None);
    for shift in (0..u64::BITS / DIGIT_BITS).rev().map(|digit| digit * DIGIT_BITS) {
        let mut counts = vec![0u64; 1 << DIGIT_BITS];
        scan(&mut |values| {
            for value in values.iter().filter(|value| !value.is_nan()) {
                let key = ascending_bits(*value);
                // All bits above this digit: none, before the first.
                let above = |bits: u64| bits.checked_shr(shift + DIGIT_BITS).unwrap_or_default();
                if above(key) == above(known) {
                    counts[digit_of(key, shift)] += 1;
                }
            }
        })?;
        let total: u64 = counts.iter().sum();
        let Some(last) = total.checked_sub(1) else { return Ok(None) };
        let mut left = *before.get_or_insert(last / 2);
        let digit = counts.iter().position(|count| match left.checked_sub(*count) {
            Some(rest) => {
                left = rest;
                false
            }
            None => true,
        });
        known |= (digit.expect("fewer values come before the median than there are") as u64) << shift;
        before = Some(left);
    }
    Ok(Some(from_ascending_bits(known)))
}

fn digit_of(key: u64, shift: u32) -> usize {
    usize::from(u16::try_from(key >> shift & 0xffff).expect("16 bits are left"))
}

/// Maps values to integers of the same order.
fn ascending_bits(value: f64) -> u64 {
    let bits = value.to_bits();
    if bits >> 63 == 1 { !bits } else { bits | 1 << 63 }
}

fn from_ascending_bits(key: u64) -> f64 {
    f64::from_bits(if key >> 63 == 1 { key & !(1 << 63) } else { !key })
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    fn median_of(values: &[f64]) -> Option<f64> {
        let Ok(median) = median(|each| {
            values.chunks(7).for_each(&mut *each);
            Ok::<_, Infallible>(())
        });
        median
    }

    #[test]
    fn the_median_is_that_of_sorted_values() {
        let mut state = 1u64;
        for length in [1, 2, 3, 10, 101, 5000] {
            for spread in [3.0, 1e-300, 1e300] {
                let values: Vec<f64> = (0..length)
                    .map(|_| {
                        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                        (f64::from(u16::try_from(state >> 48).unwrap()) - 32_768.0) * spread
                    })
                    .collect();
                let mut sorted = values.clone();
                sorted.sort_by(f64::total_cmp);
                assert_eq!(median_of(&values), Some(sorted[(length - 1) / 2]));
                let with_missing: Vec<f64> = values.iter().flat_map(|value| [f64::NAN, *value]).collect();
                assert_eq!(median_of(&with_missing), Some(sorted[(length - 1) / 2]));
            }
        }
        assert_eq!(median_of(&[]), None);
        assert_eq!(median_of(&[f64::NAN]), None);
    }
}
