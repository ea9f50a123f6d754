//! Philox4x32-10, a counter-based random number generator (Salmon et al., *Parallel Random Numbers: As Easy as
//! 1, 2, 3*, SC 2011): any of its 2^128 blocks is computed directly, so draw `t` needs no draw before it.

/// A job's seed: the key of its generator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Seed(pub u64);

const MULTIPLIERS: [u32; 2] = [0xD251_1F53, 0xCD9E_8D57];
const KEY_INCREMENTS: [u32; 2] = [0x9E37_79B9, 0xBB67_AE85];
const ROUNDS: usize = 10;

/// Blocks computed side by side; a multiple of the widest vector unit in use (16 lanes of 32 bits).
pub(crate) const LANES: usize = 16;

/// Returns the random block of `counter` under `key`, as published.
#[must_use]
pub fn philox4x32_10(counter: [u32; 4], key: [u32; 2]) -> [u32; 4] {
    let mut lanes = counter.map(|word| [word]);
    rounds(&mut lanes, key);
    lanes.map(|[word]| word)
}

/// Returns the two 64-bit words of draw `draw`: the first chooses the cell, the second the example within it.
pub(crate) fn draw_words(seed: Seed, draw: u64) -> [u64; 2] {
    let [a, b, c, d] = philox4x32_10([low(draw), high(draw), 0, 0], key(seed));
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

/// Returns block `number` of one purpose of the segment that starts at draw `start`.
pub(crate) fn segment_words(seed: Seed, start: u64, number: u32, domain: Domain) -> [u32; 4] {
    philox4x32_10([low(start), high(start), number, domain as u32], key(seed))
}

/// Returns a word for each row, in one round of the distinct plan of the segment that starts at draw `start`.
pub(crate) fn row_words(seed: Seed, start: u64, round: u32, rows: &[u32; LANES]) -> [u64; LANES] {
    let mut lanes = [*rows, [low(start); LANES], [high(start); LANES], [DISTINCT_ROUND | round; LANES]];
    rounds(&mut lanes, key(seed));
    std::array::from_fn(|lane| join(lanes[0][lane], lanes[1][lane]))
}

/// Fills `cell` and `position` with the words of draws `first .. first + LANES`.
#[allow(clippy::needless_range_loop, reason = "four arrays side by side, the shape compilers vectorise")]
pub(crate) fn draw_words_block(seed: Seed, first: u64, cell: &mut [u64; LANES], position: &mut [u64; LANES]) {
    let mut lanes = [[0u32; LANES]; 4];
    for lane in 0..LANES {
        let draw = first.wrapping_add(lane as u64);
        lanes[0][lane] = low(draw);
        lanes[1][lane] = high(draw);
    }
    rounds(&mut lanes, key(seed));
    for lane in 0..LANES {
        cell[lane] = join(lanes[0][lane], lanes[1][lane]);
        position[lane] = join(lanes[2][lane], lanes[3][lane]);
    }
}

#[allow(clippy::needless_range_loop, reason = "four arrays side by side, the shape compilers vectorise")]
fn rounds<const N: usize>(counter: &mut [[u32; N]; 4], mut key: [u32; 2]) {
    for _ in 0..ROUNDS {
        for lane in 0..N {
            let first = u64::from(counter[0][lane]) * u64::from(MULTIPLIERS[0]);
            let second = u64::from(counter[2][lane]) * u64::from(MULTIPLIERS[1]);
            counter[0][lane] = high(second) ^ counter[1][lane] ^ key[0];
            counter[1][lane] = low(second);
            counter[2][lane] = high(first) ^ counter[3][lane] ^ key[1];
            counter[3][lane] = low(first);
        }
        key = [key[0].wrapping_add(KEY_INCREMENTS[0]), key[1].wrapping_add(KEY_INCREMENTS[1])];
    }
}

fn key(seed: Seed) -> [u32; 2] {
    [low(seed.0), high(seed.0)]
}

#[allow(clippy::cast_possible_truncation, reason = "the low half is what is wanted")]
const fn low(word: u64) -> u32 {
    word as u32
}

const fn high(word: u64) -> u32 {
    (word >> 32) as u32
}

const fn join(high: u32, low: u32) -> u64 {
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
        let seed = Seed(0x0123_4567_89ab_cdef);
        let first = u64::from(u32::MAX) - 5;
        let (mut cell, mut position) = ([0; LANES], [0; LANES]);
        draw_words_block(seed, first, &mut cell, &mut position);
        for lane in 0..LANES {
            assert_eq!([cell[lane], position[lane]], draw_words(seed, first + lane as u64));
        }
    }
}
