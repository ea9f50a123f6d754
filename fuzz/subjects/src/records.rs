//! Texts: specs, manifests, configurations.

use std::cell::RefCell;
use std::io::Write;
use std::sync::LazyLock;

use clap::Parser;
use swift_sampler::{Dataset, FeatureTable, Sampler, SamplerSpec};
use swift_sampler_daemon::config::{Config, Flags};
use swift_sampler_daemon::store::Manifest;
use tempfile::NamedTempFile;

use crate::folder::file;

/// A dataset of a hundred examples.
pub(crate) static DATASET: LazyLock<Dataset> = LazyLock::new(|| {
    let column = |name: &str, modulus: u32| (name.to_owned(), (1..=100).map(|row| f64::from(row % modulus)).collect());
    let table = FeatureTable::new(vec![column("loss", 7), column("entropy", 11), column("grad_norm", 13)]);
    let table = table.expect("the columns are of one length");
    let features = vec!["loss".to_owned(), "entropy".to_owned()];
    Dataset::new(table, features, Some("grad_norm".to_owned())).expect("the columns are there")
});

/// Builds a sampler of a spec. What is not refused has probabilities that sum to one, and its canonical form is itself.
pub fn spec_json(data: &[u8]) {
    let Ok(spec) = serde_json::from_slice::<SamplerSpec>(data) else { return };
    let Ok(sampler) = Sampler::build(&spec, &DATASET) else { return };
    let sum: f64 = sampler.probabilities().iter().sum();
    assert!((sum - 1.0).abs() < 1e-6, "probabilities sum to {sum}");
}

/// Parses a manifest. What is not refused is the same again when it is written.
pub fn manifest(data: &[u8]) {
    let Ok(manifest) = Manifest::parse(data) else { return };
    let again = Manifest::parse(manifest.to_json().as_bytes());
    assert_eq!(again.as_ref(), Ok(&manifest));
}

thread_local! {
    static FILE: RefCell<NamedTempFile> = RefCell::new(file());
}

/// Resolves a configuration file.
pub fn config(data: &[u8]) {
    FILE.with_borrow_mut(|file| {
        let mut handle = file.reopen().expect("the file is there");
        handle.set_len(0).and_then(|()| handle.write_all(data)).expect("the temporary file takes the bytes");
        let path = file.path().to_str().expect("temporary paths are UTF-8");
        let flags = Flags::try_parse_from(["samplerd", "--data-dir", "/nowhere", "--config", path]);
        if let Ok(config) = Config::resolve(flags.expect("the flags are right")) {
            assert!(config.limits.streams_max > 0);
        }
    });
}
