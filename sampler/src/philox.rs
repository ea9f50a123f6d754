//! Philox4x32-10, a counter-based random number generator (Salmon et al., *Parallel Random Numbers: As Easy as
//! 1, 2, 3*, SC 2011): any of its 2^128 blocks is computed directly, so draw `t` needs no draw before it.

/// A job's seed: the key of its generator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Seed(pub u64);

const MULTIPLIERS: [u64; 2] = [0xD251_1F53, 0xCD9E_8D57];
const KEY_INCREMENTS: [u32; 2] = [0x9E37_79B9, 0xBB67_AE85];
const ROUNDS: usize = 10;
/// The low half of a 64-bit word.
const LOW: u64 = 0xffff_ffff;

/// Blocks computed side by side; a multiple of the widest vector unit in use (8 lanes of 64 bits).
pub(crate) const LANES: usize = 16;

/// Returns the random block of `counter` under `key`, as published.
#[must_use]
pub fn philox4x32_10(counter: [u32; 4], key: [u32; 2]) -> [u32; 4] {
    let mut lanes = counter.map(|word| [u64::from(word)]);
    rounds(&mut lanes, key);
    lanes.map(|[word]| low(word))
}

/// Returns the two 64-bit words of draw `draw`: the first chooses the cell, the second the example within it.
pub(crate) fn draw_words(seed: Seed, draw: u64) -> [u64; 2] {
    let [a, b, c, d] = philox4x32_10([low(draw), high(draw), 0, 0], halves(seed.0));
    [join(a, b), join(c, d)]
}

/// What random words are for. Every purpose has counters of its own, so that no two share a block: those of
/// [`draw_words`] end in zero, all others in their domain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum Domain {
    /// The order of a segment's points.
    SegmentOrder = 1,
    /// The order of examples within cells.
    CellOrder = 2,
    /// The offset of a segment's points.
    Offset = 3,
}

/// Added to the round of a distinct plan; rounds are below it, and above every [`Domain`] with it.
const DISTINCT_ROUND: u32 = 1 << 31;

/// Added to the rank of who selects among proposals: ranks are below it, and every round of a distinct plan has a higher bit.
pub(crate) const SELECTION_RANK: u32 = 1 << 30;

/// Returns a word for the proposal at `position` of a step's, as `rank` selects among its own; ranks are below
/// [`SELECTION_RANK`].
pub(crate) fn proposal_word(seed: Seed, step: u64, rank: u32, position: u32) -> u64 {
    let [a, b, _, _] = philox4x32_10([low(step), high(step), position, SELECTION_RANK | rank], halves(seed.0));
    join(a, b)
}

/// Returns block `number` of one purpose of the segment that starts at draw `start`.
pub(crate) fn segment_words(seed: Seed, start: u64, number: u32, domain: Domain) -> [u32; 4] {
    philox4x32_10([low(start), high(start), number, domain as u32], halves(seed.0))
}

/// Returns a word for each row, in one round of the distinct plan of the segment that starts at draw `start`.
#[inline(always)]
pub(crate) fn row_words(seed: Seed, start: u64, round: u32, rows: &[u32; LANES]) -> [u64; LANES] {
    let mut lanes = [[0; LANES]; 4];
    for lane in 0..LANES {
        lanes[0][lane] = u64::from(rows[lane]);
        lanes[1][lane] = u64::from(low(start));
        lanes[2][lane] = u64::from(high(start));
        lanes[3][lane] = u64::from(DISTINCT_ROUND | round);
    }
    rounds(&mut lanes, halves(seed.0));
    let mut words = [0; LANES];
    for lane in 0..LANES {
        words[lane] = join(low(lanes[0][lane]), low(lanes[1][lane]));
    }
    words
}

/// Returns the words of draws `first .. first + LANES`, in halves: those of the first word, then those of the second. They
/// are the low halves of 64 bits, of which the high ones mean nothing.
#[inline(always)]
#[allow(clippy::needless_range_loop, reason = "arrays side by side, the shape compilers vectorise")]
pub(crate) fn draw_words_block(seed: Seed, first: u64) -> [[u64; LANES]; 4] {
    let mut lanes = [[0; LANES]; 4];
    for lane in 0..LANES {
        let draw = first.wrapping_add(lane as u64);
        lanes[0][lane] = draw & LOW;
        lanes[1][lane] = draw >> 32;
    }
    rounds(&mut lanes, halves(seed.0));
    lanes
}

/// Runs all rounds on counters whose words are the low halves of 64 bits, as vector units multiply them; the high halves
/// mean nothing after.
#[inline(always)]
#[allow(clippy::needless_range_loop, reason = "four arrays side by side, the shape compilers vectorise")]
fn rounds<const N: usize>(counter: &mut [[u64; N]; 4], mut key: [u32; 2]) {
    for _ in 0..ROUNDS {
        for lane in 0..N {
            let first = (counter[0][lane] & LOW) * MULTIPLIERS[0];
            let second = (counter[2][lane] & LOW) * MULTIPLIERS[1];
            counter[0][lane] = second >> 32 ^ counter[1][lane] ^ u64::from(key[0]);
            counter[1][lane] = second;
            counter[2][lane] = first >> 32 ^ counter[3][lane] ^ u64::from(key[1]);
            counter[3][lane] = first;
        }
        key = [key[0].wrapping_add(KEY_INCREMENTS[0]), key[1].wrapping_add(KEY_INCREMENTS[1])];
    }
}

/// Returns a 64-bit word as counters and keys hold it: its low half first.
#[must_use]
pub const fn halves(word: u64) -> [u32; 2] {
    [low(word), high(word)]
}

#[allow(clippy::cast_possible_truncation, reason = "the low half is what is wanted")]
const fn low(word: u64) -> u32 {
    word as u32
}

const fn high(word: u64) -> u32 {
    (word >> 32) as u32
}

pub(crate) const fn join(high: u32, low: u32) -> u64 {
    (high as u64) << 32 | low as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `kat_vectors` of the authors' Random123 library.
    #[test]
    fn the_published_vectors_hold() {
        let cases = [
            ([0; 4], [0; 2], [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]),
            ([u32::MAX; 4], [u32::MAX; 2], [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]),
            (
                [0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344],
                [0xa409_3822, 0x299f_31d0],
                [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1],
            ),
        ];
        for (counter, key, block) in cases {
            assert_eq!(philox4x32_10(counter, key), block);
        }
    }

    #[test]
    fn lanes_equal_single_blocks_across_the_32_bit_carry() {
        let (seed, first) = (Seed(0x0123_4567_89ab_cdef), u64::from(u32::MAX) - 5);
        let words = draw_words_block(seed, first);
        for lane in 0..LANES {
            let [a, b, c, d] = words.map(|words| low(words[lane]));
            assert_eq!([join(a, b), join(c, d)], draw_words(seed, first + lane as u64));
        }
    }
}
