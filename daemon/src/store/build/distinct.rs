//! The distinct values of a column in ascending order, in bounded memory and without a file of their own.
//!
//! Values are taken as integers that sort like them. A first pass over the column counts those of equal first 16 bits;
//! then every further pass gathers a range of them that fits in memory, and sorts it. Where a single one does not fit,
//! the same is done with its next 16 bits; the last 16 bits need no more than being counted.

use super::super::StoreError;

/// Bits told apart by one pass.
const DIGIT_BITS: u32 = 16;
/// Numbers of one digit.
const DIGITS: usize = 1 << DIGIT_BITS;
/// Values of equal first bits above which the last 16 are counted rather than sorted.
const COUNTED_MIN: usize = 1 << 12;

/// A pass over a column: hands its values over, block by block.
pub(super) type Scan<'a> = dyn FnMut(&mut dyn FnMut(&[f64])) -> Result<(), StoreError> + 'a;

/// Passes the distinct values and how often each occurs to `each`, ascending; -0 and 0 are one value. Holds at most
/// `bytes_max` of values, and two tables of counts.
pub(super) fn distinct_values(
    scan: &mut Scan<'_>,
    bytes_max: usize,
    mut each: impl FnMut(f64, u64),
) -> Result<(), StoreError> {
    // Most columns were written as f32, whose keys take a quarter of the memory and one pass less.
    let mut is_single = true;
    let mut counts = vec![0u64; DIGITS];
    scan(&mut |values| {
        is_single &= values.iter().all(|&value| f64::from(single(value)).to_bits() == value.to_bits());
        if is_single {
            count_digits::<u32>(values, None, &mut counts);
        }
    })?;
    if is_single {
        return ascend::<u32>(scan, bytes_max, &counts, None, &mut each);
    }
    let counts = count::<u64>(scan, None)?;
    ascend::<u64>(scan, bytes_max, &counts, None, &mut each)
}

#[allow(clippy::cast_possible_truncation, reason = "the nearest f32 is what is asked for")]
fn single(value: f64) -> f32 {
    value as f32
}

/// The keys that begin with the same bits.
#[derive(Debug, Clone, Copy)]
struct Prefix<K> {
    /// The bits, at the end of a key.
    bits: K,
    /// How many.
    len: u32,
}

/// A value as an integer that sorts like it.
trait Key: Copy + Ord {
    /// Its bits.
    const BITS: u32;
    /// What is left of it below its first digit.
    type Rest: Copy + Ord + Default;

    fn of(value: f64) -> Self;
    fn value(self) -> f64;
    /// Returns the first bits, `len` of them.
    fn first(self, len: u32) -> Self;
    /// Returns the digit that follows the first `len` bits.
    fn digit(self, len: u32) -> usize;
    fn with_digit(prefix: Option<Prefix<Self>>, digit: usize) -> Prefix<Self>;
    fn rest(self) -> Self::Rest;
    /// Passes the distinct keys of a prefix, given by their rests, and how often each occurs to `each`.
    fn distinct(prefix: Prefix<Self>, rests: &mut [Self::Rest], each: &mut dyn FnMut(f64, u64));
}

