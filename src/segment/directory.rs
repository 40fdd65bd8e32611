//! Rings with a name: a directory with the files `stream`, `control` and `lock`, and `schema` where the ring has an
//! opaque schema.
//!
//! Layer 2. Opening follows no link from the ring's name on, and trusts no file that another user could
//! have put there. A ring that is removed meanwhile was not found, however far opening had got.

use super::attach::{Files, MappingOptions, Segment};
use super::error::OpenError;
use super::name::Location;
use super::trust::check_owner;
use crate::layout::description::Description;
use crate::layout::geometry::PAGE;
use rustix::fs::{self, AtFlags, FileType, Mode, OFlags, CWD};
use rustix::io::Errno;
use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::path::Path;

/// How often a ring is opened that is replaced by another each time.
const ATTEMPTS: usize = 1000;

pub(super) const STREAM: &str = "stream";
pub(super) const CONTROL: &str = "control";
pub(super) const LOCK: &str = "lock";
pub(super) const SCHEMA: &str = "schema";
pub(super) const MISSING: &str = "it is missing";

/// Opens a ring by its place.
pub fn open(location: &Location, mapping: MappingOptions) -> Result<Segment, OpenError> {
    let path = location.path();
    let io = |e: Errno| OpenError::io("open", &path, e.into());
    for _ in 0..ATTEMPTS {
        let parent = open_parent(location)?;
        let directory = open_directory(&parent, location.name()).map_err(io)?;
        match open_files(location, &directory) {
            Ok(files) => return Segment::attach(files, &path, mapping),
            // It was removed while it was opened, alone or with the object around it, which keeps the names inside it
            // until each is deleted. Another one may have the name by now.
            Err(_) if !is_at(CWD, &path, &directory) => {}
            Err(error) => return Err(error),
        }
    }
    Err(OpenError::not_found(path))
}

/// Returns `true` if a directory or a file still has this name.
pub(super) fn is_at(parent: impl AsFd, name: impl rustix::path::Arg, file: &OwnedFd) -> bool {
    let there = fs::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW);
    match (there, fs::fstat(file)) {
        (Ok(there), Ok(here)) => (there.st_dev, there.st_ino) == (here.st_dev, here.st_ino),
        _ => false,
    }
}

/// Opens and checks the files of a ring.
fn open_files(location: &Location, directory: &OwnedFd) -> Result<Files, OpenError> {
    let owner = trusted_owner(location, directory)?;
    let file = |name: &str, flags: OFlags| open_file(location, directory, owner, name, flags);
    let optional = |name| match file(name, OFlags::RDWR) {
        Ok(file) => Ok(Some(file)),
        Err(OpenError::Permission { .. }) => Ok(None),
        Err(error) => Err(error),
    };
    Ok(Files {
        stream: file(STREAM, OFlags::RDONLY)?,
        control: optional(CONTROL)?,
        lock: optional(LOCK)?,
        named: true,
    })
}

/// The owner of a ring's directory, if what that user owns is used.
pub(super) fn trusted_owner(location: &Location, directory: &OwnedFd) -> Result<u32, OpenError> {
    let path = location.path();
    let owner = fs::fstat(directory)
        .map_err(|e| OpenError::io("inspect", &path, e.into()))?
        .st_uid;
    if location.private() && owner != rustix::process::geteuid().as_raw() {
        return Err(OpenError::Untrusted {
            path,
            why: "it belongs to another user",
        });
    }
    check_owner(owner, &path)?;
    Ok(owner)
}

/// Opens and checks one file of a ring.
pub(super) fn open_file(
    location: &Location,
    directory: &OwnedFd,
    owner: u32,
    name: &str,
    flags: OFlags,
) -> Result<OwnedFd, OpenError> {
    let path = location.path().join(name);
    let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let file = fs::openat(directory, name, flags, Mode::empty()).map_err(|e| match e {
        Errno::NOENT => OpenError::Untrusted {
            path: path.clone(),
            why: MISSING,
        },
        e => OpenError::io("open", &path, e.into()),
    })?;
    trusted(&file, owner, name == STREAM || name == SCHEMA, &path)?;
    Ok(file)
}

