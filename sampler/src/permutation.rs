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

use crate::divisor::{INTEGERS, nearest, quotient};
use crate::philox::{Domain, Seed, segment_words};

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

/// How elements find their places.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Method {
    /// By shuffling up to the element.
    Shuffle,
    /// Through the network, with all rounds.
    AllRounds,
    /// Through the network, with [`ROUNDS`].
    FewerRounds,
}

impl Method {
    pub(crate) const ALL: [Self; 3] = [Self::Shuffle, Self::AllRounds, Self::FewerRounds];

    /// Returns the method for permutations of `len` elements.
    #[inline(always)]
    pub(crate) fn of(len: u64) -> Self {
        if len <= SHUFFLE_LEN_MAX {
            Self::Shuffle
        } else if len < FEWER_ROUNDS_LEN {
            Self::AllRounds
        } else {
            Self::FewerRounds
        }
    }
}

/// Permutations of `0 .. len` side by side, one a lane; all have one method.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Permutations<'a, const N: usize> {
    method: Method,
    len: [u64; N],
    /// The network permutes pairs of a number below `a` and one below `b`, of which there are few more than `len`.
    a: [u32; N],
    b: [u32; N],
    /// The number's own random word.
    word: [u64; N],
    rounds: &'a [u32; ROUNDS_MAX],
}

impl<'a, const N: usize> Permutations<'a, N> {
    /// Returns permutations of 1 to 2^32 elements with these numbers: one key gives 2^64 of them that have nothing to do
    /// with each other.
    #[inline(always)]
    pub(crate) fn new(key: &'a PermutationKey, method: Method, numbers: &[u64; N], len: &[u64; N]) -> Self {
        let (mut a, mut b, mut word) = ([0; N], [0; N], [0; N]);
        for lane in 0..N {
            word[lane] = mix64(key.tweak ^ numbers[lane]);
        }
        if method != Method::Shuffle {
            for lane in 0..N {
                a[lane] = even_side(len[lane]);
                b[lane] = quotient(len[lane] + u64::from(a[lane] - 1), a[lane]);
            }
        }
        Self { method, len: *len, a, b, word, rounds: &key.rounds }
    }

    /// Puts the place of each element in its stead.
    #[inline(always)]
    #[allow(clippy::cast_possible_truncation, reason = "elements and places are below len")]
    pub(crate) fn places(&self, elements: &mut [u32; N]) {
        let mut places = [0; N];
        for lane in 0..N {
            places[lane] = u64::from(elements[lane]);
        }
        self.step(&mut places);
        loop {
            let mut beyond = [0; N];
            for lane in 0..N {
                beyond[lane] = u64::from(places[lane] >= self.len[lane]);
            }
            if beyond == [0; N] {
                break;
            }
            let mut next = places;
            self.step(&mut next);
            for lane in 0..N {
                places[lane] = if beyond[lane] == 0 { places[lane] } else { next[lane] };
            }
        }
        for lane in 0..N {
            elements[lane] = places[lane] as u32;
        }
    }

    /// Takes each element one step along its cycle. Where that ends at the length or beyond, another step has to follow,
    /// until it does not: then it is the element's place.
    #[inline(always)]
    pub(crate) fn step(&self, elements: &mut [u64; N]) {
        match self.method {
            Method::Shuffle => self.shuffle(elements),
            Method::AllRounds => self.pass(self.rounds, elements),
            Method::FewerRounds => self.pass(&self.rounds[..ROUNDS], elements),
        }
    }

    /// Shuffles up to the last of the elements, the next digit of the word choosing among those that are left. What is done
    /// beyond an element leaves its place as it is.
    #[inline(always)]
    fn shuffle(&self, elements: &mut [u64; N]) {
        let mut places = [0xfedc_ba98_7654_3210u64; N];
        let mut word = self.word;
        let last = elements.iter().fold(0, |last, &element| last.max(element));
        for here in 0..=last {
            for lane in 0..N {
                let left = self.len[lane].saturating_sub(here);
                let product = (word[lane] >> 32) * left + (((word[lane] & 0xffff_ffff) * left) >> 32);
                word[lane] = word[lane].wrapping_mul(left);
                let there = here + (product >> 32);
                let differing = (places[lane] >> (4 * here) ^ places[lane] >> (4 * there)) & 15;
                places[lane] ^= differing << (4 * here) | differing << (4 * there);
            }
        }
        for lane in 0..N {
            elements[lane] = places[lane] >> (4 * elements[lane]) & 15;
        }
    }

