//! Exponentially distributed numbers from random words, the same to the last bit on every platform: only additions,
//! multiplications and divisions of IEEE 754 are used, whose results are exactly specified. The logarithm of a platform's
//! library is not.

use std::f64::consts::SQRT_2;

/// ln 2, in two parts: the first has so few bits that its product with an exponent is exact.
const LN_2_HIGH: f64 = f64::from_bits(0x3fe6_2e42_fee0_0000);
const LN_2_LOW: f64 = f64::from_bits(0x3dea_39ef_3579_3c76);
/// 2^-64.
const WORD_UNIT: f64 = 1.0 / 18_446_744_073_709_551_616.0;
/// ln(1 + f) is computed for |f| at most about 0.414; this is 1 - √½, from where on doubling 1 - v does better.
const NEAR_ONE: f64 = 0.292_893_218_813_452_5;

/// Returns a number of the standard exponential distribution, positive and finite.
///
/// The word's first bit chooses the half of the distribution, so that small numbers, which decide what is drawn first,
/// and large ones are equally finely divided.
#[inline]
pub(crate) fn exponential(word: u64) -> f64 {
    let large = word >> 63 == 1;
    let v = (if large { !word } else { word } as f64 + 0.5) * WORD_UNIT;
    if large {
        -ln(v)
    } else if v < NEAR_ONE {
        -ln_near_one(-v, 0.0)
    } else {
        // 1 - v = (1 + f) / 2, and f = 1 - 2v is exact.
        -ln_near_one(1.0 - 2.0 * v, -1.0)
    }
}

/// Returns ln x for a positive normal number.
fn ln(x: f64) -> f64 {
    const FRACTION: u64 = (1 << 52) - 1;
    let bits = x.to_bits();
    #[allow(clippy::cast_precision_loss, reason = "an exponent has 11 bits")]
    let exponent = (bits >> 52) as f64 - 1023.0;
    let fraction = f64::from_bits(bits & FRACTION | 1023 << 52);
    if fraction > SQRT_2 {
        ln_near_one(0.5 * fraction - 1.0, exponent + 1.0)
    } else {
        ln_near_one(fraction - 1.0, exponent)
    }
}

/// Returns ln(1 + f) + k·ln 2, where 1 + f is between √½ and √2 or so.
///
/// With s = f / (2 + f), ln(1 + f) = ln(1 + s) - ln(1 - s) = 2s + s·R where R = 2(s²/3 + s⁴/5 + …), and 2s = f - s·f.
/// Eleven terms leave less than 2^-58 of the sum. Subtracting from f what is smaller than f loses least.
#[inline]
fn ln_near_one(f: f64, k: f64) -> f64 {
    let s = f / (2.0 + f);
    let z = s * s;
    let mut series = 0.0;
    for denominator in [23.0, 21.0, 19.0, 17.0, 15.0, 13.0, 11.0, 9.0, 7.0, 5.0, 3.0] {
        series = series * z + 2.0 / denominator;
    }
    let half_square = 0.5 * f * f;
    // f - (f²/2 - s·(f²/2 + R)) = f - s·f + s·R, as f²/2 - s·f²/2 = s·f.
    k * LN_2_HIGH - ((half_square - (s * (half_square + z * series) + k * LN_2_LOW)) - f)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Units in the last place between two positive numbers.
    fn ulps(a: f64, b: f64) -> u64 {
        a.to_bits().abs_diff(b.to_bits())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(100_000))]

        #[test]
        fn logarithms_are_those_of_the_standard_library_to_four_units_in_the_last_place(word: u64, shift in 0u32..64) {
            let word = word >> shift;
            let v = (word as f64 + 0.5) * WORD_UNIT;
            prop_assert!(ulps(exponential(!word), -v.ln()) <= 4 || v >= 0.5, "ln {}", v);
            prop_assert!(ulps(exponential(word), -(-v).ln_1p()) <= 4 || v >= 0.5, "ln_1p {}", -v);
        }
    }

    #[test]
    fn the_ends_of_the_distribution_are_positive_and_finite() {
        let first = exponential(0);
        assert!(first > 0.0 && first < 1e-19);
        let last = exponential(u64::MAX);
        assert!(last > 45.0 && last.is_finite());
        let median = std::f64::consts::LN_2;
        assert!((exponential((1 << 63) - 1) - median).abs() < 1e-15 && (exponential(1 << 63) - median).abs() < 1e-15);
    }

    /// These bits must never change: the order of distinct draws follows from them.
    #[test]
    fn the_numbers_are_frozen() {
        let mut word = 1u64;
        let hash = (0..1_000_000).fold(0xcbf2_9ce4_8422_2325u64, |hash, _| {
            word = word.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (hash ^ exponential(word).to_bits()).wrapping_mul(0x0100_0000_01b3)
        });
        assert_eq!(hash, 0x086a_7024_f645_0982);
    }
}