/// The description of a ring, independent of the state of its other files.
pub(super) fn describe(location: &Location) -> Result<Description, OpenError> {
    let path = location.path();
    let parent = open_parent(location)?;
    let directory = open_directory(&parent, location.name())
        .map_err(|e| OpenError::io("open", &path, e.into()))?;
    let owner = trusted_owner(location, &directory)?;
    let stream = open_file(location, &directory, owner, STREAM, OFlags::RDONLY)?;
    let path = path.join(STREAM);
    let mut page = Box::new([0; PAGE as usize]);
    File::from(stream)
        .read_exact_at(&mut page[..], 0)
        .map_err(|e| OpenError::io("read", &path, e))?;
    Description::decode(&page).map_err(|reason| OpenError::Description { path, reason })
}

/// The lock file of a ring that could not be opened for another reason; `None` if it is missing.
pub(super) fn open_lock(
    location: &Location,
    error: OpenError,
) -> Result<Option<OwnedFd>, OpenError> {
    let parent = open_parent(location)?;
    // What the name stands for may be no directory, which is what opening said.
    let Ok(directory) = open_directory(&parent, location.name()) else {
        return Err(error);
    };
    let owner = trusted_owner(location, &directory)?;
    match open_file(location, &directory, owner, LOCK, OFlags::RDWR) {
        Err(OpenError::Untrusted { why: MISSING, .. }) => Ok(None),
        lock => lock.map(Some),
    }
}

fn trusted(file: &OwnedFd, owner: u32, of_owner: bool, path: &Path) -> Result<(), OpenError> {
    let stat = fs::fstat(file).map_err(|e| OpenError::io("inspect", path, e.into()))?;
    let why = if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        "it is not a regular file"
    } else if stat.st_nlink != 1 {
        "it has more than one name"
    } else if stat.st_uid != owner {
        "it belongs to another user than its directory"
    } else if of_owner && stat.st_mode & 0o022 != 0 {
        "others than its owner may write it"
    } else {
        return Ok(());
    };
    Err(OpenError::Untrusted {
        path: path.to_owned(),
        why,
    })
}

/// One name in a slipring directory, and what became of opening it.
#[derive(Debug)]
pub struct Listing {
    /// The name.
    pub name: String,
    /// The ring, or why it is none.
    pub segment: Result<Segment, OpenError>,
}

/// Opens every ring of a directory, in order of name. A directory that does not exist is empty.
pub fn list(directory: &Path, mapping: MappingOptions) -> Result<Vec<Listing>, OpenError> {
    let io = |e: Errno| OpenError::io("list", directory, e.into());
    let parent = match fs::open(
        directory,
        OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
    ) {
        Err(Errno::NOENT) => return Ok(Vec::new()),
        parent => parent.map_err(io)?,
    };
    let names = names_in(&parent).map_err(io)?;
    // Hidden ones are half made or half removed.
    let names = names.into_iter().filter(|name| !name.starts_with('.'));
    let listings = names.filter_map(|name| {
        let location = Location::at(&directory.join(&name)).ok()?;
        let segment = open(&location, mapping);
        Some(Listing { name, segment })
    });
    Ok(listings.collect())
}

pub(super) fn open_parent(location: &Location) -> Result<OwnedFd, OpenError> {
    let path = location.directory();
    let mut flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC;
    if location.private() {
        flags |= OFlags::NOFOLLOW;
    }
    let io = |e: Errno| match e {
        Errno::NOENT if !location.private() => OpenError::not_found(path.into()),
        Errno::NOENT => OpenError::not_found(location.path()),
        e => OpenError::io("open", path, e.into()),
    };
    let open = || fs::openat(CWD, path, flags, Mode::empty());
    let parent = match open() {
        Err(Errno::ACCESS) if location.private() && restore(path) => open(),
        parent => parent,
    };
    let parent = parent.map_err(io)?;
    let stat = fs::fstat(&parent).map_err(io)?;
    if location.private()
        && (stat.st_uid != rustix::process::geteuid().as_raw() || stat.st_mode & 0o022 != 0)
    {
        return Err(OpenError::Untrusted {
            path: path.to_owned(),
            why: "others than its owner may write it",
        });
    }
    Ok(parent)
}

