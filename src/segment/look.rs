//! Looking at the files of an object, which may hold any bytes: opened and mapped for reading only, checked by the caller.
//!
//! Layer 2, unsafe by need. Nothing here refuses a file for what it says or whose it is: a caller that reports what is
//! wrong wants to see it. A mapping that is cut short meanwhile reads as zero from then on and says so.
#![allow(unsafe_code, reason = "loads from mapped bytes")]

use super::directory::names_in;
use super::error::OpenError;
use super::guard;
use super::lock::Locks;
use super::name::Location;
use super::region::Region;
use crate::sync::{edge_fence, AtomicU32, AtomicU64, Ordering};
use rustix::fs::{self, FileType, Mode, OFlags, Stat, CWD};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What the kernel says of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facts {
    /// Whether it is a regular file.
    pub regular: bool,
    /// How many names it has.
    pub names: u64,
    /// The user it belongs to.
    pub owner: u32,
    /// Its permission bits.
    pub mode: u32,
    /// Its length.
    pub bytes: u64,
}

impl Facts {
    fn of(stat: &Stat) -> Self {
        Self {
            regular: FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile,
            names: u64::from(stat.st_nlink as u32),
            owner: stat.st_uid,
            mode: stat.st_mode & 0o777,
            bytes: u64::try_from(stat.st_size).unwrap_or(0),
        }
    }
}

/// A file that was opened for reading.
#[derive(Debug)]
pub struct Seen {
    file: OwnedFd,
}

impl Seen {
    /// What the kernel says of it now.
    pub fn facts(&self) -> io::Result<Facts> {
        Ok(Facts::of(&fs::fstat(&self.file)?))
    }

    /// Its bytes, at most so many.
    pub fn read(&self, most: usize) -> io::Result<Vec<u8>> {
        let file = File::from(self.file.try_clone()?);
        let mut bytes = vec![0; most];
        let mut len = 0;
        while len < most {
            match file.read_at(&mut bytes[len..], len as u64)? {
                0 => break,
                more => len += more,
            }
        }
        bytes.truncate(len);
        Ok(bytes)
    }

    /// Maps its first bytes, with the guard against truncation. The file must be so long.
    pub fn map(&self, bytes: u64) -> io::Result<Look> {
        guard::install()?;
        Ok(Look(Region::map(&self.file, bytes, false)?))
    }

    /// Its lock bytes, to be asked only.
    pub fn locks(self) -> Locks {
        Locks::File(Arc::new(self.file))
    }
}

/// Mapped bytes that other processes write meanwhile.
#[derive(Debug)]
pub struct Look(Region);

impl Look {
    /// The word of eight bytes at an offset, which is a multiple of eight; 0 behind the end. Everything loaded later
    /// is at least as new.
    pub fn word(&self, offset: u64) -> u64 {
        if !offset.is_multiple_of(8) || offset.saturating_add(8) > self.0.len() as u64 {
            return 0;
        }
        // SAFETY: the offset is aligned and the word lies in the region, which is page aligned and stays while borrowed.
        let word = unsafe {
            self.0
                .base()
                .add(offset as usize)
                .cast::<AtomicU64>()
                .as_ref()
        };
        let word = word.load(Ordering::Relaxed);
        edge_fence!(check order: Acquire);
        word
    }

    /// The word of four bytes at an offset, which is a multiple of four; 0 behind the end. Everything loaded later is
    /// at least as new.
    pub fn half(&self, offset: u64) -> u32 {
        if !offset.is_multiple_of(4) || offset.saturating_add(4) > self.0.len() as u64 {
            return 0;
        }
        // SAFETY: as in `word`.
        let half = unsafe {
            self.0
                .base()
                .add(offset as usize)
                .cast::<AtomicU32>()
                .as_ref()
        };
        let half = half.load(Ordering::Relaxed);
        edge_fence!(check half: Acquire);
        half
    }

    /// Returns `true` if pages went away: what was read from there is zero.
    pub fn poisoned(&self) -> bool {
        self.0.poisoned()
    }
}

/// A directory, opened to be looked at.
#[derive(Debug)]
pub struct Folder {
    directory: OwnedFd,
    path: PathBuf,
}

impl Folder {
    /// Opens the directory of an object.
    pub fn of(location: &Location) -> Result<Self, OpenError> {
        let parent = open(CWD, location.directory(), OFlags::empty())
            .map_err(|e| OpenError::io("open", location.directory(), e.into()))?;
        let path = location.path();
        let directory = open(&parent, Path::new(location.name()), OFlags::NOFOLLOW)
            .map_err(|e| OpenError::io("open", &path, e.into()))?;
        Ok(Self { directory, path })
    }

    /// Opens a directory of objects.
    pub fn at(path: &Path) -> Result<Self, OpenError> {
        let directory =
            open(CWD, path, OFlags::empty()).map_err(|e| OpenError::io("open", path, e.into()))?;
        Ok(Self {
            directory,
            path: path.to_owned(),
        })
    }

    /// Opens a directory inside.
    pub fn inside(&self, name: &str) -> Result<Self, OpenError> {
        let path = self.path.join(name);
        let directory = open(&self.directory, Path::new(name), OFlags::NOFOLLOW)
            .map_err(|e| OpenError::io("open", &path, e.into()))?;
        Ok(Self { directory, path })
    }

    /// Where it lies.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What the kernel says of it now.
    pub fn facts(&self) -> io::Result<Facts> {
        Ok(Facts::of(&fs::fstat(&self.directory)?))
    }

    /// What it holds, in order.
    pub fn names(&self) -> io::Result<Vec<String>> {
        Ok(names_in(&self.directory)?)
    }

    /// Returns `true` if its path leads to it.
    pub fn is_in_place(&self) -> bool {
        match (fs::fstat(&self.directory), fs::stat(&self.path)) {
            (Ok(open), Ok(there)) => (open.st_dev, open.st_ino) == (there.st_dev, there.st_ino),
            _ => false,
        }
    }

    /// Opens a file inside for reading; `None` if there is none.
    pub fn file(&self, name: &str) -> io::Result<Option<Seen>> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
        match fs::openat(&self.directory, name, flags, Mode::empty()) {
            Ok(file) => Ok(Some(Seen { file })),
            Err(rustix::io::Errno::NOENT) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

fn open(at: impl AsFd, path: &Path, flags: OFlags) -> Result<OwnedFd, rustix::io::Errno> {
    let flags = flags | OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC;
    fs::openat(at, path, flags, Mode::empty())
}
