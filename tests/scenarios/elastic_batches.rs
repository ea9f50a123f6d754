//! The global batches of a job do not depend on who reads them, in how many parts, or how often the daemon restarts.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::ops::Range;
use std::path::Path;

use serde_json::Value;
use swift_sampler::{Dataset, FeatureTable, Sampler, SamplerSpec, Seed};
use swift_sampler_tests::dataset::Columns;
use swift_sampler_tests::samplerctl::DrawJob;
use swift_sampler_tests::{Samplerctl, Samplerd};

const SPEC: &str = r#"{"kind":"swift","features":["loss","entropy"],"coefficients":[0.6,-0.8],
    "knots":[0.25,0.5,0.75],"values":[0.1,1,0.5,0.25,0]}"#;
const ROWS: u32 = 5000;
const JOB: DrawJob<'static> = DrawJob { name: "train", dataset: "d", seed: 11, batch_size: 256, follow: "step" };

/// Imports a dataset and activates a swift sampler on it.
fn prepare(ctl: &Samplerctl, folder: &Path) -> Columns {
    let columns = Columns::random(ROWS, 3);
    let file = columns.write_csv(folder, "features.csv");
    ctl.one(&["dataset", "import", "d", file.to_str().unwrap()]);
    let version = ctl.put("d", folder, SPEC);
    ctl.activate("d", version);
    columns
}

fn indices(step: &Value) -> Vec<u64> {
    step["indices"].as_array().unwrap().iter().map(|index| index.as_u64().unwrap()).collect()
}

#[test]
fn one_rank_three_ranks_and_a_restarted_daemon_give_the_same_global_batches() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Samplerd::start(&folder.path().join("data"));
    prepare(&daemon.ctl(), folder.path());

    let whole = daemon.ctl().draw(&JOB, 0..100, 0, 1);
    let ranks: Vec<Vec<Value>> = (0..3).map(|rank| daemon.ctl().draw(&JOB, 0..100, rank, 3)).collect();
    let daemon = daemon.kill_and_restart();
    let replay = daemon.ctl().draw(&JOB, 0..100, 0, 1);

    assert_eq!(whole.len(), 100);
    assert_eq!(replay, whole);
    for (step, global) in whole.iter().enumerate() {
        let parts: Vec<u64> = ranks.iter().flat_map(|rank| indices(&rank[step])).collect();
        assert_eq!(parts, indices(global));
        assert_eq!(parts.len(), 256);
        for rank in &ranks {
            assert_eq!(rank[step]["version"], global["version"]);
            assert!((85..=86).contains(&indices(&rank[step]).len()));
        }
    }
}

#[test]
fn what_the_daemon_serves_is_what_the_library_draws() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Samplerd::start(&folder.path().join("data"));
    let columns = prepare(&daemon.ctl(), folder.path());
    let served = daemon.ctl().draw(&JOB, 40..60, 0, 1);

    let table = FeatureTable::new(vec![
        ("loss".into(), columns.loss),
        ("entropy".into(), columns.entropy),
        ("grad_norm".into(), columns.grad_norm),
    ])
    .unwrap();
    let dataset = Dataset::new(table, vec!["loss".into(), "entropy".into()], Some("grad_norm".into())).unwrap();
    let sampler = Sampler::build(&serde_json::from_str::<SamplerSpec>(SPEC).unwrap(), &dataset).unwrap();
    let mut draw = 40 * 256;
    for (step, batch) in (40u64..).zip(&served) {
        assert_eq!(batch["step"], step);
        assert_eq!(batch["epoch"], step * 256 / u64::from(ROWS));
        for (index, probability) in indices(batch).iter().zip(batch["probabilities"].as_array().unwrap()) {
            let expected = sampler.draw(Seed(11), draw);
            assert_eq!(*index, expected.index);
            #[allow(clippy::cast_possible_truncation, reason = "probabilities travel as f32")]
            let probability = probability.as_f64().unwrap() as f32;
            assert_eq!(probability.to_bits(), expected.probability.to_bits());
            draw += 1;
        }
    }
    assert_eq!(served.len(), 20);
}

/// Draws steps of a job on dataset "d" as one rank of a world, in any mode.
fn draw_in_mode(ctl: &Samplerctl, mode: &str, steps: Range<u64>, rank: u32, world_size: u32) -> Vec<Value> {
    let (steps, rank) = (format!("{}..{}", steps.start, steps.end), rank.to_string());
    let world_size = world_size.to_string();
    let job =
        ["draw", "d", "--job", mode, "--mode", mode, "--epoch-draws", "4600", "--seed", "11", "--batch-size", "250"];
    let share = ["--steps", &steps, "--rank", &rank, "--world-size", &world_size];
    ctl.run(&[job.as_slice(), &share].concat()).unwrap_or_else(|failure| panic!("{steps} in {mode}: {failure:?}"))
}

fn fnv(rows: &[u64]) -> u64 {
    rows.iter().fold(0xcbf2_9ce4_8422_2325, |hash, row| (hash ^ row).wrapping_mul(0x0100_0000_01b3))
}

/// Draws of an epoch, whose last batch runs into the next one.
const EPOCH_DRAWS: u64 = 4600;
/// Where the swap takes effect, inside the fourth epoch: nothing is frozen beyond what was asked for.
const SWAP_STEP: u64 = 64;
const STEPS: u64 = 100;

