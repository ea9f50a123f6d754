//! Why an attempt failed, said so that a person can act on it.

use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

use super::script::{Ended, Exit};

const SIGKILL: i32 = 9;
/// Names of the signals that end processes without being asked for.
const SIGNAL_NAMES: [(i32, &str); 9] = [
    (2, "SIGINT"),
    (4, "SIGILL"),
    (6, "SIGABRT"),
    (7, "SIGBUS"),
    (8, "SIGFPE"),
    (SIGKILL, "SIGKILL"),
    (11, "SIGSEGV"),
    (15, "SIGTERM"),
    (24, "SIGXCPU"),
];
/// What libraries say when memory is short.
const OUT_OF_MEMORY: [&str; 4] = ["not enough memory", "out of memory", "bad_alloc", "cannot allocate memory"];

/// Tells whether an error is about memory: its process may not be sound any more.
pub(super) fn is_out_of_memory(reason: &str) -> bool {
    let reason = reason.to_ascii_lowercase();
    OUT_OF_MEMORY.iter().any(|words| reason.contains(words))
}

/// Describes how a process ended; `killed_for_memory`: the kernel says that it ended processes for lack of memory.
#[must_use]
pub fn of_process(status: ExitStatus, killed_for_memory: bool) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => describe(Exit::Code(code), killed_for_memory),
        (None, signal) => describe(Exit::Signal(signal.unwrap_or_default()), killed_for_memory),
    }
}

/// Describes how a command failed.
pub(super) fn of_command(ended: &Ended, killed_for_memory: bool) -> String {
    let mut reason = describe(ended.exit, killed_for_memory);
    if is_out_of_memory(&ended.error_tail) {
        reason.push_str(", out of memory");
    }
    if !ended.error_tail.is_empty() {
        reason.push_str("; its standard error ends: ");
        reason.push_str(&ended.error_tail);
    }
    reason
}

fn describe(exit: Exit, killed_for_memory: bool) -> String {
    match exit {
        Exit::Code(code) => format!("exit code {code}"),
        Exit::Signal(SIGKILL) if killed_for_memory => "killed (SIGKILL), out of memory".to_owned(),
        Exit::Signal(SIGKILL) => "killed (SIGKILL), perhaps out of memory".to_owned(),
        Exit::Signal(signal) => match SIGNAL_NAMES.iter().find(|(number, _)| *number == signal) {
            Some((_, name)) => format!("killed by signal {signal} ({name})"),
            None => format!("killed by signal {signal}"),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fate_names_signal_code_and_last_words() {
        let ended = |exit, tail: &str| Ended { exit, last_object: None, error_tail: tail.to_owned() };
        assert_eq!(of_command(&ended(Exit::Code(3), ""), false), "exit code 3");
        assert_eq!(of_command(&ended(Exit::Signal(9), ""), false), "killed (SIGKILL), perhaps out of memory");
        assert_eq!(of_command(&ended(Exit::Signal(9), ""), true), "killed (SIGKILL), out of memory");
        assert_eq!(of_command(&ended(Exit::Signal(11), ""), false), "killed by signal 11 (SIGSEGV)");
        let short = of_command(&ended(Exit::Code(1), "RuntimeError: CUDA out of memory."), false);
        assert_eq!(short, "exit code 1, out of memory; its standard error ends: RuntimeError: CUDA out of memory.");
        assert!(is_out_of_memory("libtorch: [enforce fail] DefaultCPUAllocator: not enough memory: you tried"));
        assert!(!is_out_of_memory("no batch to train on"));
    }
}
