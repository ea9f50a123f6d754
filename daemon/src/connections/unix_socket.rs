//! A socket in the file system, for clients on the same machine.

use std::fs::Permissions;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use tokio::net::{UnixListener, UnixStream};

use super::{Listen, Peer};

/// Only the daemon's user may connect: there is no authentication beyond the file's mode.
const MODE: u32 = 0o600;
/// Connections that wait to be accepted; a further one is refused, and tried again by our clients.
const BACKLOG: u32 = 1024;

/// Why there can be no socket at a path.
#[derive(Debug, thiserror::Error)]
pub enum UnixSocketError {
    /// Something answers there.
    #[error(
        "cannot listen on unix:{path}: another process serves there; stop it, or give --listen-unix another path",
        path = .0.display()
    )]
    InUse(PathBuf),
    /// A file of another kind is there.
    #[error(
        "cannot listen on unix:{path}: the file there is no socket; move it away, or give --listen-unix another path",
        path = .0.display()
    )]
    NoSocket(PathBuf),
    /// The system refuses.
    #[error("cannot listen on unix:{path}: {source}", path = .path.display())]
    Refused {
        /// The path.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// A listening socket in the file system, removed when it is dropped.
#[derive(Debug)]
pub struct UnixSocket {
    /// Goes before the listener: a path that is there but refuses would be taken for a dead daemon's.
    file: SocketFile,
    listener: UnixListener,
}

impl UnixSocket {
    /// Listens at `path`, in place of a socket that a dead daemon left there.
    ///
    /// # Errors
    /// [`UnixSocketError`] when something else is there, or the system refuses.
    pub async fn bind(path: &Path) -> Result<Self, UnixSocketError> {
        let refused = |source| UnixSocketError::Refused { path: path.to_owned(), source };
        remove_stale(path).await?;
        let socket = tokio::net::UnixSocket::new_stream().map_err(refused)?;
        socket.bind(path).map_err(refused)?;
        let file = SocketFile::at(path).map_err(refused)?;
        // Nobody connects before it listens, so nobody does under a mode that was not set yet.
        std::fs::set_permissions(path, Permissions::from_mode(MODE)).map_err(refused)?;
        let listener = socket.listen(BACKLOG).map_err(refused)?;
        // A daemon that started at the same moment may have taken what does not listen yet for a dead one's.
        if !file.is_there() {
            return Err(UnixSocketError::InUse(path.to_owned()));
        }
        Ok(Self { file, listener })
    }

    /// Returns where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.file.path
    }
}

impl Listen for UnixSocket {
    type Socket = UnixStream;

    async fn accept(&self) -> io::Result<(UnixStream, Peer)> {
        self.listener.accept().await.map(|(stream, _)| (stream, Peer::ThisMachine))
    }
}

/// Makes way for a new socket where the old one has no process any more.
async fn remove_stale(path: &Path) -> Result<(), UnixSocketError> {
    let removed = match std::fs::symlink_metadata(path) {
        Err(error) => Err(error),
        Ok(found) if !found.file_type().is_socket() => return Err(UnixSocketError::NoSocket(path.to_owned())),
        Ok(_socket) => match UnixStream::connect(path).await {
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => std::fs::remove_file(path),
            // A full backlog is somebody's as well.
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => Err(error),
            Ok(_) | Err(_) => return Err(UnixSocketError::InUse(path.to_owned())),
        },
    };
    match removed {
        Err(source) if source.kind() != io::ErrorKind::NotFound => {
            Err(UnixSocketError::Refused { path: path.to_owned(), source })
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

/// The file of a socket, removed when this is dropped, unless another has taken its place.
#[derive(Debug)]
struct SocketFile {
    path: PathBuf,
    /// Device and inode.
    identity: (u64, u64),
}

impl SocketFile {
    fn at(path: &Path) -> io::Result<Self> {
        Ok(Self { path: path.to_owned(), identity: identity(path)? })
    }

    fn is_there(&self) -> bool {
        identity(&self.path).is_ok_and(|found| found == self.identity)
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if self.is_there()
            && let Err(error) = std::fs::remove_file(&self.path)
        {
            tracing::warn!(%error, path = %self.path.display(), "the Unix socket could not be removed");
        }
    }
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    std::fs::symlink_metadata(path).map(|found| (found.dev(), found.ino()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_socket_is_its_users_alone_and_goes_with_its_owner() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("s");
        let socket = UnixSocket::bind(&path).await.unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, MODE);
        drop(socket);
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn a_dead_daemons_socket_is_replaced_a_live_one_and_other_files_are_not() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("s");
        // Closing a listener of the standard library leaves the file, as a killed daemon does.
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        let live = UnixSocket::bind(&path).await.unwrap();
        let refused = UnixSocket::bind(&path).await.unwrap_err().to_string();
        assert!(refused.contains(path.to_str().unwrap()) && refused.contains("another process"), "{refused}");
        drop(live);
        std::fs::write(&path, "mine").unwrap();
        let refused = UnixSocket::bind(&path).await.unwrap_err().to_string();
        assert!(refused.contains(path.to_str().unwrap()) && refused.contains("no socket"), "{refused}");
        assert_eq!(std::fs::read(&path).unwrap(), b"mine");
    }

    #[tokio::test]
    async fn a_socket_that_took_anothers_place_stays() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("s");
        let first = UnixSocket::bind(&path).await.unwrap();
        std::fs::rename(&path, directory.path().join("moved")).unwrap();
        let second = UnixSocket::bind(&path).await.unwrap();
        drop(first);
        assert!(path.exists());
        drop(second);
        assert!(!path.exists());
    }
}
