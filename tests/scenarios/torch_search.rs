//! A small search with a real network on real images, from the IDX files to the hot swap.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::process::Command;

use serde_json::Value;
use swift_sampler_tests::dataset::fashion_mnist;
use swift_sampler_tests::{Samplerd, binary};

const TRAIN_EXAMPLES: u64 = 600;
/// Bytes before the data of an IDX file of images, and of one of labels.
const IDX_HEADERS: [u64; 2] = [16, 8];

#[test]
fn a_network_is_trained_searched_for_and_retrained_through_the_daemon() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Samplerd::start(&folder.path().join("data"));
    let work = folder.path().join("work");
    let search = || {
        let output = Command::new(binary("searcher"))
            .args(["--target", "mlp", "--data", &fashion_mnist(), "--label-noise", "0.4", "--seed", "3"])
            .args(["--train-examples", &TRAIN_EXAMPLES.to_string(), "--validation-examples", "300"])
            .args(["--start-epochs", "3", "--trials", "12", "--epochs", "1", "--confirm", "1", "--jobs", "2"])
            .args(["--study", "small", "--output", "json", "--daemon", daemon.address(), "--work-dir"])
            .arg(&work)
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice::<Value>(&output.stdout).unwrap()
    };
    let report = search();

    let [uniform, found] = [0, 1].map(|index| &report["samplers"][index]);
    assert!((uniform["noisy_mass"].as_f64().unwrap() - 0.4).abs() < 0.01, "{report}");
    for sampler in [uniform, found] {
        let accuracy = sampler["test_accuracy"]["mean"].as_f64().unwrap();
        assert!(accuracy > 0.1 && accuracy < 0.95, "a network of three epochs knows a little: {report}");
    }
    let dataset = daemon.ctl().one(&["dataset", "show", "small"]);
    assert_eq!(dataset["rows"], TRAIN_EXAMPLES);
    assert_eq!(dataset["features"], serde_json::json!(["loss", "entropy"]));
    // The winner is active if, and only if, the report says so.
    let activated = report["winner"]["activated_version"].as_u64().unwrap_or(1);
    assert_eq!(dataset["active_version"], activated);
    // Other programs can train on what the dataset's rows are.
    let size = |name: &str| std::fs::metadata(work.join(name)).unwrap().len();
    assert_eq!(size("train-images-idx3-ubyte"), IDX_HEADERS[0] + TRAIN_EXAMPLES * 28 * 28);
    assert_eq!(size("train-labels-idx1-ubyte"), IDX_HEADERS[1] + TRAIN_EXAMPLES);

    assert_eq!(search()["gain"], report["gain"], "an ended study gives its report again");
}
