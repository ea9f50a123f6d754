//! What is fuzzed: each function takes any bytes, and panics only where Swift Sampler is wrong.
//!
//! The targets of `cargo fuzz` in `fuzz/fuzz_targets` call them, and so does `tests/corpus.rs`, with the corpus and seeded mutations
//! of it, which needs neither a nightly compiler nor `cargo-fuzz`.

#![allow(clippy::missing_panics_doc, reason = "to panic is how a target says what is wrong")]

mod files;
mod folder;
mod messages;
mod records;
mod stored;

pub use files::{csv, npz, parquet, safetensors};
pub use messages::{CALLS, messages};
pub use records::{config, manifest, spec_json};
pub use stored::{stored, stored_files};

/// A target: its name, which its corpus has as well, and what it does with bytes.
pub type Target = (&'static str, fn(&[u8]));

/// All targets.
pub const TARGETS: [Target; 9] = [
    ("parquet", parquet),
    ("safetensors", safetensors),
    ("npz", npz),
    ("csv", csv),
    ("spec_json", spec_json),
    ("manifest", manifest),
    ("config", config),
    ("stored", stored),
    ("messages", messages),
];
