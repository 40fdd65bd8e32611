//! What a descriptor has to be before its file is mapped or trusted.
//!
//! Layer 2.

use super::error::OpenError;
use rustix::fs::{fcntl_get_seals, fstat, Mode, SealFlags, Stat};
use rustix::process::geteuid;
use std::os::fd::OwnedFd;
use std::path::Path;

/// Returns `true` if a user other than this one may change the size of a file, as its owner or by its mode.
pub(super) fn is_exposed(file: &OwnedFd) -> bool {
    let others = Mode::WGRP.union(Mode::WOTH).bits();
    let owned = |stat: Stat| stat.st_uid == geteuid().as_raw() && stat.st_mode & others == 0;
    let sealed = |seals: SealFlags| seals.contains(SealFlags::SHRINK);
    !fstat(file).is_ok_and(owned) && !fcntl_get_seals(file).is_ok_and(sealed)
}

pub(super) fn check_seals(
    file: &OwnedFd,
    expected: SealFlags,
    path: &Path,
) -> Result<(), OpenError> {
    match fcntl_get_seals(file) {
        Ok(seals) if seals.contains(expected) => Ok(()),
        _ => Err(OpenError::Untrusted {
            path: path.to_owned(),
            why: "it is not sealed against those who hold it",
        }),
    }
}

pub(super) fn regular_size(file: &OwnedFd, path: &Path) -> Result<u64, OpenError> {
    let stat = fstat(file).map_err(|e| OpenError::io("inspect", path, e.into()))?;
    if rustix::fs::FileType::from_raw_mode(stat.st_mode) != rustix::fs::FileType::RegularFile {
        return Err(OpenError::Untrusted {
            path: path.to_owned(),
            why: "it is not a regular file",
        });
    }
    Ok(u64::try_from(stat.st_size).unwrap_or(0))
}
