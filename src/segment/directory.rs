//! Rings with a name: a directory with the files `stream`, `control` and `lock`.
//!
//! Layer 2. Creation is atomic: everything is built under a hidden random name, then renamed where
//! nothing may be in the way. Opening never follows a link and trusts no file that a stranger could
//! have put there. Removal takes the ring out of sight in one step before it deletes.

use super::access::Access;
use super::attach::{Files, MappingOptions, Segment};
use super::error::{CreateError, OpenError, RemoveError};
use super::lock::Role;
use super::memory::{Controls, Memory};
use super::name::Location;
use super::region::Region;
use crate::layout::description::Description;
use rustix::fs::{self, AtFlags, FileType, FlockOperation, Mode, OFlags, RenameFlags, CWD};
use rustix::io::Errno;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;

const STREAM: &str = "stream";
const CONTROL: &str = "control";
const LOCK: &str = "lock";

/// What to create.
#[derive(Debug)]
pub struct Creation {
    /// Where.
    pub location: Location,
    /// What.
    pub description: Description,
    /// Who may attach: read bits let a class observe, write bits let it consume; only the owner
    /// ever produces.
    pub mode: u32,
    /// Whose it will be, if not simply the creator's.
    pub access: Option<Access>,
    /// How the creator maps it.
    pub mapping: MappingOptions,
}

/// Creates a ring under its name and attaches to it.
pub fn create(creation: &Creation) -> Result<Segment, CreateError> {
    let location = &creation.location;
    let bytes = total_bytes(&creation.description);
    let parent_path = location.directory();
    if location.private() {
        match fs::mkdir(parent_path, Mode::from_raw_mode(0o700)) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(e) => return Err(CreateError::io("create", parent_path, bytes, e.into())),
        }
    }
    let parent = open_parent(location).map_err(|error| match error {
        OpenError::Permission { path } => CreateError::Permission { path },
        OpenError::NotFound { .. } => CreateError::NoDirectory {
            path: parent_path.to_owned(),
        },
        error => CreateError::Open(error),
    })?;
    let name = location.name();
    let hidden = format!(".{name}.{:016x}", random() as u64);
    let path = location.path();
    let io = |what, e: Errno| CreateError::io(what, &path, bytes, e.into());
    fs::mkdirat(&parent, &hidden, Mode::from_raw_mode(0o700)).map_err(|e| io("create", e))?;
    let built = build(&parent, &hidden, creation, bytes).and_then(|(files, _busy)| {
        fs::renameat_with(&parent, &hidden, &parent, name, RenameFlags::NOREPLACE)
            .map_err(|e| io("name", e))?;
        Ok(files)
    });
    match built {
        Ok(files) => Ok(Segment::attach(files, &path, creation.mapping)?),
        Err(error) => {
            let _ = delete(&parent, &hidden);
            Err(error)
        }
    }
}

fn build(
    parent: &OwnedFd,
    hidden: &str,
    creation: &Creation,
    bytes: u64,
) -> Result<(Files, OwnedFd), CreateError> {
    let path = creation.location.path();
    let io = |what, e: io::Error| CreateError::io(what, &path, bytes, e);
    let directory = open_directory(parent, hidden).map_err(|e| io("open", e.into()))?;
    // Says to whoever clears up that somebody is at work here.
    fs::flock(&directory, FlockOperation::NonBlockingLockExclusive)
        .map_err(|e| io("lock", e.into()))?;
    let file = |name: &str, bytes: u64| -> io::Result<OwnedFd> {
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::RDWR | OFlags::CLOEXEC;
        let file = fs::openat(&directory, name, flags, Mode::from_raw_mode(0o600))?;
        if bytes > 0 {
            // Reserves every page now: a full file system is an error here, never a signal later.
            fs::fallocate(&file, fs::FallocateFlags::empty(), 0, bytes)?;
        }
        Ok(file)
    };
    let geometry = creation.description.geometry;
    let stream = file(STREAM, geometry.stream_bytes()).map_err(|e| io("create", e))?;
    let control = file(CONTROL, geometry.control_bytes()).map_err(|e| io("create", e))?;
    let lock = file(LOCK, 0).map_err(|e| io("create", e))?;
    format(&stream, &control, &creation.description).map_err(|e| io("map", e))?;
    let modes = Modes::of(creation.mode);
    // What is made inside it later gets its group, where that was inherited.
    let inherits = fs::fstat(&directory)
        .map_err(|e| io("inspect", e.into()))?
        .st_mode
        & 0o2000;
    let targets: [(&OwnedFd, u32); 4] = [
        (&stream, modes.stream),
        (&control, modes.control),
        (&lock, modes.control),
        (&directory, modes.directory | inherits),
    ];
    for (file, mode) in targets {
        if let Some(access) = creation.access {
            access.give(file).map_err(|e| io("set the owner of", e))?;
        }
        // Explicitly, so that the umask has no say.
        fs::fchmod(file, Mode::from_raw_mode(mode)).map_err(|e| io("set the mode of", e.into()))?;
    }
    let files = Files {
        stream,
        control: Some(control),
        lock: Some(lock),
    };
    Ok((files, directory))
}