    /// Passes each element through the network.
    #[inline(always)]
    #[allow(clippy::cast_possible_truncation, reason = "a remainder has as many bits as its divisor")]
    fn pass(&self, rounds: &[u32], elements: &mut [u64; N]) {
        let (mut left, mut right) = ([0; N], [0; N]);
        for lane in 0..N {
            left[lane] = quotient(elements[lane], self.b[lane]);
        }
        for lane in 0..N {
            right[lane] = (elements[lane] as u32).wrapping_sub(left[lane].wrapping_mul(self.b[lane]));
        }
        self.round_trip(rounds, &mut left, &mut right, add);
        for lane in 0..N {
            elements[lane] = u64::from(left[lane]) * u64::from(self.b[lane]) + u64::from(right[lane]);
        }
    }

    /// Runs all rounds once; `add` is [`add`], or [`add_wide`] where sides are longer.
    #[inline(always)]
    #[allow(clippy::cast_possible_truncation, reason = "halves of a word")]
    fn round_trip(
        &self,
        rounds: &[u32],
        left: &mut [u32; N],
        right: &mut [u32; N],
        add: impl Fn(u32, u32, u32) -> u32,
    ) {
        let (mut tweak_left, mut tweak_right) = ([0; N], [0; N]);
        for (tweak, word) in tweak_left.iter_mut().zip(&self.word) {
            *tweak = (word >> 32) as u32;
        }
        for (tweak, word) in tweak_right.iter_mut().zip(&self.word) {
            *tweak = *word as u32;
        }
        for keys in rounds.chunks_exact(2) {
            for lane in 0..N {
                left[lane] = add(left[lane], mix32(right[lane] ^ keys[0] ^ tweak_left[lane]), self.a[lane]);
            }
            for lane in 0..N {
                right[lane] = add(right[lane], mix32(left[lane] ^ keys[1] ^ tweak_right[lane]), self.b[lane]);
            }
        }
    }
}

/// Returns the place of `element` in the permutation of 1 to 2^62 elements with this number.
#[allow(clippy::cast_possible_truncation, reason = "left is below a, right below b, and both have 32 bits")]
pub(crate) fn wide_place(key: &PermutationKey, number: u64, len: u64, element: u64) -> u64 {
    if let (true, Ok(element)) = (len <= 1 << 32, u32::try_from(element)) {
        let mut places = [element];
        Permutations::new(key, Method::of(len), &[number], &[len]).places(&mut places);
        return u64::from(places[0]);
    }
    let a = even_side(len);
    let b = len.div_ceil(u64::from(a));
    let (method, word) = (Method::FewerRounds, mix64(key.tweak ^ number));
    let permutation = Permutations { method, len: [len], a: [a], b: [b as u32], word: [word], rounds: &key.rounds };
    let (mut left, mut right) = ([(element / b) as u32], [(element % b) as u32]);
    loop {
        permutation.round_trip(&key.rounds[..ROUNDS], &mut left, &mut right, add_wide);
        let place = u64::from(left[0]) * b + u64::from(right[0]);
        if place < len {
            return place;
        }
    }
}

/// Returns the even one of the two sides of a network of `len` elements, about √len: at most 2^31, for len 2^62.
#[inline(always)]
fn even_side(len: u64) -> u32 {
    let half = 0.5 * (len as f64).sqrt();
    let rounded = (half + INTEGERS) - INTEGERS;
    2 * (nearest(half) + u32::from(rounded < half))
}

/// Adds a random word, scaled to `0 .. modulus`, modulo `modulus`.
#[inline(always)]
#[allow(clippy::cast_possible_truncation, reason = "the high half of a product")]
fn add_wide(value: u32, word: u32, modulus: u32) -> u32 {
    wrap(value + ((u64::from(word) * u64::from(modulus)) >> 32) as u32, modulus)
}

/// The same for a modulus up to 2^16, in 32 bits, of which a vector has twice as many as of 64.
#[inline(always)]
fn add(value: u32, word: u32, modulus: u32) -> u32 {
    wrap(value + (((word >> 16) * modulus + (((word & 0xffff) * modulus) >> 16)) >> 16), modulus)
}

#[inline(always)]
fn wrap(sum: u32, modulus: u32) -> u32 {
    // Below the modulus the subtraction wraps around to something larger.
    sum.min(sum.wrapping_sub(modulus))
}

