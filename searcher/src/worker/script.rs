//! A trial's command as a child process: its group, its output, its end.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::Value;

use super::answer;

/// Bytes of output that a log keeps.
const LOG_BYTES_MAX: u64 = 16 << 20;
/// Longest piece of output that is read as one line, in bytes.
const LINE_BYTES_MAX: u64 = 64 << 10;
/// Lines of standard error that a reason shows.
const TAIL_LINES: usize = 4;
/// How long output may still come once the command has ended.
const OUTPUT_PATIENCE: Duration = Duration::from_secs(3);
/// Runs the command `$1` in a group that dies, down to its last process, when standard input closes: as it does when
/// the trial is given up, and when the worker dies, however it dies.
const GUARDED: &str =
    r#"exec 3<&0 </dev/null; { read -r _ <&3; kill -KILL 0; } >/dev/null 2>&1 & exec 3<&-; eval "$1""#;
/// What a shell adds to the signal that ended its command.
const SHELL_SIGNALS: i32 = 128;

/// A running command.
#[derive(Debug)]
pub(super) struct Script {
    child: Child,
    written: Arc<Written>,
    /// Each reader of an output says when it is at the end.
    ends: Receiver<()>,
}

/// What the command wrote so far.
#[derive(Debug, Default)]
struct Written {
    bytes: AtomicU64,
    last_object: Mutex<Option<Value>>,
    error_tail: Mutex<VecDeque<String>>,
}

/// How a command ended.
#[derive(Debug)]
pub(super) struct Ended {
    /// Its exit code, or the signal that ended it.
    pub(super) exit: Exit,
    /// The last line of its standard output that is a JSON object.
    pub(super) last_object: Option<Value>,
    /// The last lines of its standard error.
    pub(super) error_tail: String,
}

/// An exit code or a signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Exit {
    Code(i32),
    Signal(i32),
}

impl Exit {
    fn of(status: ExitStatus) -> Self {
        match (status.code(), status.signal()) {
            (Some(code), _) if code > SHELL_SIGNALS => Self::Signal(code - SHELL_SIGNALS),
            (Some(code), _) => Self::Code(code),
            (None, signal) => Self::Signal(signal.unwrap_or_default()),
        }
    }
}

