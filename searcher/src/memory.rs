//! What memory processes use, as Linux counts it; elsewhere nothing is known and nothing is limited.

use std::path::Path;

/// Returns what the processes of a group use, in bytes: memory that several share counts once.
#[must_use]
pub fn of_group(group: u32) -> u64 {
    let Ok(processes) = std::fs::read_dir("/proc") else { return 0 };
    processes.flatten().filter(|process| group_of(&process.path()) == Some(group)).map(|p| of_process(&p.path())).sum()
}

/// Returns what this process uses, in bytes.
#[must_use]
pub fn of_this_process() -> u64 {
    of_process(Path::new("/proc/self"))
}

/// Returns what could be had without swapping, in bytes.
#[must_use]
pub fn available() -> Option<u64> {
    field(&std::fs::read_to_string("/proc/meminfo").ok()?, "MemAvailable:")
}

/// Returns how many processes the kernel ended in this process's control group for lack of memory.
#[must_use]
pub fn kills() -> Option<u64> {
    let own = std::fs::read_to_string("/proc/self/cgroup").ok()?;
    let path = own.lines().find_map(|line| line.strip_prefix("0::"))?.trim_start_matches('/').to_owned();
    let events = std::fs::read_to_string(Path::new("/sys/fs/cgroup").join(path).join("memory.events")).ok()?;
    events.lines().find_map(|line| line.strip_prefix("oom_kill "))?.trim().parse().ok()
}

/// The process group of `/proc/PID`: the third field after the name, which alone may hold spaces and brackets.
fn group_of(process: &Path) -> Option<u32> {
    let stat = std::fs::read_to_string(process.join("stat")).ok()?;
    stat.rsplit_once(')')?.1.split_whitespace().nth(2)?.parse().ok()
}

/// A process that ended meanwhile, or is another user's, counts as nothing.
fn of_process(process: &Path) -> u64 {
    let shared_once = std::fs::read_to_string(process.join("smaps_rollup")).ok().and_then(|text| field(&text, "Pss:"));
    let resident = || field(&std::fs::read_to_string(process.join("status")).ok()?, "VmRSS:");
    shared_once.or_else(resident).unwrap_or(0)
}

/// A line such as `MemAvailable:   123 kB`, in bytes.
fn field(text: &str, name: &str) -> Option<u64> {
    let kilobytes: u64 =
        text.lines().find_map(|line| line.strip_prefix(name))?.split_whitespace().next()?.parse().ok()?;
    Some(kilobytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_of_the_kernel_are_in_bytes() {
        let text = "MemTotal:       24 kB\nMemAvailable:       16 kB\nPss_Anon: 1 kB\n";
        assert_eq!(field(text, "MemAvailable:"), Some(16 * 1024));
        assert_eq!(field(text, "Pss:"), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_group_uses_what_its_processes_use() {
        let group = group_of(Path::new("/proc/self")).unwrap();
        let (before, block) = (of_this_process(), vec![1u8; 64 << 20]);
        std::hint::black_box(&block);
        assert!(of_this_process() >= before + (block.len() as u64) / 2, "a touched block is counted");
        assert!(of_group(group) >= of_this_process() / 2);
        assert_eq!(of_group(u32::MAX), 0);
        assert!(available().unwrap() > 0);
    }
}
