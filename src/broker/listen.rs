//! The broker's socket: listening, and taking over the path of a broker that died.
//!
//! Layer 8. A lock beside the socket, `NAME.lock`, makes sure that only one broker at a time checks whether
//! the socket is a dead broker's and replaces it. It is held as long as the broker listens.

use super::access::Access;
use super::error::BrokerError;
use rustix::fs::{flock, fstat, openat, FileType, FlockOperation, Mode, OFlags, CWD};
use rustix::io::Errno;
use rustix::net::{
    bind, connect, listen, socket_with, AddressFamily, SocketAddrUnix, SocketFlags, SocketType,
};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

pub fn io(what: &'static str, path: &Path, error: Errno) -> BrokerError {
    BrokerError::Io {
        what,
        path: path.to_owned(),
        source: error.into(),
    }
}

/// A socket that listens at a path. Dropping it removes the path, if it is still this socket's.
#[derive(Debug)]
pub struct Listener {
    socket: OwnedFd,
    path: PathBuf,
    identity: Identity,
    /// Held for its drop, which comes after the socket was removed.
    _lock: Lock,
}

/// The identity of the file at a path: device and inode.
type Identity = (u64, u64);

fn identity(path: &Path) -> Option<Identity> {
    let found = std::fs::symlink_metadata(path).ok()?;
    Some((found.dev(), found.ino()))
}

impl Listener {
    /// Listens at a path. Takes over the socket of a dead broker.
    pub fn at(path: &Path, access: &Access) -> Result<Self, BrokerError> {
        let own = || path.to_owned();
        let address =
            SocketAddrUnix::new(path).map_err(|_| BrokerError::BadPath { path: own() })?;
        refuse_others(path)?;
        let lock = Lock::take(path)?;
        refuse_others(path)?;
        if identity(path).is_some() {
            match connect(&socket(path)?, &address) {
                Err(Errno::CONNREFUSED) => {
                    std::fs::remove_file(path).map_err(|source| BrokerError::Io {
                        what: "remove the socket of a dead broker at",
                        path: own(),
                        source,
                    })?;
                }
                _ => return Err(BrokerError::InUse { path: own() }),
            }
        }
        let listener = socket(path)?;
        bind(&listener, &address).map_err(|e| match e {
            Errno::ADDRINUSE => BrokerError::InUse { path: own() },
            e => io("listen at", path, e),
        })?;
        let listener = Self {
            socket: listener,
            path: own(),
            identity: identity(path).ok_or_else(|| io("find", path, Errno::NOENT))?,
            _lock: lock,
        };
        let mode = if access.is_private() { 0o600 } else { 0o666 };
        let permissions = std::fs::Permissions::from_mode(mode);
        std::fs::set_permissions(path, permissions).map_err(|source| BrokerError::Io {
            what: "set the mode of",
            path: own(),
            source,
        })?;
        listen(&listener.socket, 64).map_err(|e| io("listen at", path, e))?;
        Ok(listener)
    }

    /// Where it listens.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if identity(&self.path) == Some(self.identity) {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

fn socket(path: &Path) -> Result<OwnedFd, BrokerError> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)
        .map_err(|e| io("make a socket for", path, e))
}

/// Checks that the path is free or leads to a socket.
fn refuse_others(path: &Path) -> Result<(), BrokerError> {
    match std::fs::symlink_metadata(path) {
        Ok(found) if !found.file_type().is_socket() => Err(BrokerError::BadPath {
            path: path.to_owned(),
        }),
        _ => Ok(()),
    }
}

/// The lock beside a socket. Dropping it removes its file and frees it.
#[derive(Debug)]
struct Lock {
    path: PathBuf,
    file: OwnedFd,
}

/// How often the file of a lock is opened again because a broker that ended removed it meanwhile.
const ATTEMPTS: u32 = 1000;

impl Lock {
    /// Takes the lock of a socket, unless another broker has it.
    fn take(socket: &Path) -> Result<Self, BrokerError> {
        let mut path = socket.as_os_str().to_owned();
        path.push(".lock");
        let path = PathBuf::from(path);
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::CLOEXEC;
        let flags = flags | OFlags::NOFOLLOW | OFlags::NONBLOCK;
        let mode = Mode::RUSR | Mode::WUSR;
        for _ in 0..ATTEMPTS {
            let file = openat(CWD, &path, flags, mode).map_err(|e| io("open", &path, e))?;
            let found = fstat(&file).map_err(|e| io("look at", &path, e))?;
            if FileType::from_raw_mode(found.st_mode) != FileType::RegularFile {
                return Err(BrokerError::BadPath { path });
            }
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => {}
                Err(Errno::WOULDBLOCK) => {
                    return Err(BrokerError::InUse {
                        path: socket.to_owned(),
                    })
                }
                Err(error) => return Err(io("lock", &path, error)),
            }
            // The file is no longer the lock if the last broker removed it in between.
            if Self::is_at(&path, &file) {
                return Ok(Self { path, file });
            }
        }
        Err(BrokerError::InUse {
            path: socket.to_owned(),
        })
    }

    /// Returns `true` if the file lies at the path.
    fn is_at(path: &Path, file: &OwnedFd) -> bool {
        match (fstat(file), std::fs::symlink_metadata(path)) {
            (Ok(own), Ok(found)) => (own.st_dev, own.st_ino) == (found.dev(), found.ino()),
            _ => false,
        }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        if Self::is_at(&self.path, &self.file) {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}
