//! What a process holds.

use std::fs;

/// Memory and descriptors of a process at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Resources {
    /// Memory that is resident, in bytes.
    pub resident_bytes: u64,
    /// Open descriptors.
    pub descriptors: usize,
    /// Threads.
    pub threads: u64,
}

impl Resources {
    /// Reads what a running process holds.
    #[must_use]
    pub fn of(process: u32) -> Self {
        let status = fs::read_to_string(format!("/proc/{process}/status")).expect("the process runs");
        let field = |name: &str| -> u64 {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("Linux has this field");
            line.split_whitespace().next().and_then(|number| number.parse().ok()).expect("a number")
        };
        let descriptors = fs::read_dir(format!("/proc/{process}/fd")).expect("the process runs").count();
        Self { resident_bytes: 1024 * field("VmRSS:"), descriptors, threads: field("Threads:") }
    }
}
