//! Seeds as `searcher` derives them, so that its workers and Python's open equal jobs.

/// Derives a seed from another, a number and what it is for.
#[pyo3::pyfunction]
pub(crate) fn seed_for(seed: u64, number: u64, purpose: &str) -> u64 {
    swift_sampler::seed_for(seed, number, purpose)
}
