//! Ownership: one lock byte per role, which the kernel frees at every kind of death.
//!
//! Layer 2, unsafe by need (the locks are not in rustix). A lock is taken on an open file
//! description of its own, that description is mapped without access and without inheritance, and
//! its descriptor is closed: the lock then lives exactly as long as the mapping. A forked child does
//! not keep it, `exec` and every kind of death free it, process ids do not matter.
#![allow(unsafe_code, reason = "open-file-description locks and their mapping")]

use super::fork::Canary;
use crate::layout::geometry::PAGE;
use rustix::fs::{openat, Mode, OFlags, CWD};
use rustix::mm::{madvise, mmap, munmap, Advice, MapFlags, ProtFlags};
use std::collections::BTreeSet;
use std::ffi::c_void;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::{Arc, Mutex, PoisonError};

/// What a lock byte stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The one writer.
    Producer,
    /// The process that removes the ring.
    Cleaner,
    /// One end of what has two.
    End(u32),
    /// The owner of a row.
    Row(u32),
    /// The user of the durable cursor whose name has this hash.
    Cursor(u64),
}

impl Role {
    /// The byte that is locked.
    pub fn byte(self) -> u64 {
        match self {
            Self::Producer => 0,
            Self::Cleaner => 1,
            Self::End(end) => 2 + u64::from(end % 2),
            Self::Row(row) => 16 + u64::from(row),
            Self::Cursor(hash) => 1 << 61 | hash >> 3,
        }
    }
}

/// The lock bytes of one ring.
#[derive(Clone, Debug)]
pub enum Locks {
    /// Of a file, which holds nothing else.
    File(Arc<OwnedFd>),
    /// Of several files: one for the producer, one for each row; absent where this attachment has no
    /// access.
    Apart {
        /// The stream itself, on which its producer holds the lock.
        stream: Arc<OwnedFd>,
        /// The file of each row.
        seats: Arc<[Option<OwnedFd>]>,
    },
    /// Of this process, for a ring on the heap.
    Local(Arc<Mutex<BTreeSet<u64>>>),
}

/// A role that is taken until this value is dropped or the process dies.
#[derive(Debug)]
pub struct Held(Keep);

#[derive(Debug)]
enum Keep {
    Mapping(*mut c_void, Canary),
    Local(Arc<Mutex<BTreeSet<u64>>>, u64),
}

// SAFETY: the mapping has no access rights; it is only ever unmapped, from whichever thread.
unsafe impl Send for Held {}
// SAFETY: no method reads through the address.
unsafe impl Sync for Held {}

impl Locks {
    /// Lock bytes of a new ring on the heap.
    pub fn local() -> Self {
        Self::Local(Arc::default())
    }

    /// Takes a role; `None` if a live process holds it.
    pub fn acquire(&self, role: Role) -> io::Result<Option<Held>> {
        let byte = role.byte();
        match self {
            Self::Local(set) => {
                let mut taken = set.lock().unwrap_or_else(PoisonError::into_inner);
                let fresh = taken.insert(byte);
                Ok(fresh.then(|| Held(Keep::Local(set.clone(), byte))))
            }
            Self::File(_) | Self::Apart { .. } => {
                let own = reopen(self.file(role)?, OFlags::RDWR)?;
                if !lock_byte(&own, libc::F_OFD_SETLK, byte)? {
                    return Ok(None);
                }
                keep_by_mapping(&own).map(|keep| Some(Held(keep)))
            }
        }
    }

    /// Takes a role for every process that has the returned descriptor or a copy of it; `None` if the role
    /// is held.
    pub fn acquire_as_descriptor(&self, role: Role) -> io::Result<Option<OwnedFd>> {
        let own = reopen(self.file(role)?, OFlags::RDWR)?;
        let taken = lock_byte(&own, libc::F_OFD_SETLK, role.byte())?;
        Ok(taken.then_some(own))
    }

    /// Returns `true` if a live process, this one included, holds a role.
    pub fn is_held(&self, role: Role) -> io::Result<bool> {
        match self {
            Self::Local(set) => {
                let taken = set.lock().unwrap_or_else(PoisonError::into_inner);
                Ok(taken.contains(&role.byte()))
            }
            Self::File(_) | Self::Apart { .. } => {
                lock_byte(self.file(role)?, libc::F_OFD_GETLK, role.byte()).map(|free| !free)
            }
        }
    }

    /// Returns `true` if any byte except the cleaner's is locked.
    pub fn is_used(&self) -> io::Result<bool> {
        let cleaner = Role::Cleaner.byte();
        match self {
            Self::Local(set) => {
                let taken = set.lock().unwrap_or_else(PoisonError::into_inner);
                Ok(taken.iter().any(|byte| *byte != cleaner))
            }
            Self::File(_) | Self::Apart { .. } => {
                let file = self.file(Role::Cleaner)?;
                let free = |start, len| lock_bytes(file, libc::F_OFD_GETLK, start, len);
                // A length of zero means all that follow.
                Ok(!free(0, cleaner)? || !free(cleaner + 1, 0)?)
            }
        }
    }

    /// Returns `true` if any byte that stands for no role is locked, of those before the rows.
    pub fn is_reserved_held(&self) -> io::Result<bool> {
        let (first, rows) = (Role::End(1).byte() + 1, Role::Row(0).byte());
        match self {
            Self::Local(_) => Ok(false),
            Self::File(_) | Self::Apart { .. } => {
                let file = self.file(Role::Cleaner)?;
                lock_bytes(file, libc::F_OFD_GETLK, first, rows - first).map(|free| !free)
            }
        }
    }

