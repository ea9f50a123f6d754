//! A disk that fails: preloaded into a daemon (`LD_PRELOAD`), it stands between the program and the C library where files
//! are changed, SQLite's included.
//!
//! Calls that change what is under `FAULTY_DISK_DIR` are counted from 0; each adds a line, its kind and its path, to
//! `FAULTY_DISK_LOG`. The file `FAULTY_DISK_FAULT`, read at every such call, says which fail: `KIND FIRST LAST`, where KIND
//! is `ENOSPC` or `EIO`, which those calls return without doing anything, or `KILL`: half of a write is done, everything
//! else is not, and the process ends as by `kill -9`. No file, or an empty one: none fails. Calls through a memory map are
//! not seen.

#![allow(unsafe_code, reason = "it takes the place of C functions")]
#![allow(clippy::missing_safety_doc, reason = "every function asks of its caller what the C function of its name asks")]
#![allow(missing_docs, reason = "every function is the C function of its name")]

mod fault;
mod real;

use std::ffi::{CStr, c_char, c_int, c_uint, c_void};

use libc::{mode_t, off_t, size_t, ssize_t};

use fault::{Outcome, meet, meet_fd};
use real::real;

/// Calls a write, whole, not at all, or the half of it that a dying process got done.
unsafe fn write_with(fd: c_int, kind: &str, count: size_t, write: impl Fn(size_t) -> ssize_t) -> ssize_t {
    match meet_fd(fd, kind) {
        Outcome::Does => write(count),
        Outcome::Fails => -1,
        Outcome::Dies => {
            write(count / 2);
            fault::die()
        }
    }
}

/// Calls anything else, or not.
fn call_with(outcome: &Outcome, call: impl FnOnce() -> c_int) -> c_int {
    match outcome {
        Outcome::Does => call(),
        Outcome::Fails => -1,
        Outcome::Dies => fault::die(),
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn write(fd: c_int, buffer: *const c_void, count: size_t) -> ssize_t {
    let write = real!(write: fn(c_int, *const c_void, size_t) -> ssize_t);
    // SAFETY: as the caller promises for `count` bytes, fewer are readable too.
    unsafe { write_with(fd, "write", count, |count| write(fd, buffer, count)) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn pwrite(fd: c_int, buffer: *const c_void, count: size_t, offset: off_t) -> ssize_t {
    let pwrite = real!(pwrite: fn(c_int, *const c_void, size_t, off_t) -> ssize_t);
    // SAFETY: as the caller promises for `count` bytes, fewer are readable too.
    unsafe { write_with(fd, "write", count, |count| pwrite(fd, buffer, count, offset)) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn pwrite64(fd: c_int, buffer: *const c_void, count: size_t, offset: off_t) -> ssize_t {
    // SAFETY: the same call under another name, where offsets have 64 bits anyway.
    unsafe { pwrite(fd, buffer, count, offset) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn writev(fd: c_int, parts: *const libc::iovec, count: c_int) -> ssize_t {
    let writev = real!(writev: fn(c_int, *const libc::iovec, c_int) -> ssize_t);
    match meet_fd(fd, "write") {
        // SAFETY: as the caller promises.
        Outcome::Does => unsafe { writev(fd, parts, count) },
        Outcome::Fails => -1,
        Outcome::Dies => fault::die(),
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn fsync(fd: c_int) -> c_int {
    let fsync = real!(fsync: fn(c_int) -> c_int);
    // SAFETY: any descriptor may be asked for.
    call_with(&meet_fd(fd, "fsync"), || unsafe { fsync(fd) })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn fdatasync(fd: c_int) -> c_int {
    let fdatasync = real!(fdatasync: fn(c_int) -> c_int);
    // SAFETY: any descriptor may be asked for.
    call_with(&meet_fd(fd, "fsync"), || unsafe { fdatasync(fd) })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn ftruncate(fd: c_int, length: off_t) -> c_int {
    let ftruncate = real!(ftruncate: fn(c_int, off_t) -> c_int);
    // SAFETY: any descriptor may be asked for.
    call_with(&meet_fd(fd, "truncate"), || unsafe { ftruncate(fd, length) })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn ftruncate64(fd: c_int, length: off_t) -> c_int {
    // SAFETY: the same call under another name, where lengths have 64 bits anyway.
    unsafe { ftruncate(fd, length) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn rename(from: *const c_char, to: *const c_char) -> c_int {
    let rename = real!(rename: fn(*const c_char, *const c_char) -> c_int);
    // SAFETY: the caller gives two C strings.
    unsafe { call_with(&meet(CStr::from_ptr(to), "rename"), || rename(from, to)) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn unlink(path: *const c_char) -> c_int {
    let unlink = real!(unlink: fn(*const c_char) -> c_int);
    // SAFETY: the caller gives a C string.
    unsafe { call_with(&meet(CStr::from_ptr(path), "unlink"), || unlink(path)) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn unlinkat(folder: c_int, path: *const c_char, flags: c_int) -> c_int {
    let unlinkat = real!(unlinkat: fn(c_int, *const c_char, c_int) -> c_int);
    // SAFETY: as the caller promises. Of a path in a folder that is open, the folder tells where it is.
    call_with(&meet_fd(folder, "unlink"), || unsafe { unlinkat(folder, path, flags) })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn mkdir(path: *const c_char, mode: mode_t) -> c_int {
    let mkdir = real!(mkdir: fn(*const c_char, mode_t) -> c_int);
    // SAFETY: the caller gives a C string.
    unsafe { call_with(&meet(CStr::from_ptr(path), "mkdir"), || mkdir(path, mode)) }
}

/// The C function takes its mode as a variable argument; where it goes is the same in the calling conventions of Linux.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn open(path: *const c_char, flags: c_int, mode: c_uint) -> c_int {
    let open = real!(open: fn(*const c_char, c_int, c_uint) -> c_int);
    if flags & libc::O_CREAT == 0 {
        // SAFETY: as the caller promises.
        return unsafe { open(path, flags, mode) };
    }
    // SAFETY: the caller gives a C string.
    unsafe { call_with(&meet(CStr::from_ptr(path), "create"), || open(path, flags, mode)) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn open64(path: *const c_char, flags: c_int, mode: c_uint) -> c_int {
    // SAFETY: the same call under another name, where files have 64-bit offsets anyway.
    unsafe { open(path, flags, mode) }
}
