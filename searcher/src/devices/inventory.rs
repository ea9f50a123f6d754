//! What a machine has to train on.

use std::io::Read;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::memory;

/// How long `nvidia-smi` may take.
const QUERY_PATIENCE: Duration = Duration::from_secs(20);
const QUERY_POLL: Duration = Duration::from_millis(10);

/// Cores, memory and GPUs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inventory {
    /// Threads that this process may run at once.
    pub cores: usize,
    /// Memory that could be had without swapping, in bytes, where that is known.
    pub memory_available: Option<u64>,
    /// The GPUs.
    pub gpus: Vec<Gpu>,
}

/// A GPU.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gpu {
    /// Its number, from 0.
    pub number: u32,
    /// Its free memory, in bytes.
    pub memory_free: u64,
}

impl Inventory {
    /// Looks at this machine; `with_gpus` asks `nvidia-smi` for its GPUs, of which there are none where it is missing.
    #[must_use]
    pub fn take(with_gpus: bool) -> Self {
        let gpus = if with_gpus { query().map(|answer| parse(&answer)).unwrap_or_default() } else { Vec::new() };
        Self {
            cores: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            memory_available: memory::available(),
            gpus,
        }
    }
}

/// Returns the free memory of a GPU, in bytes.
#[must_use]
pub fn gpu_memory_free(number: u32) -> Option<u64> {
    parse(&query()?).into_iter().find(|gpu| gpu.number == number).map(|gpu| gpu.memory_free)
}

fn query() -> Option<String> {
    let mut child = Command::new("nvidia-smi")
        .args(["--query-gpu=index,memory.free", "--format=csv,noheader,nounits"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .ok()?;
    let started = Instant::now();
    while matches!(child.try_wait(), Ok(None)) && started.elapsed() < QUERY_PATIENCE {
        std::thread::sleep(QUERY_POLL);
    }
    match child.try_wait() {
        Ok(Some(status)) if status.success() => {
            let mut answer = String::new();
            child.stdout.take()?.read_to_string(&mut answer).ok()?;
            Some(answer)
        }
        ended => {
            tracing::warn!(?ended, "nvidia-smi does not tell the GPUs: none are used");
            child.kill().and_then(|()| child.wait()).ok()?;
            None
        }
    }
}

/// Lines such as `0, 40536`: number and free memory in MiB.
fn parse(answer: &str) -> Vec<Gpu> {
    let gpu = |line: &str| {
        let (number, free) = line.split_once(',')?;
        Some(Gpu { number: number.trim().parse().ok()?, memory_free: free.trim().parse::<u64>().ok()? << 20 })
    };
    answer.lines().filter_map(gpu).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gpus_are_read_from_what_nvidia_smi_prints() {
        let gpus = parse("0, 40536\n1, 512\n2, [N/A]\n");
        assert_eq!(gpus, [(0, 40536), (1, 512)].map(|(number, free)| Gpu { number, memory_free: free << 20 }));
        assert_eq!(parse("No devices were found\n"), []);
    }

    #[test]
    fn a_machine_has_a_core() {
        assert!(Inventory::take(false).cores >= 1);
    }
}
