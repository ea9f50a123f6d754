//! Commands as a user types them.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::binary;

/// `samplerctl` with `--output json`, speaking to one daemon.
#[derive(Debug, Clone)]
pub struct Samplerctl {
    daemon: String,
}

/// A command that failed, as its user sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// Exit code.
    pub code: i32,
    /// Standard error.
    pub message: String,
}

impl Samplerctl {
    /// Speaks to the daemon at this address, which need not be there.
    #[must_use]
    pub fn new(daemon: &str) -> Self {
        Self { daemon: daemon.to_owned() }
    }

    /// Runs a command and returns the JSON values it printed.
    ///
    /// # Errors
    /// [`Failure`] when the exit code is not 0.
    pub fn run(&self, arguments: &[&str]) -> Result<Vec<Value>, Failure> {
        let output = Command::new(binary("samplerctl"))
            .args(["--daemon", &self.daemon, "--output", "json"])
            .args(arguments)
            .output()
            .expect("samplerctl starts");
        if !output.status.success() {
            let code = output.status.code().expect("samplerctl is not killed");
            return Err(Failure { code, message: String::from_utf8_lossy(&output.stderr).into_owned() });
        }
        let stdout = String::from_utf8(output.stdout).expect("output is UTF-8");
        let values = serde_json::Deserializer::from_str(&stdout).into_iter();
        Ok(values.collect::<Result<_, _>>().unwrap_or_else(|error| panic!("{error} in {stdout:?}")))
    }

    /// Runs a command that prints one value.
    pub fn one(&self, arguments: &[&str]) -> Value {
        let values = self.run(arguments).unwrap_or_else(|failure| panic!("{arguments:?}: {failure:?}"));
        assert_eq!(values.len(), 1, "{arguments:?} prints one value");
        values.into_iter().next().expect("there is one")
    }

    /// Stores a sampler and returns its version.
    pub fn put(&self, dataset: &str, folder: &Path, spec: &str) -> u64 {
        let file = folder.join("spec.json");
        std::fs::write(&file, spec).expect("a temporary file is written");
        let path = file.to_str().expect("temporary paths are UTF-8");
        self.one(&["sampler", "put", dataset, path])["version"].as_u64().expect("a version is a number")
    }

    /// Activates a version.
    pub fn activate(&self, dataset: &str, version: u64) {
        self.run(&["sampler", "activate", dataset, &version.to_string()]).expect("a stored version can be activated");
    }

    /// Draws steps of a job as one rank of a world.
    pub fn draw(&self, job: &DrawJob<'_>, steps: std::ops::Range<u64>, rank: u32, world_size: u32) -> Vec<Value> {
        let (steps, rank, world_size) =
            (format!("{}..{}", steps.start, steps.end), rank.to_string(), world_size.to_string());
        let (seed, batch_size) = (job.seed.to_string(), job.batch_size.to_string());
        let mut arguments = vec!["draw", job.dataset, "--job", job.name, "--seed", &seed, "--batch-size", &batch_size];
        arguments.extend(["--steps", &steps, "--rank", &rank, "--world-size", &world_size, "--follow", job.follow]);
        self.run(&arguments).unwrap_or_else(|failure| panic!("{arguments:?}: {failure:?}"))
    }
}

/// The parameters of a drawn job.
#[derive(Debug, Clone, Copy)]
pub struct DrawJob<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its dataset.
    pub dataset: &'a str,
    /// Its seed.
    pub seed: u64,
    /// Its global batch size.
    pub batch_size: u32,
    /// `step`, `epoch` or a version.
    pub follow: &'a str,
}
