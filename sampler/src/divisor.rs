//! Division without the processor's division of integers, which takes several times as long as everything else that a draw
//! needs: by a number that stays the same, and by many numbers side by side.

/// Added to a number up to 2^51, it leaves the nearest integer in the low bits.
pub(crate) const INTEGERS: f64 = (1u64 << 52) as f64;

/// A positive number to divide by.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Divisor {
    value: u64,
    /// ⌊(2^64 - 1) / value⌋.
    reciprocal: u64,
}

impl Divisor {
    pub(crate) fn new(value: u64) -> Self {
        Self { value, reciprocal: u64::MAX / value }
    }

    /// Returns the quotient, rounded down.
    #[inline(always)]
    pub(crate) fn divide(self, dividend: u64) -> u64 {
        // The reciprocal is less than 1 below 2^64 / value, in units of 1 / value: the estimate is at most 1 too small.
        let estimate = high_product(dividend, self.reciprocal);
        estimate + u64::from(dividend - estimate * self.value >= self.value)
    }
}

/// Returns ⌊dividend / divisor⌋, where the dividend is below 2^33 and the quotient below 2^32.
#[inline(always)]
pub(crate) fn quotient(dividend: u64, divisor: u32) -> u32 {
    let nearest = nearest(dividend as f64 / f64::from(divisor));
    nearest - u32::from(u64::from(nearest) * u64::from(divisor) > dividend)
}

/// Returns the integer nearest to a number from 0 to 2^32, as vector units convert fastest.
#[inline(always)]
#[allow(clippy::cast_possible_truncation, reason = "the low bits of a fraction are wanted")]
pub(crate) fn nearest(number: f64) -> u32 {
    (number + INTEGERS).to_bits() as u32
}

/// Returns the high half of a product, from products that vector units have.
#[inline(always)]
fn high_product(a: u64, b: u64) -> u64 {
    let ([a1, a0], [b1, b0]) = ([a >> 32, a & 0xffff_ffff], [b >> 32, b & 0xffff_ffff]);
    let low = a1 * b0 + ((a0 * b0) >> 32);
    let middle = a0 * b1 + (low & 0xffff_ffff);
    a1 * b1 + (low >> 32) + (middle >> 32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(20_000))]

        #[test]
        fn quotients_side_by_side_are_those_of_the_processor(
            (divisor, shift) in (1u32.., 0u32..32),
            quotient_less: u32,
            more in -2i64..3,
        ) {
            let divisor = (divisor >> shift).max(1);
            let largest = ((1u64 << 33) - 1).min(u64::from(divisor) << 32) - 1;
            let near = (u64::from(quotient_less) * u64::from(divisor)).min(largest);
            let dividend = near.saturating_add_signed(more).min(largest);
            prop_assert_eq!(u64::from(quotient(dividend, divisor)), dividend / u64::from(divisor));
        }

        #[test]
        fn quotients_are_those_of_the_processor(dividend: u64, (value, shift) in (1u64.., 0u32..64), near in 0u64..3) {
            let value = (value >> shift).max(1);
            for dividend in [dividend, (dividend - dividend % value).saturating_sub(near), u64::MAX - near] {
                prop_assert_eq!(Divisor::new(value).divide(dividend), dividend / value);
            }
        }
    }
}