    /// The file whose byte stands for a role.
    fn file(&self, role: Role) -> io::Result<&OwnedFd> {
        let file = match (self, role) {
            (Self::File(file), _) => Some(&**file),
            (Self::Apart { seats, .. }, Role::Row(row)) => {
                seats.get(row as usize).and_then(Option::as_ref)
            }
            // The name of a cursor belongs to the one row it is asked for from.
            (Self::Apart { seats, .. }, Role::Cursor(_)) => seats.iter().flatten().next(),
            (Self::Apart { stream, .. }, _) => Some(&**stream),
            (Self::Local(_), _) => None,
        };
        file.ok_or_else(|| io::ErrorKind::PermissionDenied.into())
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        match &self.0 {
            // A forked child did not inherit the mapping; another mapping may be there by now.
            Keep::Mapping(_, canary) if canary.forked() => {}
            // SAFETY: this page was mapped in `keep_by_mapping` and is unmapped only here.
            Keep::Mapping(page, _) => unsafe {
                let _ = munmap(*page, PAGE as usize);
            },
            Keep::Local(set, byte) => {
                set.lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .remove(byte);
            }
        }
    }
}

/// A new open file description of the file behind a descriptor, even if its name is gone.
pub fn reopen(file: &OwnedFd, flags: OFlags) -> io::Result<OwnedFd> {
    let path = format!("/proc/self/fd/{}", file.as_raw_fd());
    let flags = flags | OFlags::CLOEXEC | OFlags::NONBLOCK;
    Ok(openat(CWD, path, flags, Mode::empty())?)
}

/// Takes the write lock of one byte, or asks whether it could; `false` if another has it.
fn lock_byte(file: &OwnedFd, command: i32, byte: u64) -> io::Result<bool> {
    lock_bytes(file, command, byte, 1)
}

/// Like [`lock_byte`], of a range; a length of zero means all that follow.
fn lock_bytes(file: &OwnedFd, command: i32, start: u64, len: u64) -> io::Result<bool> {
    let offset = |n| i64::try_from(n).map_err(|_| io::ErrorKind::InvalidInput);
    let (start, len) = (offset(start)?, offset(len)?);
    // SAFETY: an all-zero `flock` is a valid value; the fields that matter are set below.
    let mut lock: libc::flock = unsafe { core::mem::zeroed() };
    lock.l_type = libc::F_WRLCK as i16;
    lock.l_whence = libc::SEEK_SET as i16;
    lock.l_start = start;
    lock.l_len = len;
    // SAFETY: the descriptor is open and `lock` is a valid, initialised `flock` for the call.
    let result = unsafe { libc::fcntl(file.as_raw_fd(), command, &raw mut lock) };
    if result == 0 {
        // A read lock holds no role: roles are held by write locks, and those need write access.
        return Ok(command == libc::F_OFD_SETLK || lock.l_type != libc::F_WRLCK as i16);
    }
    let error = io::Error::last_os_error();
    match error.raw_os_error() {
        Some(libc::EAGAIN | libc::EACCES) => Ok(false),
        _ => Err(error),
    }
}

fn keep_by_mapping(file: &OwnedFd) -> io::Result<Keep> {
    let (len, none) = (PAGE as usize, ProtFlags::empty());
    // SAFETY: a new mapping at an address the kernel chooses; it has no access rights, so nothing
    // can be read or written through it.
    unsafe {
        let page = mmap(core::ptr::null_mut(), len, none, MapFlags::SHARED, file, 0)?;
        let keep = Keep::Mapping(page, Canary::of_this_process());
        madvise(page, len, Advice::LinuxDontFork)?;
        Ok(keep)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file() -> Locks {
        let file = tempfile::tempfile().unwrap();
        Locks::File(Arc::new(file.into()))
    }

    #[test]
    fn one_role_has_one_owner_until_it_is_dropped() {
        for locks in [file(), Locks::local()] {
            for role in [
                Role::Producer,
                Role::Cleaner,
                Role::End(0),
                Role::End(1),
                Role::Row(0),
                Role::Row(1023),
                Role::Cursor(0),
                Role::Cursor(u64::MAX),
            ] {
                assert!(!locks.is_held(role).unwrap());
                let held = locks.acquire(role).unwrap().expect("free");
                assert!(locks.is_held(role).unwrap());
                assert!(locks.acquire(role).unwrap().is_none(), "{role:?} twice");
                assert!(!locks.is_held(Role::Row(7)).unwrap());
                drop(held);
                assert!(!locks.is_held(role).unwrap());
            }
        }
    }

    #[test]
    fn a_thousand_races_have_one_winner_each() {
        let locks = file();
        for _ in 0..1000 {
            let race = std::sync::Barrier::new(2);
            let winners: usize = std::thread::scope(|scope| {
                let threads: Vec<_> = (0..2)
                    .map(|_| {
                        scope.spawn(|| {
                            race.wait();
                            let held = locks.acquire(Role::Producer).unwrap();
                            race.wait();
                            usize::from(held.is_some())
                        })
                    })
                    .collect();
                threads.into_iter().map(|t| t.join().unwrap()).sum()
            });
            assert_eq!(winners, 1);
        }
    }
}
