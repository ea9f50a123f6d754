//! The command line without a daemon: what it refuses, with which exit code and message.

use std::net::TcpListener;
use std::process::{Command, Output};

use swift_sampler_searcher::features_file;

fn searcher(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_searcher"))
        .args(arguments)
        .env_remove("SWIFTSAMPLER_DAEMON")
        .output()
        .expect("the searcher starts")
}

fn refused(arguments: &[&str], code: i32, message: &str) {
    let output = searcher(arguments);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {stderr}");
    assert!(stderr.contains(message), "{arguments:?}: {stderr}");
    assert!(output.stdout.is_empty(), "results alone go to standard output");
}

/// An address at which nothing listens.
fn nowhere() -> String {
    TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port").to_string()
}

#[test]
fn wrong_usage_exits_with_2() {
    refused(&[], 2, "--target");
    refused(&["--target", "simulated", "--trials", "x"], 2, "--trials");
    refused(&["--target", "simulated", "--jobs", "some"], 2, "--jobs");
    refused(&["--target", "simulated", "--kappa", "-1"], 2, "--kappa");
    refused(&["--target", "cnn", "--crop-size", "8"], 2, "--crops");
    refused(&["--target", "cnn", "--crops", "2", "--crop-scale", "1"], 2, "LO,HI");
    refused(&["worker"], 2, "--study");
}

#[test]
fn wrong_settings_exit_with_3() {
    refused(&["--target", "vgg"], 3, "swin_b, gpt, simulated, or a file that ends in .pt");
    let gpt = ["--target", "gpt", "--data", "."];
    refused(&[&gpt[..], &["--evaluate", "episodes"]].concat(), 3, "--evaluate is of no meaning");
    refused(&[&gpt[..], &["--noisy-validation"]].concat(), 3, "--noisy-validation is of no meaning");
    refused(&[&gpt[..], &["--crops", "2"]].concat(), 3, "--crops is of no meaning");
    refused(&["--target", "simulated", "--crops", "2"], 3, "--crops is of no meaning");
    refused(&["--target", "simulated", "--label-noise", "1.5"], 3, "--label-noise is 1.5");
    refused(&["--target", "simulated", "--segments", "1"], 3, "1 segments");
    refused(&["--target", "simulated", "--daemon", "here"], 3, "HOST:PORT");
}

#[cfg(not(feature = "torch"))]
#[test]
fn a_network_without_libtorch_says_how_to_build_with_it() {
    refused(&["--target", "mlp", "--data", "."], 3, "--features torch");
    refused(&["features", "--target", "cnn", "--data", "."], 3, "--features torch");
}

#[test]
fn a_daemon_that_is_not_there_exits_with_4_and_is_named() {
    let address = nowhere();
    refused(&["--target", "simulated", "--daemon", &address], 4, &address);
    refused(&["show", "s", "--daemon", &address], 4, &address);
    refused(&["export", "s", "--daemon", &address], 4, &address);
}

#[test]
fn features_are_written_without_a_daemon() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("work");
    let work_dir = path.to_str().expect("temporary paths are UTF-8");
    let output = searcher(&["features", "--target", "simulated", "--train-examples", "500", "--work-dir", work_dir]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let said: serde_json::Value = serde_json::from_slice(&output.stdout).expect("one JSON object");
    let table = features_file::read(said["features"].as_str().expect("a path").as_ref()).expect("a Parquet file");
    assert_eq!((table.rows(), table.names().join(",")), (500, "loss,entropy,grad_norm".to_owned()));
}

#[test]
fn a_check_says_what_would_be_trained_on_and_trains_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let work = folder.path().join("work");
    let work = work.to_str().expect("a name of Unicode");
    let nowhere = nowhere();
    for arguments in [&["--daemon", &nowhere][..], &["train"], &["features"]] {
        let subject = ["--target", "simulated", "--train-examples", "70", "--check", "--work-dir", work];
        let (command, options) = arguments.split_at(usize::from(!arguments[0].starts_with('-')));
        let output = searcher(&[command, &subject, options].concat());
        assert_eq!(String::from_utf8_lossy(&output.stdout), "{\"target\":\"simulated\",\"training_examples\":70}\n");
    }
    assert!(!folder.path().join("work").exists());
    refused(&["--target", "simulated", "--check", "--transform", "none"], 2, "--transform");
    refused(&["--trial-command", "true", "--check"], 2, "--check");
}
