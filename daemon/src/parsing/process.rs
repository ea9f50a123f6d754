//! The daemon's side of a parsing process: started, listened to, ended.

use std::io::{self, BufReader, Read};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::protocol::{Request, Told, receive, send};
use super::{CHILD_ARGUMENT, Description, Imputed, ParseError, ParseLimits, Target, Upload};
use crate::error::Error;
use crate::store::Progress;

/// How often it is looked whether anybody still waits for the files.
const LOOK_INTERVAL: Duration = Duration::from_millis(50);
/// Lines that may wait for the daemon.
const LINES_MAX: usize = 16;
/// What is kept of what the process says on standard error, in bytes of its end.
const SAID_BYTES_MAX: usize = 1 << 10;
/// Threads of the process that may be at work at once: processor time passes so many times as fast.
const THREADS_MAX: u64 = 8;
/// Signals that a process gets for the time it took, and for calling itself without end.
const SIGXCPU: i32 = 24;
/// What Rust says when memory that was asked for is not to be had, and when threads are not.
const OUT_OF_MEMORY: [&str; 2] = ["memory allocation of", "failed to spawn thread"];

/// A process that parses; ended when dropped.
#[derive(Debug)]
pub(super) struct Process {
    child: Child,
    stdin: ChildStdin,
    told: Receiver<io::Result<Told>>,
    said: Option<JoinHandle<String>>,
    limits: ParseLimits,
    end: Instant,
    /// Values that `progress` knows of.
    values: u64,
}

impl Process {
    /// Starts a process and waits until it says what the files consist of.
    pub(super) fn start(
        program: &Path,
        upload: &Upload,
        limits: ParseLimits,
        progress: &Progress,
    ) -> Result<(Self, Description), Error> {
        let directory = upload.files.first().and_then(|file| file.path.parent()).unwrap_or(Path::new(""));
        let mut process = Self::spawn(program, directory, limits).map_err(ParseError::Start)?;
        let request = Request {
            upload: upload.clone(),
            rows_max: limits.rows_max,
            memory_bytes_max: limits.memory_bytes_max,
            cpu_seconds_max: limits.time_max.as_secs().saturating_mul(THREADS_MAX).max(1),
            parent: std::process::id(),
        };
        process.say(&request)?;
        match process.next(progress)? {
            Told::Described(description) => Ok((process, description)),
            told => Err(ParseError::Answer(format!("{told:?}")).into()),
        }
    }

    /// Lets the process read the values to their places, and waits until they are there. Returns what was imputed.
    pub(super) fn read_into(mut self, target: &Target, progress: &Progress) -> Result<Vec<Imputed>, Error> {
        self.end = Instant::now() + self.limits.time_max;
        self.say(target)?;
        loop {
            match self.next(progress)? {
                Told::Read(values) => {
                    let more = usize::try_from(values.saturating_sub(self.values)).unwrap_or(usize::MAX);
                    progress.advance(more);
                    self.values = values;
                }
                Told::Done(imputed) => return Ok(imputed),
                told => return Err(ParseError::Answer(format!("{told:?}")).into()),
            }
        }
    }

    fn spawn(program: &Path, directory: &Path, limits: ParseLimits) -> io::Result<Self> {
        // What the daemon knows of addresses and passwords by its environment is none of a file's business.
        let mut child = Command::new(program)
            .arg(CHILD_ARGUMENT)
            // For people who look at processes.
            .arg(directory)
            .env_clear()
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let end = Instant::now() + limits.time_max;
        let (stdin, stdout, stderr) = (
            stdin.expect("standard input is piped"),
            stdout.expect("standard output is piped"),
            stderr.expect("standard error is piped"),
        );
        let said = Some(thread::spawn(move || end_of(stderr)));
        Ok(Self { child, stdin, told: listen(stdout), said, limits, end, values: 0 })
    }

    fn say(&mut self, message: &impl serde::Serialize) -> Result<(), Error> {
        // A process that does not listen has ended, and says why.
        match send(&mut self.stdin, message) {
            Ok(()) => Ok(()),
            Err(_) => Err(self.ended()),
        }
    }

    /// Waits for the next line, other than a refusal.
    fn next(&mut self, progress: &Progress) -> Result<Told, Error> {
        loop {
            progress.check()?;
            let Some(left) = self.end.checked_duration_since(Instant::now()) else {
                return Err(ParseError::Time(self.limits.time_max).into());
            };
            match self.told.recv_timeout(LOOK_INTERVAL.min(left)) {
                Ok(Ok(Told::Refused(refusal))) => return Err(ParseError::Refused(refusal).into()),
                Ok(Ok(told)) => return Ok(told),
                Ok(Err(error)) => return Err(ParseError::Answer(error.to_string()).into()),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Err(self.ended()),
            }
        }
    }

    /// Says why the process has ended.
    fn ended(&mut self) -> Error {
        // It has closed its output, and does nothing that anybody waits for.
        self.child.kill().ok();
        let status = match self.child.wait() {
            Ok(status) => status,
            Err(error) => return ParseError::Start(error).into(),
        };
        let said = self.said.take().and_then(|said| said.join().ok()).unwrap_or_default();
        self.failure(status, &said).into()
    }

    fn failure(&self, status: ExitStatus, said: &str) -> ParseError {
        if OUT_OF_MEMORY.iter().any(|words| said.contains(words)) {
            return ParseError::Memory(self.limits.memory_bytes_max);
        }
        if status.signal() == Some(SIGXCPU) {
            return ParseError::Time(self.limits.time_max);
        }
        let last = said.trim().lines().last().unwrap_or_default().to_owned();
        ParseError::Crashed { how: status.to_string(), said: last }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already; either way it is gone afterwards, and its lines and words end.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// Reads lines on a thread of its own, so that waiting for one may end.
fn listen(stdout: ChildStdout) -> Receiver<io::Result<Told>> {
    let (teller, told) = sync_channel(LINES_MAX);
    thread::spawn(move || {
        let mut stdout = BufReader::new(stdout);
        while let Some(line) = receive(&mut stdout).transpose() {
            let is_wrong = line.is_err();
            if teller.send(line).is_err() || is_wrong {
                return;
            }
        }
    });
    told
}

/// Reads all that a process says, and keeps the end.
fn end_of(mut stderr: ChildStderr) -> String {
    let (mut said, mut block) = (Vec::new(), [0; SAID_BYTES_MAX]);
    while let Ok(read @ 1..) = stderr.read(&mut block) {
        said.extend_from_slice(&block[..read]);
        said.drain(..said.len().saturating_sub(SAID_BYTES_MAX));
    }
    String::from_utf8_lossy(&said).into_owned()
}
