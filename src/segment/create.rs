//! Creation: everything is built under a hidden random name and attached to there, then renamed to a name
//! that must be free.
//!
//! Layer 2. Every failure happens before the rename, so a name always stands for a complete object: all
//! space reserved, all modes set, and with the rings inside it.

use super::access::Access;
use super::attach::{Files, MappingOptions, Segment};
use super::directory::{open_directory, open_parent, random, CONTROL, LOCK, SCHEMA, STREAM};
use super::error::{CreateError, OpenError};
use super::memory::{Controls, Memory};
use super::name::Location;
use super::region::Region;
use super::remove::delete;
use super::reserve::{free_bytes, reserve};
use crate::layout::description::Description;
use rustix::fs::{self, AtFlags, FlockOperation, Mode, OFlags, RenameFlags, CWD};
use rustix::io::Errno;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

/// How often another name is tried because a clean-up removed the half-made directory.
const ATTEMPTS: usize = 1000;

/// What to create.
#[derive(Clone, Debug)]
pub struct Plan {
    /// What.
    pub description: Description,
    /// Who may attach: read bits let a class observe, write bits let it consume; only the owner
    /// ever produces.
    pub mode: u32,
    /// The owner and group, if not the creator's.
    pub access: Option<Access>,
    /// How the creator maps it.
    pub mapping: MappingOptions,
    /// The bytes of its schema file, if it has one.
    pub opaque: Option<Arc<[u8]>>,
    /// Bytes that have to be free when it is complete, for lanes that its users will add.
    pub headroom: u64,
    /// The rings inside it, which are there as soon as it is.
    pub inside: Vec<(String, Plan)>,
}

impl Plan {
    /// Bytes of its files.
    pub(super) fn bytes(&self) -> u64 {
        let geometry = self.description.geometry;
        let inside: u64 = self.inside.iter().map(|(_, plan)| plan.bytes()).sum();
        let opaque = self.opaque.as_ref().map_or(0, |file| file.len() as u64);
        geometry.stream_bytes() + geometry.control_bytes() + opaque + inside
    }

    /// Bytes that its users will add.
    fn headroom(&self) -> u64 {
        let inside: u64 = self.inside.iter().map(|(_, plan)| plan.headroom()).sum();
        self.headroom.saturating_add(inside)
    }
}

/// A new ring, and the rings inside it, attached to.
#[derive(Debug)]
pub struct Created {
    /// The ring.
    pub segment: Segment,
    /// As planned, in the same order.
    pub inside: Vec<Created>,
}

/// Creates a ring under its name and attaches to it.
pub fn create(location: &Location, plan: &Plan) -> Result<Created, CreateError> {
    let path = location.path();
    let io = |what, e: Errno| CreateError::io(what, &path, plan.bytes(), e.into());
    let parent = parent_of(location)?;
    for _ in 0..ATTEMPTS {
        let hidden = format!(".{}.{:016x}", location.name(), random() as u64);
        let begun =
            make_directory(&parent, Path::new(&hidden)).and_then(|()| claim(&parent, &hidden));
        let cleared = matches!(begun, Err(Errno::NOENT | Errno::WOULDBLOCK));
        let built = match begun {
            Ok(directory) => build(&directory, &path, plan)
                .and_then(|created| enough_is_free(&directory, &path, plan).map(|()| created))
                .and_then(|created| {
                    let flags = RenameFlags::NOREPLACE;
                    fs::renameat_with(&parent, &hidden, &parent, location.name(), flags)
                        .map_err(|e| io("name", e))?;
                    Ok(created)
                }),
            Err(e) => Err(io("create", e)),
        };
        let Err(error) = built else {
            return built;
        };
        let _ = delete(&parent, &hidden);
        if is_gone(&parent) {
            return Err(CreateError::NoDirectory {
                path: location.directory().to_owned(),
            });
        }
        // A clean-up, or the removal of the enclosing object, was faster.
        match &error {
            CreateError::Io { source, .. } if source.kind() == io::ErrorKind::NotFound => {}
            _ if cleared => {}
            _ => return Err(error),
        }
    }
    Err(io("lock", Errno::AGAIN))
}

/// The directory that a ring is to lie in. The slipring directory is made when only it is missing.
pub(super) fn parent_of(location: &Location) -> Result<OwnedFd, CreateError> {
    let path = location.directory();
    let no_directory = || CreateError::NoDirectory {
        path: path.to_owned(),
    };
    let open = || {
        open_parent(location).map_err(|error| match error {
            OpenError::Permission { path } => CreateError::Permission { path },
            OpenError::NotFound { .. } => no_directory(),
            error => CreateError::Open(error),
        })
    };
    match open() {
        Err(CreateError::NoDirectory { .. }) if location.is_named() => {
            match make_directory(CWD, path) {
                Ok(()) | Err(Errno::EXIST) => open(),
                Err(Errno::NOENT) => Err(no_directory()),
                Err(e) => Err(CreateError::io("create", path, 0, e.into())),
            }
        }
        parent => parent,
    }
}

