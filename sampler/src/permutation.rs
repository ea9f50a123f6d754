//! Keyed pseudo-random permutations of `0 .. len` with random access: the place of one element costs O(1), and nothing
//! is stored.
//!
//! Up to [`SHUFFLE_LEN_MAX`] elements are shuffled (Fisher and Yates) by the digits of one random word: every
//! permutation is equally likely to 2^-19. Longer ones are a generalised Feistel network on pairs (left, right) of
//! a·b ≥ len, with modular additions, walking along its cycle until it is back below len (Black and Rogaway, *Ciphers
//! with Arbitrary Finite Domains*, 2002). a is even, so that adding to left permutes oddly half of the time.
//!
//! The number of rounds was chosen by χ² tests over 4 million keys: where elements 0 and 1, 0 and b, 0, 1 and b go
//! together, for lengths 17 to 1000, differed from uniform (by 10 standard deviations and more) up to 12 rounds at length
//! 17, and up to 8 rounds at length 50; not with the rounds below.

use crate::philox::{Domain, LANES, Seed, segment_words};

/// Elements that four bits of a 64-bit word name.
const SHUFFLE_LEN_MAX: u64 = 16;
/// From this length on, [`ROUNDS`] suffice.
const FEWER_ROUNDS_LEN: u64 = 64;
const ROUNDS: usize = 10;
const ROUNDS_MAX: usize = 16;

/// What the permutations of a segment are keyed by.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PermutationKey {
    tweak: u64,
    rounds: [u32; ROUNDS_MAX],
}

impl PermutationKey {
    /// Derives the key for one purpose of one segment of a job.
    pub(crate) fn new(seed: Seed, segment_start: u64, domain: Domain) -> Self {
        let block = |number| segment_words(seed, segment_start, number, domain);
        let mut rounds = [0; ROUNDS_MAX];
        for (number, keys) in (0..).zip(rounds.chunks_exact_mut(4)) {
            keys.copy_from_slice(&block(number));
        }
        let [high, low, ..] = block(u32::MAX);
        Self { tweak: u64::from(high) << 32 | u64::from(low), rounds }
    }
}

/// What permutations of one length have in common.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shape {
    len: u64,
    a: u32,
    b: u32,
}

impl Shape {
    /// Returns the shape of a length from 1 to 2^62; where elements have 32 bits, to 2^32.
    #[inline]
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a and b are at most 2^31, for len 2^62"
    )]
    pub(crate) fn new(len: u64) -> Self {
        let half = 0.5 * (len as f64).sqrt();
        let below = half as u32;
        let a = 2 * (below + u32::from(f64::from(below) < half));
        // 32-bit division takes half the time.
        let b = u32::try_from(len).map_or_else(|_longest| len.div_ceil(u64::from(a)) as u32, |len| len.div_ceil(a));
        Self { len, a, b }
    }
}

/// A permutation of `0 .. len`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Permutation<'a> {
    shape: Shape,
    /// The number's own random word.
    word: u64,
    rounds: &'a [u32],
}

impl<'a> Permutation<'a> {
    /// Returns the permutation with this number: one key gives 2^64 of them that have nothing to do with each other.
    #[inline]
    pub(crate) fn new(key: &'a PermutationKey, number: u64, shape: Shape) -> Self {
        let rounds = if shape.len < FEWER_ROUNDS_LEN { &key.rounds[..] } else { &key.rounds[..ROUNDS] };
        Self { shape, word: mix64(key.tweak ^ number), rounds }
    }

    /// Returns the place of `element`.
    #[inline]
    pub(crate) fn place(&self, element: u32) -> u32 {
        if self.shape.len <= SHUFFLE_LEN_MAX {
            return self.shuffle(element);
        }
        let mut places = [element];
        self.walk(&mut places);
        places[0]
    }

    /// The same where elements may have more than 32 bits.
    #[allow(clippy::cast_possible_truncation, reason = "left is below a, right below b, and both have 32 bits")]
    pub(crate) fn place_of_wide(&self, element: u64) -> u64 {
        let Shape { len, b, .. } = self.shape;
        if len <= 1 << 32 {
            return u64::from(self.place(element as u32));
        }
        let b = u64::from(b);
        let (mut left, mut right) = ([(element / b) as u32], [(element % b) as u32]);
        loop {
            self.round_trip(&mut left, &mut right);
            let place = u64::from(left[0]) * b + u64::from(right[0]);
            if place < len {
                return place;
            }
        }
    }

    /// Puts the place of each element in its stead, side by side, faster.
    #[inline]
    pub(crate) fn places(&self, elements: &mut [u32; LANES]) {
        if self.shape.len <= SHUFFLE_LEN_MAX {
            elements.iter_mut().for_each(|element| *element = self.shuffle(*element));
        } else {
            self.walk(elements);
        }
    }