impl Script {
    /// Starts a command, whose output goes to a log.
    pub(super) fn start(command: &str, variables: &[(&'static str, String)], log: &Path) -> io::Result<Self> {
        if let Some(folder) = log.parent() {
            std::fs::create_dir_all(folder)?;
        }
        let log = Arc::new(Mutex::new(Log { file: File::create(log)?, room: LOG_BYTES_MAX }));
        let mut child = Command::new("sh")
            .args(["-c", GUARDED, "trial", command])
            .envs(variables.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn()?;
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        let written = Arc::new(Written::default());
        let (end, ends) = sync_channel(2);
        let script = Self { child, written: Arc::clone(&written), ends };
        read("stdout", stdout.expect("it is piped"), &log, &written, end.clone(), |written, line| {
            if let Some(object) = answer::object(line) {
                *written.last_object.lock().unwrap_or_else(PoisonError::into_inner) = Some(object);
            }
        })?;
        read("stderr", stderr.expect("it is piped"), &log, &written, end, |written, line| {
            let mut tail = written.error_tail.lock().unwrap_or_else(PoisonError::into_inner);
            tail.push_back(line.to_owned());
            if tail.len() > TAIL_LINES {
                tail.pop_front();
            }
        })?;
        Ok(script)
    }

    /// Returns the process group.
    pub(super) fn group(&self) -> u32 {
        self.child.id()
    }

    /// Returns how much it wrote.
    pub(super) fn bytes_written(&self) -> u64 {
        self.written.bytes.load(Ordering::Relaxed)
    }

    /// Returns how it ended, once it has.
    pub(super) fn poll(&mut self) -> io::Result<Option<Ended>> {
        let Some(status) = self.child.try_wait()? else { return Ok(None) };
        self.end_group();
        for _ in 0..2 {
            // A process that left the group may hold the output open for ever; what it writes is not waited for.
            if self.ends.recv_timeout(OUTPUT_PATIENCE).is_err() {
                break;
            }
        }
        let last_object = self.written.last_object.lock().unwrap_or_else(PoisonError::into_inner).take();
        let tail = self.written.error_tail.lock().unwrap_or_else(PoisonError::into_inner);
        let error_tail = tail.iter().map(String::as_str).collect::<Vec<_>>().join(" | ");
        Ok(Some(Ended { exit: Exit::of(status), last_object, error_tail }))
    }

    fn end_group(&mut self) {
        drop(self.child.stdin.take());
    }
}

impl Drop for Script {
    /// Ends the command with everything it started.
    fn drop(&mut self) {
        self.end_group();
        // The shell, should the group's guard be gone; that it has ended already is no failure.
        self.child.kill().ok();
        if let Err(error) = self.child.wait() {
            tracing::warn!(%error, "a trial's command could not be waited for");
        }
    }
}

/// Output as it is kept.
#[derive(Debug)]
struct Log {
    file: File,
    room: u64,
}

impl Log {
    fn write(&mut self, bytes: &[u8]) {
        let fits = bytes.len() as u64 <= self.room;
        let written = if fits {
            self.room -= bytes.len() as u64;
            self.file.write_all(bytes)
        } else if self.room > 0 {
            self.room = 0;
            self.file.write_all(b"\n[the log is full: what follows is left out]\n")
        } else {
            return;
        };
        if let Err(error) = written {
            self.room = 0;
            tracing::warn!(%error, "a trial's log cannot be written; the rest is left out");
        }
    }
}

fn read(
    name: &str,
    output: impl Read + Send + 'static,
    log: &Arc<Mutex<Log>>,
    written: &Arc<Written>,
    end: SyncSender<()>,
    note: impl Fn(&Written, &str) + Send + 'static,
) -> io::Result<()> {
    let (log, written) = (Arc::clone(log), Arc::clone(written));
    std::thread::Builder::new().name(name.to_owned()).spawn(move || {
        let (mut output, mut line) = (BufReader::new(output), Vec::new());
        // An output that cannot be read any more has ended.
        while output.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
            written.bytes.fetch_add(line.len() as u64, Ordering::Relaxed);
            log.lock().unwrap_or_else(PoisonError::into_inner).write(&line);
            note(&written, String::from_utf8_lossy(&line).trim_end());
            line.clear();
        }
        // Nobody waits once the command was given up.
        end.send(()).ok();
    })?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    fn run(command: &str) -> (Ended, String) {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("trials/log");
        let mut script = Script::start(command, &[("NAME", "value of it".to_owned())], &log).unwrap();
        let started = Instant::now();
        loop {
            if let Some(ended) = script.poll().unwrap() {
                return (ended, std::fs::read_to_string(&log).unwrap());
            }
            assert!(started.elapsed() < Duration::from_secs(30), "{command:?} ends");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    #[test]
    fn the_last_object_counts_and_everything_is_logged() {
        let (ended, log) =
            run(r#"echo '{"objective": 1}'; echo "$NAME"; echo '{"objective": 2}'; echo done; echo oh >&2"#);
        assert_eq!((ended.exit, ended.error_tail.as_str()), (Exit::Code(0), "oh"));
        assert_eq!(ended.last_object, Some(serde_json::json!({"objective": 2})));
        assert!(log.contains("value of it\n") && log.contains("done\n") && log.contains("oh\n"), "{log}");
    }

    #[test]
    fn exit_codes_and_signals_are_told_apart() {
        assert_eq!(run("exit 3").0.exit, Exit::Code(3));
        assert_eq!(run("kill -KILL $$").0.exit, Exit::Signal(9));
        assert_eq!(run("sh -c 'kill -SEGV $$'").0.exit, Exit::Signal(11));
        assert_eq!(run("for i in 1 2 3 4 5 6; do echo $i >&2; done; exit 1").0.error_tail, "3 | 4 | 5 | 6");
    }

    #[test]
    fn a_command_that_is_given_up_dies_with_what_it_started() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log");
        let script = Script::start("sleep 1000 & echo $!; wait", &[], &log).unwrap();
        let started = Instant::now();
        let child = loop {
            let said = std::fs::read_to_string(&log).unwrap();
            if let Some(line) = said.strip_suffix('\n') {
                break line.to_owned();
            }
            assert!(started.elapsed() < Duration::from_secs(30), "it starts");
            std::thread::sleep(Duration::from_millis(5));
        };
        drop(script);
        let stat = format!("/proc/{child}/stat");
        // Gone, or a zombie that its new parent has yet to collect.
        while std::fs::read_to_string(&stat).is_ok_and(|stat| !stat.contains(") Z ")) {
            assert!(started.elapsed() < Duration::from_secs(30), "what it started dies");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    #[test]
    fn a_log_has_an_end() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let mut log = Log { file: file.reopen().unwrap(), room: 8 };
        ["12345", "67890", "x"].iter().for_each(|text| log.write(text.as_bytes()));
        let kept = std::fs::read_to_string(file.path()).unwrap();
        assert!(kept.starts_with("12345\n[the log is full") && !kept.contains('x'), "{kept}");
    }
}
