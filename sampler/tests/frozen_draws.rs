//! Draws are part of the contract: the same job draws the same examples in every version, on every platform. These
//! values must never change.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(clippy::float_cmp, reason = "equal to the last bit is what is claimed")]

use std::sync::Arc;

use swift_sampler::{Dataset, FeatureTable, Plan, Replacement, Sampler, SamplerSpec, Seed, Segment};

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
    hash_of(indices, probabilities)
}

fn hash_of(indices: Vec<u32>, probabilities: Vec<f32>) -> u64 {
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
            assert_eq!((u64::from(indices[position]), probabilities[position]), (single.index, single.probability));
        }
    }
}

/// A segment's draws in one mode; `before`: the segment before it, with its sampler.
fn planned(mode: Replacement, spec: &str, segment: Segment, before: Option<(&str, Segment)>) -> (Vec<u32>, Vec<f32>) {
    let plan = |spec: &str, segment, before: Option<&Plan>| {
        Plan::new(Arc::new(sampler(spec)), Seed(42), mode, segment, before).unwrap()
    };
    let before = before.map(|(spec, segment)| plan(spec, segment, None));
    let plan = plan(spec, segment, before.as_ref());
    let len = usize::try_from(segment.draws()).unwrap();
    let (mut indices, mut probabilities) = (vec![0; len], vec![0.0; len]);
    plan.draw_into(segment.start..segment.end, &mut indices, &mut probabilities);
    (indices, probabilities)
}

#[test]
fn the_draws_of_every_mode_are_frozen() {
    let far = 7_000_000_000_000;
    let epoch = Segment { epoch_start: far, start: far, end: far + 1000 };
    let rest = Segment { start: far + 333, ..epoch };
    for (mode, expected) in [(Replacement::Stratified, STRATIFIED), (Replacement::Distinct, DISTINCT)] {
        let hash = |spec, segment, before| {
            let (indices, probabilities) = planned(mode, spec, segment, before);
            hash_of(indices, probabilities)
        };
        let uniform = r#"{"kind":"uniform"}"#;
        let column = r#"{"kind":"column","column":"entropy"}"#;
        let hashes = [
            hash(uniform, epoch, None),
            hash(column, epoch, None),
            hash(SWIFT, epoch, None),
            hash(SWIFT, rest, Some((uniform, epoch))),
        ];
        assert_eq!(planned(mode, SWIFT, epoch, None).0[..8], expected.0, "{mode:?}");
        assert_eq!(hashes, expected.1, "{mode:?}: {hashes:#018x?}");
    }
    // Independent draws do not depend on how they are planned.
    let (indices, probabilities) = planned(Replacement::Independent, SWIFT, epoch, None);
    assert_eq!(hash_of(indices, probabilities), hash(&sampler(SWIFT), Seed(42), far, 1000));
}

/// The first draws of an epoch under the swift sampler, and hashes of epochs under the uniform, the column and the swift
/// sampler, and of the rest of an epoch after a swap from the uniform to the swift sampler.
type Frozen = ([u32; 8], [u64; 4]);
const STRATIFIED: Frozen = (
    [890, 385, 246, 810, 808, 618, 329, 552],
    [0x6426_a5d1_fc87_c501, 0xfddc_80cd_52d9_2ef8, 0xdc12_5f68_de6c_51fb, 0xe9b4_1567_789c_ec7e],
);
const DISTINCT: Frozen = (
    [321, 761, 542, 126, 49, 996, 640, 392],
    [0xe080_18e7_45ee_94f9, 0x2922_0147_edbe_59aa, 0xe30c_3f91_55af_f533, 0x0649_fc0b_7214_fcf8],
);

const UNIFORM: [u64; 8] = [73, 513, 602, 586, 322, 51, 479, 90];
const COLUMN: [u64; 8] = [474, 444, 786, 661, 183, 23, 530, 79];
const SWIFT_DRAWS: [u64; 8] = [74, 383, 804, 49, 851, 301, 689, 480];
