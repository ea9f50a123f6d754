//! Trials survive what goes wrong with them, with their workers and with the searcher, and are the same whatever runs them.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "trials/faults.rs"]
mod faults;
#[path = "trials/given_dataset.rs"]
mod given_dataset;
#[path = "trials/hosts.rs"]
mod hosts;
#[path = "trials/interrupts.rs"]
mod interrupts;
#[path = "trials/kills.rs"]
mod kills;
#[path = "trials/runners.rs"]
mod runners;

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;
use swift_sampler_tests::binary;

/// The `searcher` with a daemon.
fn searcher(daemon: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(binary("searcher"));
    command.args(arguments).args(["--daemon", daemon]).stdin(Stdio::null());
    command
}

fn succeeded(output: &Output) {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// The trials of a study.
fn trials(daemon: &str, study: &str) -> Option<Vec<Value>> {
    let output = searcher(daemon, &["show", study, "--output", "json"]).output().unwrap();
    let shown: Value = serde_json::from_slice(&output.stdout).ok()?;
    Some(shown["trials"].as_array().unwrap().clone())
}

/// A searcher or worker; killed as `kill -9` does when dropped.
struct Running(Child);

impl Running {
    fn start(command: &mut Command) -> Self {
        Self(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
    }

    fn has_ended(&mut self) -> bool {
        self.0.try_wait().unwrap().is_some()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// Writes features of so many examples.
fn features(folder: &Path, examples: u32) -> PathBuf {
    let path = folder.join("mine.csv");
    let row = |i: u32| format!("{},{},{}\n", f64::from(i % 97) / 10.0, f64::from(i % 89) / 100.0, f64::from(i % 7 + 1));
    let rows: String = (0..examples).map(row).collect();
    std::fs::write(&path, format!("loss,entropy,grad_norm\n{rows}")).unwrap();
    path
}