/// Gives a user the use of the private directory back, should it lack a bit for its owner: it was made
/// under a umask that took it, or is being made so at this moment. Returns `true` if that helped.
fn restore(path: &Path) -> bool {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let Ok(directory) = fs::openat(CWD, path, flags, Mode::empty()) else {
        return false;
    };
    let me = rustix::process::geteuid().as_raw();
    fs::fstat(&directory).is_ok_and(|stat| {
        let mode = Mode::from_raw_mode(stat.st_mode & 0o777 | 0o700);
        stat.st_uid == me
            && stat.st_mode & 0o700 != 0o700
            && fs::chmod(format!("/proc/self/fd/{}", directory.as_raw_fd()), mode).is_ok()
    })
}

pub(super) fn open_directory(parent: impl AsFd, name: &str) -> Result<OwnedFd, Errno> {
    let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::RDONLY | OFlags::CLOEXEC;
    match fs::openat(parent.as_fd(), name, flags, Mode::empty()) {
        // With both flags the kernel says ENOTDIR of a link; tell the two apart.
        Err(Errno::NOTDIR) => match fs::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::Symlink => {
                Err(Errno::LOOP)
            }
            _ => Err(Errno::NOTDIR),
        },
        result => result,
    }
}

/// The rings inside a ring: its lanes, or its way back.
pub fn children(location: &Location) -> Vec<Location> {
    let Ok(parent) = open_parent(location) else {
        return Vec::new();
    };
    let Ok(directory) = open_directory(&parent, location.name()) else {
        return Vec::new();
    };
    let names = names_in(&directory).unwrap_or_default();
    let folders = names.into_iter().filter(|name| {
        let stat = fs::statat(&directory, name.as_str(), AtFlags::SYMLINK_NOFOLLOW);
        !name.starts_with('.')
            && stat.is_ok_and(|s| FileType::from_raw_mode(s.st_mode) == FileType::Directory)
    });
    folders.map(|name| location.child(&name)).collect()
}

/// The rings inside a ring, and those inside them.
pub(super) fn descendants(location: &Location) -> Vec<Location> {
    let mut found = children(location);
    let mut looked = 0;
    while let Some(next) = found.get(looked).cloned() {
        found.extend(children(&next));
        looked += 1;
    }
    found
}

/// The bytes of a ring's files, without those of the rings inside it.
pub(super) fn bytes_of(directory: &OwnedFd) -> u64 {
    let size = |name: &str| fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW).ok();
    let sizes = [STREAM, CONTROL, SCHEMA].into_iter().filter_map(size);
    sizes
        .map(|stat| u64::try_from(stat.st_size).unwrap_or(0))
        .sum()
}

/// The bytes of the rings inside a ring. What cannot be looked at counts nothing.
pub fn bytes_inside(location: &Location) -> u64 {
    let bytes = |inner: &Location| {
        let parent = open_parent(inner).ok()?;
        Some(bytes_of(&open_directory(&parent, inner.name()).ok()?))
    };
    descendants(location).iter().filter_map(bytes).sum()
}

/// What a directory holds, in order.
pub(super) fn names_in(directory: &OwnedFd) -> Result<Vec<String>, Errno> {
    let mut names = Vec::new();
    for entry in fs::Dir::read_from(directory)? {
        match entry?.file_name().to_str() {
            Ok("." | "..") | Err(_) => {}
            Ok(name) => names.push(name.to_owned()),
        }
    }
    names.sort();
    Ok(names)
}

/// For a short look.
pub(super) fn unmapped() -> MappingOptions {
    MappingOptions {
        populate: false,
        lock_memory: false,
    }
}

/// Random bits from the kernel; the clock's where it has none to give.
pub fn random() -> u128 {
    let mut bytes = [0u8; 16];
    match rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty()) {
        Ok(16) => u128::from_le_bytes(bytes),
        _ => std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .map_or(1, |since| {
                since.as_nanos() ^ u128::from(std::process::id()) << 64
            }),
    }
}