    /// Shuffles up to the element, the next digit of the word choosing among those that are left.
    #[inline]
    #[allow(
        clippy::cast_possible_truncation,
        reason = "the low word has the digits that are left; a place has four bits"
    )]
    fn shuffle(&self, element: u32) -> u32 {
        let mut places: u64 = 0xfedc_ba98_7654_3210;
        let mut word = self.word;
        for here in 0..=u64::from(element) {
            let product = u128::from(word) * u128::from(self.shape.len - here);
            word = product as u64;
            let there = here + (product >> 64) as u64;
            let differing = (places >> (4 * here) ^ places >> (4 * there)) & 15;
            places ^= differing << (4 * here) | differing << (4 * there);
        }
        (places >> (4 * element)) as u32 & 15
    }

    /// Walks each element to its place.
    #[inline]
    #[allow(clippy::cast_possible_truncation, reason = "a place is below len")]
    fn walk<const N: usize>(&self, elements: &mut [u32; N]) {
        let Shape { len, b, .. } = self.shape;
        let mut left = elements.map(|element| element / b);
        let mut right: [u32; N] = std::array::from_fn(|lane| elements[lane] - left[lane] * b);
        self.round_trip(&mut left, &mut right);
        for (lane, element) in elements.iter_mut().enumerate() {
            let (mut left, mut right) = ([left[lane]], [right[lane]]);
            let place = loop {
                let place = u64::from(left[0]) * u64::from(b) + u64::from(right[0]);
                if place < len {
                    break place;
                }
                self.round_trip(&mut left, &mut right);
            };
            *element = place as u32;
        }
    }

    /// Runs all rounds once.
    #[inline]
    #[allow(clippy::cast_possible_truncation, reason = "halves of a word")]
    #[allow(clippy::needless_range_loop, reason = "two arrays side by side, the shape compilers vectorise")]
    fn round_trip<const N: usize>(&self, left: &mut [u32; N], right: &mut [u32; N]) {
        let Shape { a, b, .. } = self.shape;
        let tweaks = [(self.word >> 32) as u32, self.word as u32];
        for keys in self.rounds.chunks_exact(2) {
            for lane in 0..N {
                left[lane] = add(left[lane], mix32(right[lane] ^ keys[0] ^ tweaks[0]), a);
            }
            for lane in 0..N {
                right[lane] = add(right[lane], mix32(left[lane] ^ keys[1] ^ tweaks[1]), b);
            }
        }
    }
}

/// Adds a random word, scaled to `0 .. modulus`, modulo `modulus`.
#[inline]
fn add(value: u32, word: u32, modulus: u32) -> u32 {
    let sum = value + ((u64::from(word) * u64::from(modulus)) >> 32) as u32;
    // Below the modulus the subtraction wraps around to something larger.
    sum.min(sum.wrapping_sub(modulus))
}

/// Wellons' `lowbias32`, the best 32-bit mixer of two multiplications known.
#[inline]
fn mix32(mut word: u32) -> u32 {
    word ^= word >> 16;
    word = word.wrapping_mul(0x21f0_aaad);
    word ^= word >> 15;
    word = word.wrapping_mul(0xd35a_2d97);
    word ^ word >> 15
}

