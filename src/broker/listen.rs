//! The broker's socket: where it listens, and taking the place of a broker that died.
//!
//! Layer 8.

use super::error::BrokerError;
use super::Access;
use rustix::io::Errno;
use rustix::net::{
    bind, connect, listen, socket_with, AddressFamily, SocketAddrUnix, SocketFlags, SocketType,
};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::Path;

pub fn io(what: &'static str, path: &Path, error: Errno) -> BrokerError {
    BrokerError::Io {
        what,
        path: path.to_owned(),
        source: error.into(),
    }
}

fn socket(path: &Path) -> Result<OwnedFd, BrokerError> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)
        .map_err(|e| io("make a socket for", path, e))
}

/// Listens at a path; one that a dead broker left is taken over.
pub fn listen_at(path: &Path, access: &Access) -> Result<OwnedFd, BrokerError> {
    let own = || path.to_owned();
    let address = SocketAddrUnix::new(path).map_err(|_| BrokerError::BadPath { path: own() })?;
    if let Ok(found) = std::fs::symlink_metadata(path) {
        if !found.file_type().is_socket() {
            return Err(BrokerError::BadPath { path: own() });
        }
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
    let mode = if access.is_private() { 0o600 } else { 0o666 };
    let permissions = std::fs::Permissions::from_mode(mode);
    std::fs::set_permissions(path, permissions).map_err(|source| BrokerError::Io {
        what: "set the mode of",
        path: own(),
        source,
    })?;
    listen(&listener, 64).map_err(|e| io("listen at", path, e))?;
    Ok(listener)
}
