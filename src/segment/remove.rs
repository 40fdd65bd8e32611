//! Removal: renamed to a hidden name in one step, then deleted.
//!
//! Layer 2. Unless it is forced, it asks the lock bytes whether a process is attached, and keeps the
//! cleaner's lock meanwhile.

use super::attach::Segment;
use super::directory::{
    bytes_inside, bytes_of, children, descendants, describe, names_in, open, open_directory,
    open_lock, open_parent, random, unmapped, CONTROL, LOCK, MISSING, SCHEMA, STREAM,
};
use super::error::{OpenError, RemoveError};
use super::lock::{Held, Locks, Role};
use super::name::Location;
use crate::layout::description::DescriptionError;
use crate::layout::form::Form;
use crate::layout::geometry::MAX_ROWS;
use rustix::fs::{self, AtFlags, FileType, RenameFlags};
use rustix::io::Errno;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;

/// How often a directory is emptied in which other processes make rings meanwhile.
const ATTEMPTS: usize = 1000;

/// Removes an object's name and files: of any form, or of the expected one only. Processes that are
/// attached keep their mappings.
///
/// An object whose description cannot be read has no form, so it is removed whichever is expected.
pub fn remove(location: &Location, expected: Option<Form>, force: bool) -> Result<(), RemoveError> {
    let name_form = |error: OpenError| match expected {
        Some(form) => error.looked_for(form),
        None => error,
    };
    let path = location.path();
    let parent = open_parent(location).map_err(name_form)?;
    let directory = open_directory(&parent, location.name())
        .map_err(|e| name_form(OpenError::io("open", &path, e.into())))?;
    if let (Some(expected), Some(found)) = (expected, form_of(location)) {
        if found != expected {
            return Err(OpenError::Form {
                path,
                found,
                expected,
            }
            .into());
        }
    }
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
        claim_inside(location, &mut claimed)?;
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
    let names = present(directory)?;
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
            // A part of a ring, but no sign of one.
            Err(Errno::NOTDIR) if name == SCHEMA => {}
            Err(Errno::NOTDIR | Errno::LOOP) => contents.others = true,
            Err(error) => return Err(error),
        }
    }
    Ok(contents)
}

/// Claims what is inside an object that is claimed. Listed only now: a process that makes more from here on asks for the
/// cleaner's lock of that object afterwards, and so waits for the removal (`Attachment::confirm`).
fn claim_inside(location: &Location, claimed: &mut Vec<Option<Held>>) -> Result<(), RemoveError> {
    for child in children(location) {
        match claim(&child) {
            // Another process removed it.
            Err(RemoveError::Open(OpenError::NotFound { .. })) => continue,
            held => claimed.push(held?),
        }
        claim_inside(&child, claimed)?;
    }
    Ok(())
}

/// Makes sure that no process is attached, and takes the cleaner's lock for as long as the result lives.
fn claim(location: &Location) -> Result<Option<Held>, RemoveError> {
    match open(location, unmapped()) {
        Ok(segment) => claim_segment(&segment).map(Some),
        Err(
            error @ (OpenError::Truncated { .. }
            | OpenError::Description { .. }
            | OpenError::Mismatched { .. }
            | OpenError::Untrusted { .. }),
        ) => claim_damaged(location, error),
        Err(error) => Err(error.into()),
    }
}

/// Like `claim`, of what is open.
pub fn claim_segment(segment: &Segment) -> Result<Held, RemoveError> {
    match segment.locks() {
        Some(locks) => claim_unused(locks, segment.path()),
        None => Err(OpenError::Permission {
            path: segment.path().join(LOCK),
        }
        .into()),
    }
}

/// Like [`claim`], of what cannot be opened any more. Its lock bytes still say whether it is in use.
/// Without a lock file no process can have attached since.
fn claim_damaged(location: &Location, error: OpenError) -> Result<Option<Held>, RemoveError> {
    let Some(lock) = open_lock(location, error)? else {
        return Ok(None);
    };
    claim_unused(&Locks::File(Arc::new(lock)), &location.path()).map(Some)
}

