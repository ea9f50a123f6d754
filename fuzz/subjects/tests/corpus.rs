//! Every target takes its corpus and seeded mutations of it.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::fs;
use std::path::Path;

use swift_sampler_fuzz_subjects::TARGETS;

/// Mutations of each target's corpus; `CASES` sets another number.
const CASES_DEFAULT: u32 = 2000;
/// Most bytes that are changed at once.
const CHANGES_MAX: usize = 8;

fn corpus(target: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../corpus").join(target);
    let mut files: Vec<_> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(!files.is_empty(), "{} has no seeds", folder.display());
    files.iter().map(|file| fs::read(file).unwrap()).collect()
}

/// Changes, removes, repeats or adds some bytes, or joins the starts and ends of two seeds.
fn mutate(seeds: &[Vec<u8>], random: &mut fastrand::Rng) -> Vec<u8> {
    let mut data = random.choice(seeds).unwrap().clone();
    for _ in 0..random.usize(1..=CHANGES_MAX) {
        let at = random.usize(0..=data.len());
        match random.u8(0..6) {
            0 | 1 if at < data.len() => data[at] ^= 1 << random.u8(0..8),
            2 if at < data.len() => data[at] = *random.choice(&[0, 1, 0x7f, 0x80, 0xff]).unwrap(),
            3 => data.truncate(at),
            4 => {
                let end = random.usize(at..=data.len());
                let part = data[at..end.min(at + 64)].to_vec();
                data.splice(at..at, part);
            }
            _ => {
                let other = random.choice(seeds).unwrap();
                let from = random.usize(0..=other.len());
                data.truncate(at);
                data.extend_from_slice(&other[from..]);
            }
        }
    }
    data
}

#[test]
fn no_target_panics_at_its_corpus_or_at_mutations_of_it() {
    let cases = std::env::var("CASES").map_or(CASES_DEFAULT, |cases| cases.parse().unwrap());
    for (name, target) in TARGETS {
        let seeds = corpus(name);
        seeds.iter().for_each(|seed| target(seed));
        let mut random = fastrand::Rng::with_seed(7);
        for case in 0..cases {
            let data = mutate(&seeds, &mut random);
            let outcome = std::panic::catch_unwind(|| target(&data));
            assert!(outcome.is_ok(), "{name}, case {case}: {data:?}");
        }
    }
}
