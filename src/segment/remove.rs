//! Removal: renamed to a hidden name in one step, then deleted.
//!
//! Layer 2. Unless it is forced, it asks the lock bytes whether a process is attached, and keeps the
//! cleaner's lock meanwhile.

use super::attach::Segment;
use super::directory::{
    bytes_inside, bytes_of, descendants, names_in, open, open_directory, open_lock, open_parent,
    random, unmapped, CONTROL, LOCK, MISSING, STREAM,
};
use super::error::{OpenError, RemoveError};
use super::lock::{Held, Locks, Role};
use super::name::Location;
use crate::layout::description::DescriptionError;
use crate::layout::geometry::MAX_ROWS;
use rustix::fs::{self, AtFlags, FileType, RenameFlags};
use rustix::io::Errno;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;

/// Removes a ring's name and files. Attached processes keep their mappings.
pub fn remove(location: &Location, force: bool) -> Result<(), RemoveError> {
    let path = location.path();
    let parent = open_parent(location)?;
    let directory = open_directory(&parent, location.name())
        .map_err(|e| OpenError::io("open", &path, e.into()))?;
    // Deleting would stop at a file that is no part of a ring, so it is refused before it begins.
    let Contents { rings, others } = contents(&directory).map_err(|e| failed("list", &path, e))?;
    if others {
        return Err(OpenError::Untrusted {
            path,
            why: "there are files in it that are no part of a ring",
        }
        .into());
    }
    let _cleaner = if force {
        None
    } else {
        let mut claimed = vec![claim(location)?];
        for child in descendants(location) {
            claimed.push(claim(&child)?);
        }
        Some(claimed)
    };
    if !rings {
        return Err(OpenError::Untrusted {
            path,
            why: "there is no file of a ring in it",
        }
        .into());
    }
    let name = location.name();
    let hidden = format!(".{name}.{:016x}", random() as u64);
    fs::renameat_with(&parent, name, &parent, &hidden, RenameFlags::NOREPLACE)
        .map_err(|e| failed("unname", &path, e))?;
    delete(&parent, &hidden).map_err(|e| failed("delete", &path, e))
}

pub(super) fn failed(what: &'static str, path: &Path, error: Errno) -> RemoveError {
    let path = path.to_owned();
    match error {
        Errno::NOENT => OpenError::not_found(path).into(),
        Errno::ACCESS | Errno::PERM | Errno::ROFS => RemoveError::Permission { path },
        error => RemoveError::Io {
            what,
            path,
            source: error.into(),
        },
    }
}

/// What a directory holds that is to be removed.
struct Contents {
    /// Whether there is a file of a ring in it, or nothing at all.
    rings: bool,
    /// Whether there is, at any depth, what is neither a directory nor a file of a ring.
    others: bool,
}

fn contents(directory: &OwnedFd) -> Result<Contents, Errno> {
    let names = names_in(directory)?;
    let mut contents = Contents {
        rings: names.is_empty(),
        others: false,
    };
    for name in names {
        if [STREAM, CONTROL, LOCK].contains(&name.as_str()) {
            contents.rings = true;
            continue;
        }
        match open_directory(directory, &name) {
            Ok(inner) => contents.others |= self::contents(&inner)?.others,
            Err(Errno::NOENT) => {}
            Err(Errno::NOTDIR | Errno::LOOP) => contents.others = true,
            Err(error) => return Err(error),
        }
    }
    Ok(contents)
}

/// Makes sure that no process is attached, and takes the cleaner's lock for as long as the result lives.
fn claim(location: &Location) -> Result<Option<Held>, RemoveError> {
    match open(location, unmapped()) {
        Ok(segment) => claim_unused(&segment).map(Some),
        Err(
            error @ (OpenError::Truncated { .. }
            | OpenError::Description { .. }
            | OpenError::Mismatched { .. }
            | OpenError::Untrusted { .. }),
        ) => claim_damaged(location, error),
        Err(error) => Err(error.into()),
    }
}

