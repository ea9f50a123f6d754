//! Arithmetic over vectors, written so that the compiler computes several entries at once.
//!
//! It may not reorder a sum on its own, so it would add one number at a time; hence the lanes.

/// Partial sums that are added up at the end: enough for two vector registers in flight on any machine.
const LANES: usize = 8;

/// Returns the inner product.
pub(crate) fn dot(a: &[f64], b: &[f64]) -> f64 {
    sum_of(a, b, |x, y| x * y)
}

/// Returns the sum of `term` over pairs of entries; where one vector is longer, its end does not count.
pub(crate) fn sum_of(a: &[f64], b: &[f64], term: impl Fn(f64, f64) -> f64) -> f64 {
    let shared = a.len().min(b.len());
    let (a, b) = (&a[..shared], &b[..shared]);
    let mut lanes = [0.0; LANES];
    let (left, right) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
    let tail: f64 = left.remainder().iter().zip(right.remainder()).map(|(x, y)| term(*x, *y)).sum();
    for (x, y) in left.zip(right) {
        for lane in 0..LANES {
            lanes[lane] += term(x[lane], y[lane]);
        }
    }
    lanes.iter().sum::<f64>() + tail
}

/// 3/2 · 2^52: added to a number below 2^51, it leaves the nearest integer in the last bits.
const ROUNDING: f64 = 6_755_399_441_055_744.0;
/// ln 2 in two parts, the first of which times a whole number below 2^11 is exact.
const LN_2: [f64; 2] = [6.931_471_803_691_238e-1, 1.908_214_929_270_587_7e-10];
/// 1/n! for n = 0, 1, … 13.
const EXP_SERIES: [f64; 14] = [
    1.0,
    1.0,
    0.5,
    1.0 / 6.0,
    1.0 / 24.0,
    1.0 / 120.0,
    1.0 / 720.0,
    1.0 / 5_040.0,
    1.0 / 40_320.0,
    1.0 / 362_880.0,
    1.0 / 3_628_800.0,
    1.0 / 39_916_800.0,
    1.0 / 479_001_600.0,
    1.0 / 6_227_020_800.0,
];

/// Returns e^x for x ≤ 0 to 10^-15, and at least e^-700.
///
/// Without branches or tables, so that the compiler computes several at once; the same to the bit on every machine.
#[inline]
pub(crate) fn exp_of_negative(x: f64) -> f64 {
    let x = if x > -700.0 { x } else { -700.0 };
    let shifted = x * std::f64::consts::LOG2_E + ROUNDING;
    let power = shifted - ROUNDING;
    let r = (x - power * LN_2[0]) - power * LN_2[1];
    // Estrin's scheme: few of the additions wait for another.
    let (square, fourth) = (r * r, (r * r) * (r * r));
    let c = EXP_SERIES;
    let cubic = |n: usize| (c[n] + c[n + 1] * r) + (c[n + 2] + c[n + 3] * r) * square;
    let sum = (cubic(0) + cubic(4) * fourth) + (cubic(8) + (c[12] + c[13] * r) * fourth) * (fourth * fourth);
    // 2^power: the exponent's bits are those that the rounding left.
    sum * f64::from_bits(shifted.to_bits().wrapping_add(1023) << 52)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_in_lanes_are_the_sums_whatever_the_length() {
        for length in 0..40usize {
            let a: Vec<f64> = (0..length).map(|i| i as f64 - 7.0).collect();
            let b: Vec<f64> = (0..length).map(|i| (i * i % 13) as f64).collect();
            let expected: f64 = a.iter().zip(&b).map(|(x, y)| x * y).sum();
            assert!((dot(&a, &b) - expected).abs() < 1e-9, "{length}");
            let squares: f64 = a.iter().zip(&b).map(|(x, y)| x * (3.0 - y) * (3.0 - y)).sum();
            assert!((sum_of(&a, &b, |x, y| x * (3.0 - y) * (3.0 - y)) - squares).abs() < 1e-8, "{length}");
        }
    }

    #[test]
    fn exponentials_are_those_of_the_library_to_the_last_digits() {
        for step in 0..70_000 {
            let x = -0.01 * f64::from(step) - 0.003;
            assert!((exp_of_negative(x) / x.max(-700.0).exp() - 1.0).abs() < 1e-15, "{x}");
        }
        assert!((exp_of_negative(0.0) - 1.0).abs() < 1e-16 && exp_of_negative(f64::NEG_INFINITY) > 0.0);
    }
}