macro_rules! key {
    ($key:ty, $signed:ty, $rest:ty, $of:expr, $value:expr, $distinct:expr) => {
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_possible_wrap,
            reason = "bits are taken apart"
        )]
        impl Key for $key {
            const BITS: u32 = <$key>::BITS;
            type Rest = $rest;

            fn of(value: f64) -> Self {
                // Adding zero makes -0 equal to 0, as they tie.
                let bits: $key = $of(value + 0.0);
                // Of a negative number all bits are turned over, of another the sign.
                bits ^ (((bits as $signed) >> (Self::BITS - 1)) as $key | 1 << (Self::BITS - 1))
            }

            fn value(self) -> f64 {
                let is_negative = self >> (Self::BITS - 1) == 0;
                $value(if is_negative { !self } else { self ^ (1 << (Self::BITS - 1)) })
            }

            fn first(self, len: u32) -> Self {
                self >> (Self::BITS - len)
            }

            fn digit(self, len: u32) -> usize {
                (self >> (Self::BITS - len - DIGIT_BITS)) as usize & (DIGITS - 1)
            }

            fn with_digit(prefix: Option<Prefix<Self>>, digit: usize) -> Prefix<Self> {
                let (bits, len) = prefix.map_or((0, 0), |prefix| (prefix.bits, prefix.len));
                Prefix { bits: bits << DIGIT_BITS | digit as $key, len: len + DIGIT_BITS }
            }

            fn rest(self) -> $rest {
                self as $rest
            }

            fn distinct(prefix: Prefix<Self>, rests: &mut [$rest], each: &mut dyn FnMut(f64, u64)) {
                $distinct(prefix, rests, each);
            }
        }
    };
}

key!(u32, i32, u16, |value| single(value).to_bits(), |bits| f64::from(f32::from_bits(bits)), distinct_of_single);
key!(u64, i64, u64, f64::to_bits, f64::from_bits, distinct_of_double);

fn distinct_of_single(prefix: Prefix<u32>, rests: &mut [u16], each: &mut dyn FnMut(f64, u64)) {
    let key = |rest: u16| (prefix.bits << DIGIT_BITS | u32::from(rest)).value();
    if rests.len() < COUNTED_MIN {
        rests.sort_unstable();
        rests.chunk_by(|a, b| a == b).for_each(|tied| each(key(tied[0]), tied.len() as u64));
        return;
    }
    let mut counts = vec![0u32; DIGITS];
    rests.iter().for_each(|&rest| counts[usize::from(rest)] += 1);
    for (rest, &count) in (0..=u16::MAX).zip(&counts) {
        if count > 0 {
            each(key(rest), u64::from(count));
        }
    }
}

fn distinct_of_double(_prefix: Prefix<u64>, keys: &mut [u64], each: &mut dyn FnMut(f64, u64)) {
    keys.sort_unstable();
    keys.chunk_by(|a, b| a == b).for_each(|tied| each(tied[0].value(), tied.len() as u64));
}

fn count<K: Key>(scan: &mut Scan<'_>, prefix: Option<Prefix<K>>) -> Result<Vec<u64>, StoreError> {
    let mut counts = vec![0; DIGITS];
    scan(&mut |values| count_digits(values, prefix, &mut counts))?;
    Ok(counts)
}

/// Counts the digits that follow the prefix.
fn count_digits<K: Key>(values: &[f64], prefix: Option<Prefix<K>>, counts: &mut [u64]) {
    match prefix {
        None => values.iter().for_each(|&value| counts[K::of(value).digit(0)] += 1),
        Some(Prefix { bits, len }) => {
            for key in values.iter().map(|&value| K::of(value)).filter(|key| key.first(len) == bits) {
                counts[key.digit(len)] += 1;
            }
        }
    }
}

/// Passes the distinct values of a prefix on, given how often each digit follows it.
fn ascend<K: Key>(
    scan: &mut Scan<'_>,
    bytes_max: usize,
    counts: &[u64],
    prefix: Option<Prefix<K>>,
    each: &mut dyn FnMut(f64, u64),
) -> Result<(), StoreError> {
    let len = prefix.map_or(0, |prefix| prefix.len);
    if len + DIGIT_BITS == K::BITS {
        let present = counts.iter().enumerate().filter(|(_, count)| **count > 0);
        present.for_each(|(digit, &count)| each(K::with_digit(prefix, digit).bits.value(), count));
        return Ok(());
    }
    let held_max = (bytes_max / size_of::<K::Rest>()) as u64;
    let mut gathered: Vec<K::Rest> = Vec::new();
    let mut first = 0;
    while first < DIGITS {
        let mut held = counts[first];
        let mut end = first + 1;
        while end < DIGITS && held + counts[end] <= held_max {
            held += counts[end];
            end += 1;
        }
        if held > held_max {
            let prefix = Some(K::with_digit(prefix, first));
            // What is not needed while the digit is looked into.
            gathered = Vec::new();
            let counts = count(scan, prefix)?;
            ascend(scan, bytes_max, &counts, prefix, each)?;
        } else if held > 0 {
            gather(scan, prefix, (first, &counts[first..end]), &mut gathered)?;
            let mut rests = gathered.as_mut_slice();
            for (digit, &count) in (first..end).zip(&counts[first..end]) {
                let (of_digit, others) = rests.split_at_mut(usize::try_from(count).expect("they are held"));
                rests = others;
                K::distinct(K::with_digit(prefix, digit), of_digit, each);
            }
        }
        first = end;
    }
    Ok(())
}

