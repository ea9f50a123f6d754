//! Draws are part of the contract: the same job draws the same examples in every version, on every platform. These
//! values must never change.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(clippy::float_cmp, reason = "equal to the last bit is what is claimed")]

use swift_sampler::{Dataset, FeatureTable, Sampler, SamplerSpec, Seed};

fn dataset() -> Dataset {
    let rows = 1000u32;
    let column = |scale: u32| (0..rows).map(|row| f64::from(row.wrapping_mul(2_654_435_761) % scale)).collect();
    let table = FeatureTable::new(vec![
        ("loss".into(), column(977)),
        ("entropy".into(), column(31)),
        ("grad_norm".into(), column(113)),
    ])
    .unwrap();
    Dataset::new(table, vec!["loss".into(), "entropy".into()], Some("grad_norm".into())).unwrap()
}

fn sampler(spec: &str) -> Sampler {
    Sampler::build(&serde_json::from_str::<SamplerSpec>(spec).unwrap(), &dataset()).unwrap()
}

/// FNV-1a over indices and the bits of probabilities.
fn hash(sampler: &Sampler, seed: Seed, first: u64, draws: u64) -> u64 {
    let len = usize::try_from(draws).unwrap();
    let (mut indices, mut probabilities) = (vec![0; len], vec![0.0; len]);
    sampler.draw_into(seed, first..first + draws, &mut indices, &mut probabilities);
    let words = indices.into_iter().zip(probabilities).flat_map(|(index, p)| [index, f32::to_bits(p)]);
    words
        .flat_map(u32::to_le_bytes)
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

const SWIFT: &str = r#"{"kind":"swift","features":["loss","entropy"],"coefficients":[0.6,-0.8],
    "knots":[0.25,0.5,0.75],"values":[0.1,1,0.5,0.25,0]}"#;

#[test]
fn the_first_draws_are_frozen() {
    let first = |spec: &str| (0..8).map(|draw| sampler(spec).draw(Seed(42), draw).index).collect::<Vec<_>>();
    assert_eq!(first(r#"{"kind":"uniform"}"#), UNIFORM);
    assert_eq!(first(r#"{"kind":"column","column":"entropy"}"#), COLUMN);
    assert_eq!(first(SWIFT), SWIFT_DRAWS);
}

#[test]
fn a_hundred_thousand_draws_hash_to_frozen_values() {
    assert_eq!(hash(&sampler(SWIFT), Seed(42), 0, 100_000), 0xd431_34c5_c9b8_6d88);
    assert_eq!(hash(&sampler(SWIFT), Seed(u64::MAX), (1 << 40) + 3, 100_000), 0x80af_6580_a75b_8541);
}

#[test]
fn blocks_of_any_length_and_offset_equal_single_draws() {
    let sampler = sampler(SWIFT);
    for (first, len) in [(0, 1), (5, 16), (7, 33), (u64::from(u32::MAX) - 3, 40)] {
        let (mut indices, mut probabilities) = (vec![0; len], vec![0.0; len]);
        sampler.draw_into(Seed(9), first..first + len as u64, &mut indices, &mut probabilities);
        for (position, draw) in (first..).take(len).enumerate() {
            let single = sampler.draw(Seed(9), draw);
            assert_eq!((indices[position], probabilities[position]), (single.index, single.probability));
        }
    }
}

const UNIFORM: [u32; 8] = [73, 513, 602, 586, 322, 51, 479, 90];
const COLUMN: [u32; 8] = [474, 444, 786, 661, 183, 23, 530, 79];
const SWIFT_DRAWS: [u32; 8] = [74, 383, 804, 49, 851, 301, 689, 480];
