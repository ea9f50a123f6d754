//! The process that parses: it binds itself to its limits before it opens a file.

use std::io::{self, Stdout, stdin, stdout};
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, setrlimit};

use super::protocol::{Request, Told, receive, send};
use super::{Description, Refusal, Target, open_files, write_columns};
use crate::store::StoreError;

/// Files open at once: every thread has one, beside the file of columns and the standard ones.
const FILES_OPEN_MAX: u64 = 64;
/// How often the daemon is told how far it is.
const TELL_INTERVAL: Duration = Duration::from_millis(100);

/// Parses what the daemon says on standard input, and tells it on standard output: what a program does whose first argument
/// is [`CHILD_ARGUMENT`](super::CHILD_ARGUMENT).
#[must_use]
pub fn run_child() -> ExitCode {
    match parse() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// Parses; an error means that there is nobody to tell, or no telling.
fn parse() -> io::Result<()> {
    let mut daemon = stdin().lock();
    let Some(request) = receive::<Request>(&mut daemon)? else { return Ok(()) };
    confine(&request)?;
    let files = match open_files(&request.upload, request.rows_max) {
        Ok(files) => files,
        Err(refusal) => return send(&mut stdout(), &Told::Refused(refusal)),
    };
    send(&mut stdout(), &Told::Described(Description::of(&files)))?;
    let Some(target) = receive::<Target>(&mut daemon)? else { return Ok(()) };
    if target.starts.len() != files.columns().len() {
        return Err(io::Error::other(format!("{} places for {} columns", target.starts.len(), files.columns().len())));
    }
    let teller = Teller { values: AtomicU64::new(0), told: Mutex::new((Instant::now(), stdout())) };
    let last = match write_columns(&files, &request.upload.files, &target, |values| teller.tell(values)) {
        Ok(imputed) => Told::Done(imputed),
        Err(error) => Told::Refused(Refusal::of_failure(error)),
    };
    send(&mut stdout(), &last)
}

/// Takes from this process what parsing does not need.
fn confine(request: &Request) -> io::Result<()> {
    let limit = |resource, most: u64| {
        let limit = Rlimit { current: Some(most), maximum: Some(most) };
        setrlimit(resource, limit).map_err(|error| io::Error::other(format!("{resource:?} of {most}: {error}")))
    };
    #[cfg(target_os = "linux")]
    {
        use rustix::process::{
            DumpableBehavior, Signal, getppid, set_dumpable_behavior, set_parent_process_death_signal,
        };

        // The first that the system ends where memory runs out. Not to be allowed this is no reason not to parse.
        std::fs::write("/proc/self/oom_score_adj", "1000").ok();
        set_parent_process_death_signal(Some(Signal::KILL))?;
        if getppid().is_none_or(|parent| parent.as_raw_nonzero().get().cast_unsigned() != request.parent) {
            return Err(io::Error::other("the daemon is gone"));
        }
        rustix::thread::set_no_new_privs(true)?;
        set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    }
    limit(Resource::Core, 0)?;
    limit(Resource::Nofile, FILES_OPEN_MAX)?;
    limit(Resource::Cpu, request.cpu_seconds_max)?;
    limit(Resource::As, request.memory_bytes_max)
}

/// Tells the daemon how many values were read.
struct Teller {
    values: AtomicU64,
    told: Mutex<(Instant, Stdout)>,
}

impl Teller {
    fn tell(&self, values: usize) -> Result<(), StoreError> {
        let values = self.values.fetch_add(values as u64, Ordering::Relaxed) + values as u64;
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.0.elapsed() < TELL_INTERVAL {
            return Ok(());
        }
        told.0 = Instant::now();
        // A daemon that does not listen is gone.
        send(&mut told.1, &Told::Read(values)).map_err(|_gone| StoreError::Interrupted)
    }
}