/// Gathers the keys of a prefix whose next digits are among those counted from `first` on, in order of their digits.
fn gather<K: Key>(
    scan: &mut Scan<'_>,
    prefix: Option<Prefix<K>>,
    (first, counts): (usize, &[u64]),
    gathered: &mut Vec<K::Rest>,
) -> Result<(), StoreError> {
    let mut next = Vec::with_capacity(counts.len());
    let mut held = 0;
    for &count in counts {
        next.push(held);
        held += usize::try_from(count).expect("they are to be held");
    }
    gathered.clear();
    gathered.resize(held, K::Rest::default());
    let (bits, len) = prefix.map_or((None, 0), |prefix| (Some(prefix.bits), prefix.len));
    scan(&mut |values| {
        for key in values.iter().map(|&value| K::of(value)) {
            if bits.is_some_and(|bits| key.first(len) != bits) {
                continue;
            }
            // Digits below the first wrap to numbers beyond the last.
            if let Some(place) = next.get_mut(key.digit(len).wrapping_sub(first)) {
                gathered[*place] = key.rest();
                *place += 1;
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::{Strategy, any, prop, prop_oneof, proptest};

    fn ascending(values: &[f64], bytes_max: usize) -> Vec<(f64, u64)> {
        let mut found = Vec::new();
        let mut scan = |each: &mut dyn FnMut(&[f64])| {
            values.chunks(7).for_each(each);
            Ok(())
        };
        distinct_values(&mut scan, bytes_max, |value, count| found.push((value, count))).unwrap();
        found
    }

    fn expected(values: &[f64]) -> Vec<(f64, u64)> {
        let mut sorted: Vec<f64> = values.iter().map(|value| value + 0.0).collect();
        sorted.sort_unstable_by(f64::total_cmp);
        sorted.chunk_by(|a, b| a.total_cmp(b).is_eq()).map(|tied| (tied[0], tied.len() as u64)).collect()
    }

    proptest! {
        #[test]
        fn any_values_ascend_whatever_the_memory(
            singles in prop::collection::vec(any::<f32>().prop_filter("finite", |value| value.is_finite()), 1..300),
            doubles in prop::collection::vec(any::<f64>().prop_filter("finite", |value| value.is_finite()), 1..300),
            close in prop::collection::vec(prop_oneof![1.0..1.000_000_1, -1e-300..1e-300], 1..300),
            bytes_max in 1usize..4000,
        ) {
            let singles: Vec<f64> = singles.into_iter().map(f64::from).collect();
            for values in [singles, doubles, close] {
                assert_eq!(ascending(&values, bytes_max), expected(&values));
            }
        }
    }

    #[test]
    fn ties_are_counted_and_zeros_are_one_value() {
        let mut values: Vec<f64> = (0..20_000).map(|row| f64::from(row % 7) / 4.0).collect();
        values.extend([-0.0, 0.0, -1.5, 3.0e38, -3.0e38]);
        for bytes_max in [1, 1000, 100_000] {
            assert_eq!(ascending(&values, bytes_max), expected(&values));
            let doubles: Vec<f64> = values.iter().map(|value| value / 3.0).collect();
            assert_eq!(ascending(&doubles, bytes_max), expected(&doubles));
        }
    }
}