/// The finaliser of SplitMix64.
#[inline]
fn mix64(mut word: u64) -> u64 {
    word = (word ^ word >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    word = (word ^ word >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ word >> 31
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use statrs::distribution::{ChiSquared, ContinuousCDF};

    /// Chance of a false alarm of each χ² test, had the keys been drawn afresh.
    const ALPHA: f64 = 1e-6;

    fn key(seed: u64) -> PermutationKey {
        PermutationKey::new(Seed(seed), 0, Domain::SegmentOrder)
    }

    /// The χ² test's p-value of counts that are all expected alike.
    fn p_value(counts: &[u64]) -> f64 {
        let expected = counts.iter().sum::<u64>() as f64 / counts.len() as f64;
        let statistic: f64 = counts.iter().map(|&count| (count as f64 - expected).powi(2) / expected).sum();
        1.0 - ChiSquared::new(counts.len() as f64 - 1.0).unwrap().cdf(statistic)
    }

    /// Calls with permutations of many keys, and with many of the same key, as cells have them.
    fn permutations(len: u64, count: u64, mut look: impl FnMut(&Permutation<'_>)) {
        for number in 0..count {
            look(&Permutation::new(&key(number), 0, Shape::new(len)));
        }
        let one = key(u64::MAX);
        for number in 0..count {
            look(&Permutation::new(&one, number, Shape::new(len)));
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(300))]

        #[test]
        fn every_place_is_taken_once(seed: u64, number: u64, len in prop_oneof![1u64..100, 1u64..70_000]) {
            let key = key(seed);
            let permutation = Permutation::new(&key, number, Shape::new(len));
            let mut taken = vec![false; usize::try_from(len).unwrap()];
            for element in 0..u32::try_from(len).unwrap() {
                let place = permutation.place(element) as usize;
                prop_assert!(!taken[place]);
                taken[place] = true;
            }
        }

        /// Nothing overflows where lengths are largest.
        #[test]
        fn places_of_the_longest_permutations_are_in_range(seed: u64, element: u32, less in 0u64..100_000) {
            let (key, len) = (key(seed), (1u64 << 32) - less);
            let element = element.min(u32::try_from(len - 1).unwrap());
            prop_assert!(u64::from(Permutation::new(&key, 0, Shape::new(len)).place(element)) < len);
        }
    }

    /// Beyond 32 bits: distinct elements have distinct places in range, which are spread over the whole length.
    #[test]
    fn wide_permutations_are_permutations() {
        for len in [(1u64 << 32) + 1, 5_000_000_000, 1 << 50, 1 << 62] {
            let key = key(len);
            let permutation = Permutation::new(&key, 1, Shape::new(len));
            let elements = (0..100_000).chain(len - 100_000..len);
            let places: std::collections::BTreeSet<u64> =
                elements.map(|element| permutation.place_of_wide(element)).collect();
            assert_eq!(places.len(), 200_000, "length {len}");
            assert!(places.iter().all(|&place| place < len));
            let mut counts = vec![0; 100];
            places.iter().for_each(|&place| counts[usize::try_from(place / len.div_ceil(100)).unwrap()] += 1);
            assert!(p_value(&counts) > ALPHA, "length {len}: {counts:?}");
        }
        let key = key(3);
        for len in [1u64, 16, 17, 70_000, 1 << 32] {
            let permutation = Permutation::new(&key, 5, Shape::new(len));
            for element in [0, len / 2, len - 1] {
                let narrow = permutation.place(u32::try_from(element).unwrap());
                assert_eq!(permutation.place_of_wide(element), u64::from(narrow), "length {len}");
            }
        }
    }

    #[test]
    fn places_side_by_side_are_those_one_by_one() {
        for len in [1u64, 12, 16, 17, 30, 63, 64, 1000, 1 << 20, 1 << 32] {
            let (key, shape) = (key(len), Shape::new(len));
            let permutation = Permutation::new(&key, 3, shape);
            for first in [0, len.saturating_sub(LANES as u64)] {
                let elements = std::array::from_fn(|lane| u32::try_from((first + lane as u64).min(len - 1)).unwrap());
                let mut places = elements;
                permutation.places(&mut places);
                assert_eq!(places, elements.map(|element| permutation.place(element)), "length {len}");
            }
        }
    }

    #[test]
    fn permutations_of_up_to_six_elements_are_equally_likely() {
        for len in 2u64..=6 {
            let all: u64 = (1..=len).product();
            let mut counts = std::collections::BTreeMap::<Vec<u32>, u64>::new();
            permutations(len, 200_000, |permutation| {
                let places = (0..u32::try_from(len).unwrap()).map(|element| permutation.place(element)).collect();
                *counts.entry(places).or_default() += 1;
            });
            assert_eq!(counts.len() as u64, all, "length {len}");
            let p = p_value(&counts.into_values().collect::<Vec<_>>());
            assert!(p > ALPHA, "length {len}: p-value {p}");
        }
    }

    #[test]
    fn places_and_pairs_of_places_are_uniform() {
        for (len, pairs) in [(16u64, 400_000), (17, 400_000), (50, 400_000), (64, 400_000), (1000, 1_000_000)] {
            let size = usize::try_from(len).unwrap();
            // Elements beside each other share `left`, elements √len apart are likely to share `right`.
            for other in [1, u32::try_from(len.isqrt()).unwrap() + 1, u32::try_from(len - 1).unwrap()] {
                let mut single = vec![0; size];
                let mut pair = vec![0; size * size];
                permutations(len, pairs / 2, |permutation| {
                    let (first, second) = (permutation.place(0) as usize, permutation.place(other) as usize);
                    single[second] += 1;
                    pair[first * size + second] += 1;
                });
                let p = p_value(&single);
                assert!(p > ALPHA, "length {len}, element {other}: p-value {p}");
                let differing: Vec<u64> =
                    (0..size * size).filter(|at| at % (size + 1) != 0).map(|at| pair[at]).collect();
                // A million pairs at length 1000: tested in groups of 37 second places, 27 groups a first place.
                let group = if len == 1000 { 37 } else { 1 };
                let p = p_value(&differing.chunks_exact(group).map(|group| group.iter().sum()).collect::<Vec<_>>());
                assert!(p > ALPHA, "length {len}, elements 0 and {other}: p-value {p}");
            }
        }
    }

    /// These places must never change.
    #[test]
    fn places_are_frozen() {
        let hash = |len: u64| {
            let key = key(42);
            (0..len.min(10_000)).fold(0xcbf2_9ce4_8422_2325u64, |hash, element| {
                let place = Permutation::new(&key, 7, Shape::new(len)).place(u32::try_from(element).unwrap());
                (hash ^ u64::from(place)).wrapping_mul(0x0100_0000_01b3)
            })
        };
        assert_eq!(
            [10, 50, 100_003, 1 << 32].map(hash),
            [0x6493_4828_3fef_a334, 0x867b_e04b_02f9_e970, 0xe380_1ee5_2bb6_bf59, 0x3064_6d5d_219b_d1fb]
        );
    }
}