/// Like [`claim`], of what cannot be opened any more. Its lock bytes still say whether it is in use.
/// Without a lock file no process can have attached since.
fn claim_damaged(location: &Location, error: OpenError) -> Result<Option<Held>, RemoveError> {
    let path = location.path();
    let Some(lock) = open_lock(location, error)? else {
        return Ok(None);
    };
    let locks = Locks::File(Arc::new(lock));
    let io = |source| RemoveError::Io {
        what: "lock",
        path: path.clone(),
        source,
    };
    let cleaner = locks.acquire(Role::Cleaner).map_err(io)?;
    if cleaner.is_some() && !locks.is_used().map_err(io)? {
        return Ok(cleaner);
    }
    let producer = locks.is_held(Role::Producer).map_err(io)?;
    let mut rows = 0;
    for row in 0..MAX_ROWS {
        rows += u32::from(locks.is_held(Role::Row(row)).map_err(io)?);
    }
    let ends = held_ends(&locks).map_err(io)?;
    Err(RemoveError::InUse {
        path,
        producer,
        rows,
        ends,
    })
}

/// How many sides of a link or a named pipe are held. A side that waits for the other holds nothing else.
fn held_ends(locks: &Locks) -> std::io::Result<u32> {
    let ends = [locks.is_held(Role::End(0))?, locks.is_held(Role::End(1))?];
    Ok(ends.into_iter().map(u32::from).sum())
}

/// The bytes of a ring that no process can open any more, for the reason that opening it gave, and that none
/// uses. One of another version is not damaged.
pub fn damaged(location: &Location, error: &OpenError) -> Option<u64> {
    match error {
        OpenError::Description { reason, .. } => match reason {
            DescriptionError::Version { .. } | DescriptionError::ByteOrder => return None,
            _ => {}
        },
        OpenError::Truncated { .. } | OpenError::Mismatched { .. } => {}
        OpenError::Untrusted { why: MISSING, .. } => {}
        _ => return None,
    }
    let parent = open_parent(location).ok()?;
    let directory = open_directory(&parent, location.name()).ok()?;
    let files = names_in(&directory).ok()?;
    let contents = contents(&directory).ok()?;
    if files.is_empty() || !contents.rings || contents.others {
        return None;
    }
    claim(location).ok()?;
    Some(bytes_of(&directory) + bytes_inside(location))
}

/// Makes sure that no process is attached, and takes the cleaner's lock for as long as the result lives: a
/// process that attaches meanwhile waits for it (`Segment::trouble_after_attaching`).
fn claim_unused(segment: &Segment) -> Result<Held, RemoveError> {
    let path = segment.path().to_owned();
    let Some(locks) = segment.locks() else {
        return Err(OpenError::Permission {
            path: path.join(LOCK),
        }
        .into());
    };
    let io = |source| RemoveError::Io {
        what: "lock",
        path: path.clone(),
        source,
    };
    let cleaner = locks.acquire(Role::Cleaner).map_err(io)?;
    let producer = locks.is_held(Role::Producer).map_err(io)?;
    let mut rows = 0;
    for row in 0..segment.description().geometry.rows {
        rows += u32::from(locks.is_held(Role::Row(row)).map_err(io)?);
    }
    let ends = held_ends(locks).map_err(io)?;
    match cleaner {
        Some(held) if !producer && rows == 0 && ends == 0 => Ok(held),
        _ => Err(RemoveError::InUse {
            path,
            producer,
            rows,
            ends,
        }),
    }
}

/// Deletes a directory with everything of a ring in it. It is no error if another process deletes files
/// meanwhile.
pub(super) fn delete(parent: &OwnedFd, hidden: &str) -> Result<(), Errno> {
    let gone = |result| match result {
        Err(Errno::NOENT) => Ok(()),
        result => result,
    };
    if let Ok(directory) = open_directory(parent, hidden) {
        for name in names_in(&directory)? {
            let stat = match fs::statat(&directory, name.as_str(), AtFlags::SYMLINK_NOFOLLOW) {
                Err(Errno::NOENT) => continue,
                stat => stat?,
            };
            if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
                // A ring inside it, whole or half made.
                delete(&directory, &name)?;
            } else if [STREAM, CONTROL, LOCK].contains(&name.as_str()) {
                gone(fs::unlinkat(&directory, &name, AtFlags::empty()))?;
            }
        }
    }
    gone(fs::unlinkat(parent, hidden, AtFlags::REMOVEDIR))
}
