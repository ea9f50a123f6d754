//! `searcher train`: networks under a fixed sampler and loss, with what a search is compared with.
#![allow(clippy::unwrap_used, reason = "a test ends where a value is missing")]

use std::path::Path;
use std::process::Command;

use serde_json::Value;

fn train(work_dir: &Path, options: &[&str]) -> Result<Value, String> {
    let output = Command::new(env!("CARGO_BIN_EXE_searcher"))
        .args(["train", "--target", "simulated", "--output", "json", "--work-dir"])
        .arg(work_dir)
        .args(if options.contains(&"--label-noise") { &[][..] } else { &["--label-noise", "0.4"] })
        .args(options)
        .output()
        .unwrap();
    match output.status.success() {
        true => Ok(serde_json::from_slice(&output.stdout).unwrap()),
        false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
    }
}

fn test_accuracy(report: &Value) -> f64 {
    report["test_accuracy"]["mean"].as_f64().unwrap()
}

#[test]
fn samplers_that_know_more_of_the_labels_train_better_networks() {
    let folder = tempfile::tempdir().unwrap();
    let under = |sampler| train(folder.path(), &["--sampler", sampler, "--runs", "3"]).unwrap();
    let (uniform, trimmed, exact) = (under("uniform"), under("trimmed"), under("exact-labels"));
    assert!(test_accuracy(&uniform) < test_accuracy(&trimmed), "{uniform} {trimmed}");
    assert!(test_accuracy(&trimmed) < test_accuracy(&exact), "{trimmed} {exact}");
    assert_eq!(exact["noisy_mass"], 0.0);
    let mass = trimmed["noisy_mass"].as_f64().unwrap();
    assert!((0.001..0.4).contains(&mass), "{mass}");
    assert_eq!(uniform["runs"].as_array().unwrap().len(), 3);
    assert_ne!(uniform["runs"][0], uniform["runs"][1], "runs have seeds of their own");
}

#[test]
fn a_spec_in_a_file_is_a_sampler_too() {
    let folder = tempfile::tempdir().unwrap();
    let spec = folder.path().join("low-losses.json");
    let text = r#"{"kind":"swift","features":["loss","entropy"],"coefficients":[1,0],"knots":[0.25,0.5,0.75],"values":[1,1,0,0,0]}"#;
    std::fs::write(&spec, text).unwrap();
    let given = train(folder.path(), &["--sampler", spec.to_str().unwrap(), "--draws", "stratified"]).unwrap();
    assert!(test_accuracy(&given) > test_accuracy(&train(folder.path(), &[]).unwrap()));
    assert_eq!(given["sampler"], "given");
}

#[test]
fn what_cannot_be_trained_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let refused = |options: &[&str]| train(folder.path(), options).unwrap_err();
    assert!(refused(&["--loss", "hinge"]).contains("the losses are cross-entropy, reed-soft"));
    assert!(refused(&["--loss", "focal"]).contains("loss is focal"), "the simulated target has no loss");
    assert!(refused(&["--sampler", "best"]).contains("uniform, exact-labels"));
    assert!(refused(&["--sampler", "trimmed", "--label-noise", "0"]).contains("--label-noise"));
    let by_norm = |more: &[&str]| refused(&[&["--sampler", "gradient-norm"], more].concat());
    assert!(refused(&["--correction"]).contains("--sampler gradient-norm or a file"));
    assert!(by_norm(&["--correction", "--loss", "focal"]).contains("leave --loss out"));
    assert!(refused(&["--refresh-features", "1"]).contains("trimmed, gradient-norm or a file"));
    for option in [&["--correction"][..], &["--refresh-features", "2"]] {
        assert!(by_norm(option).contains("no network"), "the simulated target has none");
    }
}
