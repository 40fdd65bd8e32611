//! Room for files: reserved in full when a file is made, so that no later write can fail.
//!
//! Layer 2, unsafe by need (the limit is asked for in a way that may fail). The one place where a file of
//! the library grows.
#![allow(unsafe_code, reason = "asks for a limit of the process")]

use rustix::fs::{fallocate, fstatvfs, FallocateFlags};
use rustix::io::Errno;
use std::io;
use std::os::fd::OwnedFd;

/// Reserves every page of a new file: a full file system is an error here, never a signal later.
pub fn reserve(file: &OwnedFd, bytes: u64) -> io::Result<()> {
    if bytes == 0 {
        return Ok(());
    }
    // The kernel says this with a signal that ends the process.
    if file_size_limit().is_some_and(|limit| limit < bytes) {
        return Err(Errno::FBIG.into());
    }
    Ok(fallocate(file, FallocateFlags::empty(), 0, bytes)?)
}

/// How large a file this process may make, if there is a limit.
pub fn file_size_limit() -> Option<u64> {
    let mut limit = libc::rlimit {
        rlim_cur: libc::RLIM_INFINITY,
        rlim_max: libc::RLIM_INFINITY,
    };
    // SAFETY: `limit` is a valid structure of this kind for the call to fill in.
    let asked = unsafe { libc::getrlimit(libc::RLIMIT_FSIZE, &raw mut limit) };
    (asked == 0 && limit.rlim_cur != libc::RLIM_INFINITY).then_some(limit.rlim_cur)
}

/// Bytes that this user may still take in the file system of a file; `None` where it does not say.
pub fn free_bytes(file: &OwnedFd) -> Option<u64> {
    let system = fstatvfs(file).ok()?;
    // A file system in memory without a limit has no blocks.
    (system.f_blocks > 0).then(|| system.f_bavail.saturating_mul(system.f_frsize))
}