/// Returns `true` if a live process holds any role of an object or of one inside it; `None` if that
/// cannot be asked.
pub fn is_used(location: &Location) -> Option<bool> {
    let used = |location: &Location| {
        let lock = open_lock(location, OpenError::not_found(location.path()));
        match lock.ok()? {
            Some(lock) => Locks::File(Arc::new(lock)).is_used().ok(),
            None => Some(false),
        }
    };
    let inside = descendants(location);
    let mut all = std::iter::once(location).chain(&inside).map(used);
    all.try_fold(false, |any, one| Some(any | one?))
}

/// The form of an object, if its description can be read.
fn form_of(location: &Location) -> Option<Form> {
    Some(describe(location).ok()?.form)
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

/// Makes sure that no process holds any role, and takes the cleaner's lock for as long as the result
/// lives: a process that attaches meanwhile waits for it (`Segment::trouble_after_attaching`).
fn claim_unused(locks: &Locks, path: &Path) -> Result<Held, RemoveError> {
    let io = |source| RemoveError::Io {
        what: "lock",
        path: path.to_owned(),
        source,
    };
    let cleaner = locks.acquire(Role::Cleaner).map_err(io)?;
    match cleaner {
        // Any byte, so that a role of a kind that is not counted below is not passed over.
        Some(held) if !locks.is_used().map_err(io)? => Ok(held),
        _ => Err(in_use(locks, path).map_err(io)?),
    }
}

/// The error that counts the roles that are held.
fn in_use(locks: &Locks, path: &Path) -> std::io::Result<RemoveError> {
    let mut rows = 0;
    for row in 0..MAX_ROWS {
        rows += u32::from(locks.is_held(Role::Row(row))?);
    }
    let ends = [locks.is_held(Role::End(0))?, locks.is_held(Role::End(1))?];
    Ok(RemoveError::InUse {
        path: path.to_owned(),
        producer: locks.is_held(Role::Producer)?,
        rows,
        ends: ends.into_iter().map(u32::from).sum(),
    })
}

/// Deletes a directory with everything of a ring in it. It is no error if another process deletes files
/// meanwhile, or makes a ring inside it: one that began before the name was taken learns of the removal only when
/// that ring is complete.
pub(super) fn delete(parent: &OwnedFd, hidden: &str) -> Result<(), Errno> {
    for _ in 0..ATTEMPTS {
        delete_inside(parent, hidden)?;
        match fs::unlinkat(parent, hidden, AtFlags::REMOVEDIR) {
            Err(Errno::NOTEMPTY | Errno::EXIST) => {}
            result => return unless_gone(result),
        }
    }
    Err(Errno::NOTEMPTY)
}

/// Deletes what of a ring is in a directory now.
fn delete_inside(parent: &OwnedFd, hidden: &str) -> Result<(), Errno> {
    let Ok(directory) = open_directory(parent, hidden) else {
        return Ok(());
    };
    for name in present(&directory)? {
        let stat = match fs::statat(&directory, name.as_str(), AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => continue,
            stat => stat?,
        };
        if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
            // A ring inside it, whole or half made.
            delete(&directory, &name)?;
        } else if [STREAM, CONTROL, LOCK, SCHEMA].contains(&name.as_str()) {
            unless_gone(fs::unlinkat(&directory, &name, AtFlags::empty()))?;
        }
    }
    Ok(())
}

/// What a directory holds: nothing if another process deleted it.
fn present(directory: &OwnedFd) -> Result<Vec<String>, Errno> {
    unless_gone(names_in(directory))
}

/// What is gone was deleted by another process.
fn unless_gone<T: Default>(result: Result<T, Errno>) -> Result<T, Errno> {
    match result {
        Err(Errno::NOENT) => Ok(T::default()),
        result => result,
    }
}