/// Writes the constant parts of a new ring into files of the right size.
pub(super) fn format(
    stream: &OwnedFd,
    control: &OwnedFd,
    description: &Description,
) -> io::Result<()> {
    let geometry = description.geometry;
    let stream = Region::map(stream, geometry.stream_bytes(), true)?;
    let control = Region::map(control, geometry.control_bytes(), true)?;
    stream.populate()?;
    let memory = Memory::new(
        geometry,
        Arc::new(stream),
        Controls::Together(Arc::new(control)),
    );
    memory
        .ok_or(io::ErrorKind::InvalidInput)?
        .format(description);
    Ok(())
}

/// The exact modes of a ring's files.
#[derive(Debug, PartialEq, Eq)]
struct Modes {
    directory: u32,
    stream: u32,
    control: u32,
}

impl Modes {
    /// From the permission bits of a file: a class that may read may observe; one that may also
    /// write may consume. The owner may do everything.
    fn of(mode: u32) -> Self {
        let mut modes = Self {
            directory: 0o700,
            stream: 0o600,
            control: 0o600,
        };
        for shift in [3, 0] {
            let class = mode >> shift & 7;
            if class & 4 != 0 {
                modes.directory |= 5 << shift;
                modes.stream |= 4 << shift;
                if class & 2 != 0 {
                    modes.control |= 6 << shift;
                }
            }
        }
        modes
    }
}

/// Opens a ring by its place.
pub fn open(location: &Location, mapping: MappingOptions) -> Result<Segment, OpenError> {
    let parent = open_parent(location)?;
    let path = location.path();
    let directory = open_directory(&parent, location.name())
        .map_err(|e| OpenError::io("open", &path, e.into()))?;
    let owner = fs::fstat(&directory)
        .map_err(|e| OpenError::io("inspect", &path, e.into()))?
        .st_uid;
    if location.private() && owner != rustix::process::geteuid().as_raw() {
        return Err(OpenError::Untrusted {
            path,
            why: "it belongs to another user",
        });
    }
    let file = |name: &str, flags: OFlags| -> Result<OwnedFd, OpenError> {
        let path = path.join(name);
        let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let file = fs::openat(&directory, name, flags, Mode::empty()).map_err(|e| match e {
            Errno::NOENT => OpenError::Untrusted {
                path: path.clone(),
                why: "it is missing",
            },
            e => OpenError::io("open", &path, e.into()),
        })?;
        trusted(&file, owner, name == STREAM, &path)?;
        Ok(file)
    };
    let optional = |name| match file(name, OFlags::RDWR) {
        Ok(file) => Ok(Some(file)),
        Err(OpenError::Permission { .. }) => Ok(None),
        Err(error) => Err(error),
    };
    let files = Files {
        stream: file(STREAM, OFlags::RDONLY)?,
        control: optional(CONTROL)?,
        lock: optional(LOCK)?,
    };
    Segment::attach(files, &path, mapping)
}

fn trusted(file: &OwnedFd, owner: u32, is_stream: bool, path: &Path) -> Result<(), OpenError> {
    let stat = fs::fstat(file).map_err(|e| OpenError::io("inspect", path, e.into()))?;
    let why = if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        "it is not a regular file"
    } else if stat.st_nlink != 1 {
        "it has more than one name"
    } else if stat.st_uid != owner {
        "it belongs to another user than its directory"
    } else if is_stream && stat.st_mode & 0o022 != 0 {
        "others than its owner may write it"
    } else {
        return Ok(());
    };
    Err(OpenError::Untrusted {
        path: path.to_owned(),
        why,
    })
}