/// Makes a directory that only its owner may use, independent of the umask.
pub(super) fn make_directory(parent: impl AsFd, name: &Path) -> Result<(), Errno> {
    let mode = Mode::from_raw_mode(0o700);
    fs::mkdirat(&parent, name, mode)?;
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let made = fs::openat(&parent, name, flags, Mode::empty());
    made.and_then(|made| {
        if fs::fstat(&made)?.st_mode & 0o777 == 0o700 {
            return Ok(());
        }
        // A directory that its owner may not read can only be reached like this.
        fs::chmod(format!("/proc/self/fd/{}", made.as_raw_fd()), mode)
    })
    .inspect_err(|_| {
        let _ = fs::unlinkat(&parent, name, AtFlags::REMOVEDIR);
    })
}

/// Locks the directory, so that a clean-up sees that this process is at work on it. `NOENT` and
/// `WOULDBLOCK` mean that a clean-up was faster.
pub(super) fn claim(parent: &OwnedFd, hidden: &str) -> Result<OwnedFd, Errno> {
    let directory = open_directory(parent, hidden)?;
    fs::flock(&directory, FlockOperation::NonBlockingLockExclusive)?;
    // It may have been removed before it was locked.
    fs::statat(parent, hidden, AtFlags::SYMLINK_NOFOLLOW)?;
    Ok(directory)
}

/// Returns `true` if a directory that is open was removed.
fn is_gone(directory: &OwnedFd) -> bool {
    fs::fstat(directory).is_ok_and(|stat| stat.st_nlink == 0)
}

/// Makes the files of a ring in its directory, and the rings inside it. `path` is where it will lie.
pub(super) fn build(directory: &OwnedFd, path: &Path, plan: &Plan) -> Result<Created, CreateError> {
    let io = |what, e: io::Error| CreateError::io(what, path, plan.bytes(), e);
    let file = |name: &str, bytes: u64| -> io::Result<OwnedFd> {
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::RDWR | OFlags::CLOEXEC;
        let file = fs::openat(directory, name, flags, Mode::from_raw_mode(0o600))?;
        reserve(&file, bytes)?;
        Ok(file)
    };
    let geometry = plan.description.geometry;
    let stream = file(STREAM, geometry.stream_bytes()).map_err(|e| io("create", e))?;
    let control = file(CONTROL, geometry.control_bytes()).map_err(|e| io("create", e))?;
    let lock = file(LOCK, 0).map_err(|e| io("create", e))?;
    format(&stream, &control, &plan.description).map_err(|e| io("map", e))?;
    let schema = plan.opaque.as_ref().map(|bytes| -> io::Result<OwnedFd> {
        let schema = File::from(file(SCHEMA, bytes.len() as u64)?);
        schema.write_all_at(bytes, 0)?;
        Ok(schema.into())
    });
    let schema = schema.transpose().map_err(|e| io("create", e))?;
    let mut inside = Vec::new();
    for (name, plan) in &plan.inside {
        make_directory(directory, Path::new(name)).map_err(|e| io("create", e.into()))?;
        let child = open_directory(directory, name).map_err(|e| io("open", e.into()))?;
        inside.push(build(&child, &path.join(name), plan)?);
    }
    let modes = Modes::of(plan.mode);
    // What is made inside it later gets its group, where that was inherited.
    let inherits = fs::fstat(directory)
        .map_err(|e| io("inspect", e.into()))?
        .st_mode
        & 0o2000;
    let targets = [
        Some((&stream, modes.stream)),
        Some((&control, modes.control)),
        Some((&lock, modes.control)),
        schema.as_ref().map(|schema| (schema, modes.stream)),
        Some((directory, modes.directory | inherits)),
    ];
    for (file, mode) in targets.into_iter().flatten() {
        if let Some(access) = plan.access {
            access.give(file).map_err(|e| io("set the owner of", e))?;
        }
        // Explicitly, so that the umask does not apply.
        fs::fchmod(file, Mode::from_raw_mode(mode)).map_err(|e| io("set the mode of", e.into()))?;
    }
    let files = Files {
        stream,
        control: Some(control),
        lock: Some(lock),
        named: true,
    };
    let segment = Segment::attach(files, path, plan.mapping)?;
    Ok(Created { segment, inside })
}

/// Checks that what the users of a new ring will add would fit now.
fn enough_is_free(directory: &OwnedFd, path: &Path, plan: &Plan) -> Result<(), CreateError> {
    let headroom = plan.headroom();
    if headroom == 0 || free_bytes(directory).is_none_or(|free| free >= headroom) {
        return Ok(());
    }
    Err(CreateError::NoSpace {
        path: path.to_owned(),
        bytes: plan.bytes(),
        headroom,
    })
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

impl Segment {
    /// The mode a ring would have by [`Plan::mode`], and the one it has, if they differ.
    pub fn other_mode(&self, wanted: u32) -> Option<(u32, u32)> {
        let files = self.files()?;
        let stream = fs::fstat(&files.stream).ok()?.st_mode;
        let control = fs::fstat(files.control.as_ref()?).ok()?.st_mode;
        let modes = Modes::of(wanted);
        let both = |stream: u32, control: u32| stream & 0o444 | control & 0o222;
        let (wanted, found) = (both(modes.stream, modes.control), both(stream, control));
        (wanted != found).then_some((wanted, found))
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
