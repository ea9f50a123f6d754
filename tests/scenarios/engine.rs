//! An engine without a daemon draws what the daemon served, from the same file, through swaps, in every mode.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../../sampler/files/tests/writers.rs"]
mod writers;

use std::ops::Range;
use std::path::{Path, PathBuf};

use serde_json::Value;
use swift_sampler::job::Shard;
use swift_sampler::{Batch, Engine, SamplerSpec, ServedJob};
use swift_sampler_files::{Selection, open};
use swift_sampler_tests::dataset::Columns;
use swift_sampler_tests::{Samplerctl, Samplerd};

const SWIFT: &str = r#"{"kind":"swift","features":["loss","entropy"],"coefficients":[0.6,-0.8],
    "knots":[0.25,0.5,0.75],"values":[0.1,1,0.5,0.25,0.05]}"#;
const WEIGHTS: &str = r#"{"kind":"column","column":"grad_norm"}"#;
const MODES: [&str; 3] = ["independent", "stratified", "distinct"];

/// Draws steps of a job with epochs of 777 draws in batches of 100, so that most epochs end inside of a batch.
fn draw(ctl: &Samplerctl, dataset: &str, mode: &str, steps: &Range<u64>, rank: u32, world_size: u32) -> Vec<Value> {
    let (steps, rank, world_size) =
        (format!("{}..{}", steps.start, steps.end), rank.to_string(), world_size.to_string());
    let job = format!("{dataset}-{mode}");
    let mut arguments = vec!["draw", dataset, "--job", &job, "--seed", "23", "--batch-size", "100", "--mode", mode];
    arguments.extend(["--epoch-draws", "777", "--steps", &steps, "--rank", &rank, "--world-size", &world_size]);
    ctl.run(&arguments).unwrap()
}

fn write(folder: &Path, name: &str, columns: &Columns) -> PathBuf {
    let columns = [("loss", &columns.loss), ("entropy", &columns.entropy), ("grad_norm", &columns.grad_norm)]
        .map(|(name, values)| (name.to_owned(), values.clone()));
    let path = folder.join(name);
    std::fs::write(&path, writers::write(name, &columns)).unwrap();
    path
}

/// Replays a job from what the daemon says of it, and the file.
fn replay(ctl: &Samplerctl, job: &str, dataset: &str, file: &Path) -> Engine {
    let job: ServedJob = serde_json::from_value(ctl.one(&["job", "show", job])).unwrap();
    assert!(job.log.len() >= 3, "{job:?}");
    let spec = |version: u64| -> Option<SamplerSpec> {
        let sampler = ctl.one(&["sampler", "show", dataset, &version.to_string()]);
        serde_json::from_value(sampler["spec"].clone()).ok()
    };
    Engine::replay(open(&[file], &Selection::default()).unwrap(), &job, spec).unwrap()
}

fn assert_served(batch: &Batch, served: &Value) {
    assert_eq!(served["step"], batch.step);
    assert_eq!(served["epoch"], batch.epoch);
    assert_eq!(served["version"], batch.version);
    assert_eq!(served["indices"], serde_json::to_value(&batch.indices).unwrap(), "step {}", batch.step);
    let probabilities: Vec<f32> = serde_json::from_value(served["probabilities"].clone()).unwrap();
    assert!(probabilities.iter().map(|p| p.to_bits()).eq(batch.probabilities.iter().map(|p| p.to_bits())));
}

#[test]
fn an_engine_replays_what_the_daemon_served_from_files_of_every_format() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Samplerd::start(&folder.path().join("data"));
    let ctl = daemon.ctl();
    for (seed, name) in (0..).zip(["a.csv", "a.parquet", "a.safetensors", "a.npz"]) {
        let file = write(folder.path(), name, &Columns::random(1000, seed));
        let imported = ctl.one(&["dataset", "import", name, file.to_str().unwrap()]);
        assert_eq!(imported["hash"], open(&[&file], &Selection::default()).unwrap().hash());

        // Steps beyond the horizon take up the sampler that was activated before them.
        let ranges = [0..10, 10..90, 90..170, 170..250];
        for (range, spec) in ranges.iter().zip([None, Some(SWIFT), Some(WEIGHTS), Some(SWIFT)]) {
            if let Some(spec) = spec {
                ctl.activate(name, ctl.put(name, folder.path(), spec));
            }
            for mode in MODES {
                draw(&ctl, name, mode, range, 0, 1);
            }
        }
        for mode in MODES {
            let engine = replay(&ctl, &format!("{name}-{mode}"), name, &file);
            for (rank, world_size) in [(0, 1), (0, 3), (1, 3), (2, 3), (6, 7)] {
                let served = draw(&ctl, name, mode, &(0..250), rank, world_size);
                let drawn = engine.batches(0..250, Shard::new(rank, world_size).unwrap());
                assert_eq!(served.len(), 250);
                drawn.zip(&served).for_each(|(batch, served)| assert_served(&batch.unwrap(), served));
            }
        }
    }
}
