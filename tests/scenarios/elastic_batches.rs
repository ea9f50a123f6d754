//! The global batches of a job do not depend on who reads them, in how many parts, or how often the daemon restarts.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

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
            assert_eq!(*index, u64::from(expected.index));
            #[allow(clippy::cast_possible_truncation, reason = "probabilities travel as f32")]
            let probability = probability.as_f64().unwrap() as f32;
            assert_eq!(probability.to_bits(), expected.probability.to_bits());
            draw += 1;
        }
    }
    assert_eq!(served.len(), 20);
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