/// A job of 4 ranks is restarted with 3, sees a swap, and is restarted with 6. In every mode its sequence is that of one
/// rank that replays it, and never changes: it is held by its hash.
#[test]
fn a_job_that_goes_from_4_to_3_to_6_ranks_with_a_swap_in_between_is_what_one_rank_replays() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Samplerd::start(&folder.path().join("data"));
    let ctl = daemon.ctl();
    prepare(&ctl, folder.path());
    let modes = [
        ("independent", 0xdfda_281b_9393_d4aa),
        ("stratified", 0xb841_ed08_a6de_7dc8),
        ("distinct", 0xe0a9_0ff7_ded1_c315),
    ];
    let mut trained: Vec<Vec<u64>> = vec![Vec::new(); modes.len()];
    let mut train = |steps: Range<u64>, world_size: u32| {
        for ((mode, _), trained) in modes.iter().zip(&mut trained) {
            let ranks: Vec<_> =
                (0..world_size).map(|rank| draw_in_mode(&ctl, mode, steps.clone(), rank, world_size)).collect();
            for step in 0..ranks[0].len() {
                trained.extend(ranks.iter().flat_map(|rank| indices(&rank[step])));
            }
        }
    };
    train(0..SWAP_STEP, 4);
    ctl.activate("d", 1);
    train(SWAP_STEP..83, 3);
    train(83..STEPS, 6);

    let daemon = daemon.kill_and_restart();
    for ((mode, hash), trained) in modes.into_iter().zip(trained) {
        let replay = draw_in_mode(&daemon.ctl(), mode, 0..STEPS, 0, 1);
        let replayed: Vec<u64> = replay.iter().flat_map(indices).collect();
        assert_eq!(replayed.len(), 25_000);
        assert_eq!(replayed, trained, "{mode}");
        for (step, batch) in (0..).zip(&replay) {
            assert_eq!(batch["version"], if step < SWAP_STEP { 2 } else { 1 });
            assert_eq!(batch["epoch"], step * 250 / EPOCH_DRAWS);
        }
        if mode == "distinct" {
            for epoch in replayed.chunks_exact(4600) {
                let seen: BTreeSet<_> = epoch.iter().collect();
                assert_eq!(seen.len(), 4600, "an example comes twice in an epoch");
            }
        }
        assert_eq!(fnv(&replayed), hash, "{mode}: {:#x}", fnv(&replayed));
    }
}

#[test]
fn an_epoch_of_a_stratified_job_under_the_uniform_sampler_is_a_shuffle() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Samplerd::start(&folder.path().join("data"));
    let ctl = daemon.ctl();
    prepare(&ctl, folder.path());
    ctl.activate("d", 1);
    let arguments = ["draw", "d", "--job", "j", "--mode", "stratified", "--batch-size", "250", "--steps", "0..40"];
    let steps = ctl.run(&arguments).unwrap();
    let drawn: Vec<u64> = steps.iter().flat_map(indices).collect();
    assert_eq!(ctl.one(&["job", "show", "j"])["epoch_draws"], ROWS);
    let epochs: Vec<&[u64]> = drawn.chunks_exact(ROWS as usize).collect();
    for epoch in &epochs {
        let mut sorted = epoch.to_vec();
        sorted.sort_unstable();
        assert_eq!(sorted, (0..u64::from(ROWS)).collect::<Vec<_>>());
    }
    assert_ne!(epochs[0], epochs[1], "every epoch has an order of its own");
}

#[test]
fn modes_and_epochs_that_cannot_be_are_refused_with_the_reason() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Samplerd::start(&folder.path().join("data"));
    let ctl = daemon.ctl();
    prepare(&ctl, folder.path());
    let refuse = |more: &[&str]| {
        let job = ["draw", "d", "--job", "j", "--batch-size", "100", "--steps", "0..1"];
        ctl.run(&[&job, more].concat()).unwrap_err()
    };
    for (flags, reason) in [
        (["--mode", "distinct", "--epoch-draws", "5001"], "but the dataset has 5000 examples"),
        (["--mode", "distinct", "--epoch-draws", "99"], "in mode distinct a batch is no longer than an epoch"),
        (["--mode", "stratified", "--epoch-draws", "4294967297"], "epoch_draws is 4294967297"),
    ] {
        let failure = refuse(&flags);
        assert!(failure.message.contains(reason), "{failure:?}");
        assert_eq!(failure.code, 5);
    }
    assert_eq!(refuse(&["--epoch-draws", "0"]).code, 2);
    ctl.run(&["draw", "d", "--job", "j", "--batch-size", "100", "--steps", "0..1", "--epoch-draws", "500"]).unwrap();
    let failure = refuse(&["--epoch-draws", "600"]);
    assert!(failure.message.contains("epoch_draws: it has 500, 600 was given"), "{failure:?}");
}

#[test]
fn a_job_keeps_its_parameters() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Samplerd::start(&folder.path().join("data"));
    prepare(&daemon.ctl(), folder.path());
    let first = daemon.ctl().draw(&JOB, 0..2, 0, 1);
    let failure = daemon
        .ctl()
        .run(&["draw", "d", "--job", "train", "--seed", "12", "--batch-size", "256", "--steps", "0..2"])
        .unwrap_err();
    assert!(failure.message.contains("seed"), "{failure:?}");
    assert_eq!(daemon.ctl().draw(&JOB, 0..2, 0, 1), first);

    let listed = daemon.ctl().run(&["job", "list"]).unwrap();
    assert!(listed.iter().any(|job| job["name"] == "train"), "{listed:?}");
    daemon.ctl().run(&["job", "remove", "train"]).unwrap();
    assert!(daemon.ctl().run(&["job", "show", "train"]).is_err());
}
