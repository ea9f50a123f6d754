//! Paths of Unix sockets, by which clients on a daemon's machine name it: `unix:PATH`.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// What such an address begins with.
pub const PREFIX: &str = "unix:";
/// Longest path in bytes: Linux keeps 108, the last of them a zero.
pub const BYTES_MAX: usize = 107;

/// Why no socket can have a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UnixPathError {
    /// There is none.
    #[error("the path of the Unix socket is missing")]
    Empty,
    /// The system does not take it.
    #[error("the path has {0} bytes, and a Unix socket's has at most {BYTES_MAX}: take a shorter one")]
    TooLong(usize),
    /// It cannot be written in a list of addresses.
    #[error("the path of a Unix socket must be UTF-8 without a comma, which separates addresses, and without a zero")]
    Unwritable,
}

/// Refuses what cannot be the path of a daemon's Unix socket.
///
/// # Errors
/// [`UnixPathError`].
pub fn check(path: &Path) -> Result<(), UnixPathError> {
    let bytes = path.as_os_str().as_bytes();
    if bytes.is_empty() {
        Err(UnixPathError::Empty)
    } else if bytes.len() > BYTES_MAX {
        Err(UnixPathError::TooLong(bytes.len()))
    } else if path.to_str().is_none_or(|path| path.contains([',', '\0'])) {
        Err(UnixPathError::Unwritable)
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_path_is_what_the_system_takes() {
        let path = |bytes: usize| format!("/{}", "x".repeat(bytes - 1));
        for bytes in [1, BYTES_MAX, BYTES_MAX + 1] {
            let taken = std::os::unix::net::SocketAddr::from_pathname(path(bytes)).is_ok();
            assert_eq!(check(Path::new(&path(bytes))).is_ok(), taken, "{bytes} bytes");
        }
    }

    #[test]
    fn what_no_list_of_addresses_can_hold_is_refused() {
        assert_eq!(check(Path::new("")), Err(UnixPathError::Empty));
        assert_eq!(check(Path::new("/run/a,b")), Err(UnixPathError::Unwritable));
    }
}