/// Wellons' `lowbias32`, the best 32-bit mixer of two multiplications known.
#[inline(always)]
fn mix32(mut word: u32) -> u32 {
    word ^= word >> 16;
    word = word.wrapping_mul(0x21f0_aaad);
    word ^= word >> 15;
    word = word.wrapping_mul(0xd35a_2d97);
    word ^ word >> 15
}

/// The finaliser of SplitMix64.
#[inline(always)]
fn mix64(mut word: u64) -> u64 {
    word = (word ^ word >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    word = (word ^ word >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ word >> 31
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::philox::LANES;
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

    fn permutation(key: &PermutationKey, number: u64, len: u64) -> Permutations<'_, 1> {
        Permutations::new(key, Method::of(len), &[number], &[len])
    }

    impl Permutations<'_, 1> {
        fn place(&self, element: u32) -> u32 {
            let mut places = [element];
            self.places(&mut places);
            places[0]
        }
    }

    /// Calls with permutations of many keys, and with many of the same key, as cells have them.
    fn permutations(len: u64, count: u64, mut look: impl FnMut(&Permutations<'_, 1>)) {
        for number in 0..count {
            look(&permutation(&key(number), 0, len));
        }
        let one = key(u64::MAX);
        for number in 0..count {
            look(&permutation(&one, number, len));
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(300))]

        #[test]
        fn every_place_is_taken_once(seed: u64, number: u64, len in prop_oneof![1u64..100, 1u64..70_000]) {
            let key = key(seed);
            let permutation = permutation(&key, number, len);
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
            prop_assert!(u64::from(permutation(&key, 0, len).place(element)) < len);
        }
    }

    /// Beyond 32 bits: distinct elements have distinct places in range, which are spread over the whole length.
    #[test]
    fn wide_permutations_are_permutations() {
        for len in [(1u64 << 32) + 1, 5_000_000_000, 1 << 50, 1 << 62] {
            let key = key(len);
            let elements = (0..100_000).chain(len - 100_000..len);
            let places: std::collections::BTreeSet<u64> =
                elements.map(|element| wide_place(&key, 1, len, element)).collect();
            assert_eq!(places.len(), 200_000, "length {len}");
            assert!(places.iter().all(|&place| place < len));
            let mut counts = vec![0; 100];
            places.iter().for_each(|&place| counts[usize::try_from(place / len.div_ceil(100)).unwrap()] += 1);
            assert!(p_value(&counts) > ALPHA, "length {len}: {counts:?}");
        }
        let key = key(3);
        for len in [1u64, 16, 17, 70_000, 1 << 32] {
            for element in [0, len / 2, len - 1] {
                let narrow = permutation(&key, 5, len).place(u32::try_from(element).unwrap());
                assert_eq!(wide_place(&key, 5, len, element), u64::from(narrow), "length {len}");
            }
        }
    }

    #[test]
    fn places_side_by_side_are_those_one_by_one() {
        let lens: [&[u64]; 3] =
            [&[1, 2, 5, 12, 16], &[17, 20, 30, 42, 63], &[64, 100, 1000, 1 << 20, (1 << 32) - 1, 1 << 32]];
        for (method, lens) in Method::ALL.into_iter().zip(lens) {
            let key = key(7);
            let lens: [u64; LANES] = std::array::from_fn(|lane| lens[lane % lens.len()]);
            let numbers: [u64; LANES] = std::array::from_fn(|lane| lane as u64);
            let permutations = Permutations::new(&key, method, &numbers, &lens);
            for from_end in 0..LANES as u64 {
                let elements = lens.map(|len| u32::try_from(len - 1 - from_end.min(len - 1)).unwrap());
                let mut places = elements;
                permutations.places(&mut places);
                for lane in 0..LANES {
                    let alone = permutation(&key, numbers[lane], lens[lane]);
                    assert_eq!((alone.method, alone.place(elements[lane])), (method, places[lane]), "{}", lens[lane]);
                }
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
                let place = permutation(&key, 7, len).place(u32::try_from(element).unwrap());
                (hash ^ u64::from(place)).wrapping_mul(0x0100_0000_01b3)
            })
        };
        assert_eq!(
            [10, 50, 100_003, 1 << 32].map(hash),
            [0x6493_4828_3fef_a334, 0x867b_e04b_02f9_e970, 0xe380_1ee5_2bb6_bf59, 0x3064_6d5d_219b_d1fb]
        );
    }
}