/// Removes a ring's name and files. Whoever is attached keeps its mapping.
pub fn remove(location: &Location, force: bool) -> Result<(), RemoveError> {
    let path = location.path();
    let parent = open_parent(location)?;
    let _cleaner = if force {
        None
    } else {
        let segment = open(location, unmapped())?;
        let mut claimed = vec![claim_unused(&segment)?];
        for child in descendants(location) {
            claimed.push(claim_unused(&open(&child, unmapped())?)?);
        }
        Some(claimed)
    };
    let name = location.name();
    let hidden = format!(".{name}.{:016x}", random() as u64);
    let io = |what, e: Errno| match e {
        Errno::NOENT => RemoveError::Open(OpenError::NotFound { path: path.clone() }),
        e => RemoveError::Io {
            what,
            path: path.clone(),
            source: e.into(),
        },
    };
    fs::renameat_with(&parent, name, &parent, &hidden, RenameFlags::NOREPLACE)
        .map_err(|e| io("unname", e))?;
    delete(&parent, &hidden).map_err(|e| io("delete", e))
}

/// Makes sure nobody is attached, and takes the cleaner's lock for as long as the result lives.
fn claim_unused(segment: &Segment) -> Result<super::lock::Held, RemoveError> {
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
    match cleaner {
        Some(held) if !producer && rows == 0 => Ok(held),
        _ => Err(RemoveError::InUse {
            path,
            producer,
            rows,
        }),
    }
}

pub(super) fn delete(parent: &OwnedFd, hidden: &str) -> Result<(), Errno> {
    if let Ok(directory) = open_directory(parent, hidden) {
        for name in names_in(&directory)? {
            let stat = fs::statat(&directory, name.as_str(), AtFlags::SYMLINK_NOFOLLOW)?;
            if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
                // A ring inside it, whole or half made.
                delete(&directory, &name)?;
            } else if [STREAM, CONTROL, LOCK].contains(&name.as_str()) {
                fs::unlinkat(&directory, &name, AtFlags::empty())?;
            }
        }
    }
    fs::unlinkat(parent, hidden, AtFlags::REMOVEDIR)
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

fn open_parent(location: &Location) -> Result<OwnedFd, OpenError> {
    let path = location.directory();
    let mut flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC;
    if location.private() {
        flags |= OFlags::NOFOLLOW;
    }
    let io = |e: Errno| match e {
        Errno::NOENT if !location.private() => OpenError::NotFound { path: path.into() },
        Errno::NOENT => OpenError::NotFound {
            path: location.path(),
        },
        e => OpenError::io("open", path, e.into()),
    };
    let parent = fs::openat(CWD, path, flags, Mode::empty()).map_err(io)?;
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
fn descendants(location: &Location) -> Vec<Location> {
    let mut found = children(location);
    let mut looked = 0;
    while let Some(next) = found.get(looked).cloned() {
        found.extend(children(&next));
        looked += 1;
    }
    found
}

/// What a directory holds, in order.
fn names_in(directory: &OwnedFd) -> Result<Vec<String>, Errno> {
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
fn unmapped() -> MappingOptions {
    MappingOptions {
        populate: false,
        lock_memory: false,
    }
}

fn total_bytes(description: &Description) -> u64 {
    description.geometry.stream_bytes() + description.geometry.control_bytes()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_grant_observing_by_read_and_consuming_by_write() {
        let modes = |mode| {
            let m = Modes::of(mode);
            (m.directory, m.stream, m.control)
        };
        assert_eq!(modes(0o600), (0o700, 0o600, 0o600));
        assert_eq!(modes(0o640), (0o750, 0o640, 0o600));
        assert_eq!(modes(0o660), (0o750, 0o640, 0o660));
        assert_eq!(modes(0o666), (0o755, 0o644, 0o666));
        assert_eq!(modes(0o000), (0o700, 0o600, 0o600));
        assert_eq!(modes(0o622), (0o700, 0o600, 0o600));
    }
}
