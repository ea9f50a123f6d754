//! Which calls fail, and how.

use std::ffi::{CStr, CString, c_int};
use std::os::unix::ffi::OsStrExt;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// Longest path and longest description of a fault, in bytes.
const TEXT_BYTES_MAX: usize = 4096;

/// What becomes of a call.
pub(crate) enum Outcome {
    /// It is done.
    Does,
    /// It fails with the error that is set.
    Fails,
    /// It is the last of the process.
    Dies,
}

/// Counts a call on an open file, and says what becomes of it.
pub(crate) fn meet_fd(fd: c_int, kind: &str) -> Outcome {
    if settings().is_none() {
        return Outcome::Does;
    }
    let link = CString::new(format!("/proc/self/fd/{fd}")).expect("a number has no zero byte");
    let mut path = [0; TEXT_BYTES_MAX];
    // SAFETY: a C string, and room for as many bytes as are said.
    let length = unsafe { libc::readlink(link.as_ptr(), path.as_mut_ptr().cast(), path.len()) };
    usize::try_from(length).map_or(Outcome::Does, |length| decide(&path[..length], kind))
}

/// As [`meet_fd`], on a path.
pub(crate) fn meet(path: &CStr, kind: &str) -> Outcome {
    decide(path.to_bytes(), kind)
}

/// Ends the process as `kill -9` does.
pub(crate) fn die() -> ! {
    // SAFETY: a process may kill itself.
    unsafe { libc::kill(libc::getpid(), libc::SIGKILL) };
    loop {
        // SAFETY: waits for the signal.
        unsafe { libc::pause() };
    }
}

struct Settings {
    dir: Vec<u8>,
    log: c_int,
    fault: CString,
    calls: AtomicU64,
}

fn settings() -> Option<&'static Settings> {
    static SETTINGS: OnceLock<Option<Settings>> = OnceLock::new();
    let read = || {
        let variable = |name| std::env::var_os(name).map(|value| value.as_bytes().to_vec());
        let log = CString::new(variable("FAULTY_DISK_LOG")?).ok()?;
        let open = libc::SYS_openat;
        // SAFETY: a C string; the call goes past this library's own functions.
        let log = unsafe {
            libc::syscall(open, libc::AT_FDCWD, log.as_ptr(), libc::O_WRONLY | libc::O_CREAT | libc::O_APPEND, 0o600)
        };
        Some(Settings {
            dir: variable("FAULTY_DISK_DIR")?,
            log: c_int::try_from(log).ok()?,
            fault: CString::new(variable("FAULTY_DISK_FAULT")?).ok()?,
            calls: AtomicU64::new(0),
        })
    };
    SETTINGS.get_or_init(read).as_ref()
}

fn decide(path: &[u8], kind: &str) -> Outcome {
    let Some(settings) = settings() else { return Outcome::Does };
    if !path.starts_with(&settings.dir) {
        return Outcome::Does;
    }
    let call = settings.calls.fetch_add(1, Ordering::SeqCst);
    let line = [kind.as_bytes(), b" ", &path[settings.dir.len()..], b"\n"].concat();
    // SAFETY: as many bytes as are said. A line that cannot be written is one less to count, which the scenario sees.
    unsafe { libc::syscall(libc::SYS_write, settings.log, line.as_ptr(), line.len()) };
    let Some((fault, first, last)) = fault(settings) else { return Outcome::Does };
    if call < first || call > last {
        return Outcome::Does;
    }
    let error = match fault.as_str() {
        "ENOSPC" => libc::ENOSPC,
        "EIO" => libc::EIO,
        "KILL" => return Outcome::Dies,
        other => panic!("FAULTY_DISK_FAULT is {other:?}: it must be ENOSPC, EIO or KILL"),
    };
    // SAFETY: errno is this thread's own.
    unsafe { *libc::__errno_location() = error };
    Outcome::Fails
}

/// Reads the fault that is set now: its kind, the first call that fails, and the last.
fn fault(settings: &Settings) -> Option<(String, u64, u64)> {
    let mut text = [0; TEXT_BYTES_MAX];
    // SAFETY: a C string, then a descriptor of our own and room for as many bytes as are said. No call is one of ours.
    let length = unsafe {
        let file = libc::syscall(libc::SYS_openat, libc::AT_FDCWD, settings.fault.as_ptr(), libc::O_RDONLY, 0);
        let length = libc::syscall(libc::SYS_read, file, text.as_mut_ptr(), text.len());
        libc::syscall(libc::SYS_close, file);
        length
    };
    let text = std::str::from_utf8(&text[..usize::try_from(length).ok()?]).ok()?;
    let mut words = text.split_whitespace();
    let (kind, first, last) = (words.next()?, words.next()?, words.next()?);
    Some((kind.to_owned(), first.parse().ok()?, last.parse().ok()?))
}
