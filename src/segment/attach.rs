//! Attaching: from open files, or memory of our own, to a validated [`Segment`].
//!
//! Layer 2. There is one path, for creators too: copy the description, decode it, compare sizes, map,
//! compare identities.

use super::error::OpenError;
use super::guard;
use super::lock::{reopen, Held, Locks, Role};
use super::memory::{Controls, Memory};
use super::region::Region;
use super::trust::is_foreign;
use crate::layout::description::Description;
use crate::layout::geometry::{Geometry, PAGE};
use crate::layout::lines::ControlPage;
use crate::sync::Ordering;
use rustix::fs::{fcntl_get_seals, fstat, stat, Mode, OFlags, SealFlags, Stat};
use rustix::process::geteuid;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How a process maps a ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MappingOptions {
    /// Touch every page at attach, so that the first lap does not fault.
    pub populate: bool,
    /// Pin the pages in memory.
    pub lock_memory: bool,
}

impl Default for MappingOptions {
    fn default() -> Self {
        Self {
            populate: true,
            lock_memory: false,
        }
    }
}

/// The open files of a ring. Those this user may not open are absent.
#[derive(Debug)]
pub struct Files {
    /// `stream`, readable.
    pub stream: OwnedFd,
    /// `control`, readable and writable.
    pub control: Option<OwnedFd>,
    /// `lock`, readable and writable.
    pub lock: Option<OwnedFd>,
    /// Whether the files have names, and so can be removed.
    pub named: bool,
}

/// What can happen to a ring, or to a process, while the ring is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// This process is a fork of the one that opened the ring.
    Forked,
    /// Pages went away: a file was cut short while it was mapped.
    Poisoned,
    /// The files were removed. Processes that have them mapped still reach each other; no other process can
    /// join them, and the name may belong to another ring by now.
    Removed,
}

/// How long an attacher waits for a process that is removing the ring. A remover that is stopped cannot be
/// waited for; a process that attached meanwhile then learns of the removal like every attached process.
const REMOVAL: Duration = Duration::from_secs(1);

/// A ring this process is attached to, as a reader.
#[derive(Debug)]
pub struct Segment {
    description: Description,
    reader: Memory,
    controls: Controls,
    stream: Stream,
    locks: Option<Locks>,
    path: PathBuf,
    options: MappingOptions,
    files: Option<Files>,
    /// Whether another user than this one and root may write the stream.
    foreign: bool,
    /// Whether other users may write the rows.
    rows_of_others: bool,
    /// The producer's role, taken before any process could read the stream, until the producer takes it
    /// over.
    reserved: Mutex<Option<Held>>,
    /// Tells the broker that the descriptors are still in use; held for its drop.
    #[allow(dead_code, reason = "closing it is what matters")]
    connection: Option<OwnedFd>,
}

/// How a producer gets stores into the stream.
#[derive(Debug)]
enum Stream {
    /// By a second, writable mapping.
    File,
    /// The reader's mapping is writable: heap and adopted memory.
    Shared,
    /// By a mapping that was made before the file was sealed against any other.
    Sealed(Memory),
    /// Not at all: another process has the only mapping.
    Foreign,
}

impl Segment {
    /// Attaches to open files.
    pub fn attach(files: Files, path: &Path, options: MappingOptions) -> Result<Self, OpenError> {
        let stream_path = path.join("stream");
        let io = |what, source: io::Error| OpenError::io(what, &stream_path, source);
        guard_where_exposed(&files, path)?;
        let found = regular_size(&files.stream, &stream_path)?;
        let owner = fstat(&files.stream)
            .map_err(|e| io("inspect", e.into()))?
            .st_uid;
        let truncated = |path: &Path, expected, found| OpenError::Truncated {
            path: path.to_owned(),
            expected,
            found,
        };
        if found < PAGE {
            return Err(truncated(&stream_path, PAGE, found));
        }
        let first = Region::map(&files.stream, PAGE, false).map_err(|e| io("map", e))?;
        let description = read_description(&first, &stream_path)?;
        let expected = description.geometry.stream_bytes();
        if found < expected {
            return Err(truncated(&stream_path, expected, found));
        }
        let stream = Region::map(&files.stream, expected, false).map_err(|e| io("map", e))?;
        let mut rows_of_others = false;
        let controls = match &files.control {
            None => Controls::None,
            Some(file) => {
                let path = path.join("control");
                let stat = rustix::fs::fstat(file);
                let stat = stat.map_err(|e| OpenError::io("look at", &path, e.into()))?;
                // A file without a name is reached only by processes that were given its descriptor.
                rows_of_others = stat.st_mode & 0o022 != 0 && stat.st_nlink > 0;
                let expected = description.geometry.control_bytes();
                let found = regular_size(file, &path)?;
                if found < expected {
                    return Err(truncated(&path, expected, found));
                }
                let region = Region::map(file, expected, true);
                let region = region.map_err(|e| OpenError::io("map", &path, e))?;
                Controls::Together(Arc::new(region))
            }
        };
        let locks = match &files.lock {
            None => None,
            Some(file) => {
                let own = file
                    .try_clone()
                    .map_err(|e| OpenError::io("open", path, e))?;
                Some(Locks::File(Arc::new(own)))
            }
        };
        let stream = Arc::new(stream);
        let segment = Self::assemble(description, stream, controls, Stream::File, locks, path)?;
        segment.prepare(options)?;
        Ok(Self {
            options,
            files: Some(files),
            rows_of_others,
            ..segment
        }
        .owned_by(owner))
    }

    /// The same, of memory whose owner has this user id.
    pub(super) fn owned_by(self, owner: u32) -> Self {
        Self {
            foreign: is_foreign(owner),
            ..self
        }
    }

    /// Attaches to memory this process holds already: heap, or an adopted segment.
    pub fn attach_memory(
        stream: Region,
        control: Region,
        locks: Locks,
        path: &Path,
    ) -> Result<Self, OpenError> {
        let description = read_description(&stream, path)?;
        let sizes = [
            (&stream, description.geometry.stream_bytes()),
            (&control, description.geometry.control_bytes()),
        ];
        for (region, expected) in sizes {
            let found = region.len() as u64;
            if found < expected {
                return Err(OpenError::Truncated {
                    path: path.to_owned(),
                    expected,
                    found,
                });
            }
        }
        let (controls, locks) = (Controls::Together(Arc::new(control)), Some(locks));
        let stream = Arc::new(stream);
        Self::assemble(description, stream, controls, Stream::Shared, locks, path)
    }

    /// Attaches to a sealed stream and to one row in a file of its own.
    pub fn attach_seat(
        stream: &OwnedFd,
        seat: OwnedFd,
        row: u32,
        path: &Path,
        connection: OwnedFd,
    ) -> Result<Self, OpenError> {
        let sealed = SealFlags::SHRINK | SealFlags::GROW | SealFlags::FUTURE_WRITE;
        check_seals(stream, sealed, path)?;
        let region = map_checked(stream, false, None, path)?;
        let description = read_description(&region, path)?;
        let region = map_checked(
            stream,
            false,
            Some(description.geometry.stream_bytes()),
            path,
        )?;
        check_seals(&seat, SealFlags::SHRINK | SealFlags::GROW, path)?;
        let control = map_checked(&seat, true, Some(Geometry::SEAT_BYTES), path)?;
        let own = |file: &OwnedFd| file.try_clone().map_err(|e| OpenError::io("open", path, e));
        let mut seats: Vec<Option<OwnedFd>> = Vec::new();
        seats.resize_with(row as usize, || None);
        seats.push(Some(seat));
        let locks = Locks::Apart {
            stream: Arc::new(own(stream)?),
            seats: seats.into(),
        };
        let controls = Controls::Mine(row, Arc::new(control));
        let kind = Stream::Foreign;
        let segment = Self::assemble(
            description,
            Arc::new(region),
            controls,
            kind,
            Some(locks),
            path,
        )?;
        segment.prepare(MappingOptions::default())?;
        Ok(Self {
            connection: Some(connection),
            ..segment
        })
    }

    /// Attaches to a stream that is not sealed against writers yet, as the process that will write
    /// it, and to every row.
    pub fn attach_sole_writer(
        stream: OwnedFd,
        seats: Vec<OwnedFd>,
        path: &Path,
        connection: Option<OwnedFd>,
    ) -> Result<Self, OpenError> {
        check_seals(&stream, SealFlags::SHRINK | SealFlags::GROW, path)?;
        let first = map_checked(&stream, false, None, path)?;
        let description = read_description(&first, path)?;
        let bytes = Some(description.geometry.stream_bytes());
        let reader = map_checked(&stream, false, bytes, path)?;
        let writer = map_checked(&stream, true, bytes, path)?;
        let mut controls = Vec::new();
        for seat in &seats {
            check_seals(seat, SealFlags::SHRINK | SealFlags::GROW, path)?;
            controls.push(map_checked(seat, true, Some(Geometry::SEAT_BYTES), path)?);
        }
        let controls = Controls::Apart(controls.into());
        let writer = Memory::new(description.geometry, Arc::new(writer), controls.clone());
        let writer = writer.ok_or_else(|| OpenError::Untrusted {
            path: path.to_owned(),
            why: "its files have other sizes than they say",
        })?;
        let locks = Locks::Apart {
            stream: Arc::new(stream),
            seats: seats.into_iter().map(Some).collect(),
        };
        let held = locks
            .acquire(Role::Producer)
            .map_err(|e| OpenError::io("lock", path, e))?;
        let kind = Stream::Sealed(writer);
        let segment = Self::assemble(
            description,
            Arc::new(reader),
            controls,
            kind,
            Some(locks),
            path,
        )?;
        segment.prepare(MappingOptions::default())?;
        Ok(Self {
            connection,
            reserved: Mutex::new(held),
            ..segment
        })
    }

    /// A new ring on the heap.
    pub fn heap(description: &Description) -> Result<Self, OpenError> {
        let path = Path::new("heap");
        let region = |bytes| Region::heap(bytes).map_err(|e| OpenError::io("allocate", path, e));
        let geometry = description.geometry;
        let stream = Arc::new(region(geometry.stream_bytes())?);
        let control = Arc::new(region(geometry.control_bytes())?);
        let controls = Controls::Together(control);
        let memory = Memory::new(geometry, stream.clone(), controls.clone());
        if let Some(memory) = memory {
            memory.format(description);
        }
        let locks = Some(Locks::local());
        let description = read_description(&stream, path)?;
        Self::assemble(description, stream, controls, Stream::Shared, locks, path)
    }

    fn assemble(
        description: Description,
        stream: Arc<Region>,
        controls: Controls,
        kind: Stream,
        locks: Option<Locks>,
        path: &Path,
    ) -> Result<Self, OpenError> {
        if description.geometry.huge {
            stream.advise_huge();
        }
        let reader = Memory::new(description.geometry, stream, controls.clone());
        let reader = reader.ok_or_else(|| OpenError::Untrusted {
            path: path.to_owned(),
            why: "its memory is not aligned to a page",
        })?;
        let foreign = |page: &ControlPage| identity(page) != description.ring_id;
        if reader.control().is_some_and(foreign) || reader.seats().any(foreign) {
            return Err(OpenError::Mismatched {
                path: path.to_owned(),
            });
        }
        Ok(Self {
            description,
            reader,
            controls,
            stream: kind,
            locks,
            path: path.to_owned(),
            options: MappingOptions::default(),
            files: None,
            foreign: false,
            rows_of_others: false,
            reserved: Mutex::new(None),
            connection: None,
        })
    }

    /// Makes the mapped pages ready for use.
    fn prepare(&self, options: MappingOptions) -> Result<(), OpenError> {
        self.prepare_region(&self.reader.stream_region(), options)?;
        for region in self.controls.regions() {
            self.prepare_region(region, options)?;
        }
        if let Stream::Sealed(writer) = &self.stream {
            self.prepare_region(&writer.stream_region(), options)?;
        }
        Ok(())
    }

    fn prepare_region(&self, region: &Region, options: MappingOptions) -> Result<(), OpenError> {
        if options.populate {
            region
                .populate()
                .map_err(|e| OpenError::io("populate", &self.path, e))?;
        }
        if options.lock_memory {
            region.lock().map_err(|e| OpenError::Io {
                what: "lock into memory (see RLIMIT_MEMLOCK)",
                path: self.path.clone(),
                source: e,
            })?;
        }
        Ok(())
    }

    /// The constant description.
    pub fn description(&self) -> &Description {
        &self.description
    }

    /// The memory as readers see it; the stream is read-only there where it lies in a file.
    pub fn reader(&self) -> &Memory {
        &self.reader
    }

    /// The memory as the producer sees it.
    pub fn writer(&self) -> Result<Memory, OpenError> {
        let path = self.path.join("stream");
        let files = match (&self.stream, &self.files) {
            (Stream::File, Some(files)) => files,
            (Stream::Sealed(writer), _) => return Ok(writer.clone()),
            (Stream::Foreign, _) => return Err(OpenError::Permission { path }),
            _ => return Ok(self.reader.clone()),
        };
        let file = reopen(&files.stream, OFlags::RDWR)
            .map_err(|e| OpenError::io("open for writing", &path, e))?;
        let bytes = self.description.geometry.stream_bytes();
        let region = Region::map(&file, bytes, true).map_err(|e| OpenError::io("map", &path, e))?;
        if self.description.geometry.huge {
            region.advise_huge();
        }
        let region = match self.foreign {
            true => region.of_another_user(),
            false => region,
        };
        let region = Arc::new(region);
        self.prepare_region(&region, self.options)?;
        let memory = Memory::new(self.description.geometry, region, self.controls.clone());
        memory.ok_or(OpenError::Permission { path })
    }

    /// What happened to the pages or the files, if anything. Costs two system calls, so it is called where
    /// a caller waits or attaches, and otherwise rarely.
    ///
    /// A short tail of the last page reads as zeroes without any signal: only the size of the file
    /// tells.
    #[cold]
    pub fn trouble(&self) -> Option<Trouble> {
        if self.reader.poisoned() {
            return Some(Trouble::Poisoned);
        }
        let files = self.files.as_ref()?;
        let geometry = self.description.geometry;
        let stream = (&files.stream, geometry.stream_bytes());
        let control = files.control.as_ref();
        let control = control.map(|file| (file, geometry.control_bytes()));
        let mut removed = false;
        for (file, bytes) in std::iter::once(stream).chain(control) {
            let Ok(stat) = fstat(file) else { continue };
            if u64::try_from(stat.st_size).unwrap_or(0) < bytes {
                return Some(Trouble::Poisoned);
            }
            removed |= files.named && stat.st_nlink == 0;
        }
        removed.then_some(Trouble::Removed)
    }

    /// Like [`trouble`](Self::trouble), for a caller that has just taken a role.
    ///
    /// A process that removes the ring takes the cleaner's role and then asks for all others; this caller
    /// took another one and then asks for the cleaner's. So one of them sees the other: the remover gives
    /// up, or this caller waits until the removal is over and sees its result.
    pub fn trouble_after_attaching(&self) -> Option<Trouble> {
        let named = self.files.as_ref().is_some_and(|files| files.named);
        if let (true, Some(locks)) = (named, &self.locks) {
            let started = Instant::now();
            while matches!(locks.is_held(Role::Cleaner), Ok(true)) && started.elapsed() < REMOVAL {
                std::thread::sleep(Duration::from_millis(1));
            }
        }
        self.trouble()
    }

    /// Returns `true` if the path still leads to this ring, so that other files in its directory belong to
    /// it. Always `true` for a ring without a name.
    pub fn is_in_place(&self) -> bool {
        let Some(files) = self.files.as_ref().filter(|files| files.named) else {
            return true;
        };
        match (fstat(&files.stream), stat(self.path.join("stream"))) {
            (Ok(ours), Ok(there)) => (ours.st_dev, ours.st_ino) == (there.st_dev, there.st_ino),
            _ => false,
        }
    }

    /// The lock bytes, where this user may use them.
    pub fn locks(&self) -> Option<&Locks> {
        self.locks.as_ref()
    }

    /// Takes a role; `None` if a live process holds it.
    pub fn acquire(&self, role: Role) -> io::Result<Option<Held>> {
        if role == Role::Producer {
            let mut reserved = self.reserved.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(held) = reserved.take() {
                return Ok(Some(held));
            }
        }
        match &self.locks {
            Some(locks) => locks.acquire(role),
            None => Err(io::ErrorKind::PermissionDenied.into()),
        }
    }

    /// Returns `true` if only the present producer can ever write the stream.
    pub fn has_one_producer(&self) -> bool {
        matches!(self.stream, Stream::Foreign | Stream::Sealed(_))
    }

    /// Returns `true` if messages have to be copied before they are used: another user than this one and
    /// root may write the stream, or the rows and take words that keep its producer from overwriting it.
    pub fn must_copy(&self) -> bool {
        self.foreign || self.rows_of_others
    }

    /// Returns `true` if this attachment could write the stream at all.
    pub fn may_produce(&self) -> bool {
        !matches!(self.stream, Stream::Foreign)
    }

    /// Returns `true` if this attachment may use rows and locks.
    pub fn may_use_rows(&self) -> bool {
        self.locks.is_some() && !matches!(self.controls, Controls::None)
    }

    /// The only row this attachment may take, where each has a file of its own.
    pub fn own_row(&self) -> Option<u32> {
        match &self.controls {
            Controls::Mine(row, _) => Some(*row),
            _ => None,
        }
    }

    /// The files behind the ring, if it has any.
    pub fn files(&self) -> Option<&Files> {
        self.files.as_ref()
    }

    /// The path of the ring, for logs and error texts.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// Installs the guard against truncation where another user may cut a file of the ring short.
fn guard_where_exposed(files: &Files, path: &Path) -> Result<(), OpenError> {
    let files = std::iter::once(&files.stream).chain(&files.control);
    if files.into_iter().any(is_exposed) {
        guard::install().map_err(|e| OpenError::io("guard", path, e))?;
    }
    Ok(())
}

/// Returns `true` if a user other than this one may change the size of a file, as its owner or by its mode.
pub(super) fn is_exposed(file: &OwnedFd) -> bool {
    let others = Mode::WGRP.union(Mode::WOTH).bits();
    let owned = |stat: Stat| stat.st_uid == geteuid().as_raw() && stat.st_mode & others == 0;
    let sealed = |seals: SealFlags| seals.contains(SealFlags::SHRINK);
    !fstat(file).is_ok_and(owned) && !fcntl_get_seals(file).is_ok_and(sealed)
}

fn identity(control: &ControlPage) -> u128 {
    let low = control.identity.low.load(Ordering::Relaxed);
    let high = control.identity.high.load(Ordering::Relaxed);
    u128::from(high) << 64 | u128::from(low)
}

fn read_description(region: &Region, path: &Path) -> Result<Description, OpenError> {
    let page = Memory::description_page(region).map_err(|e| OpenError::io("read", path, e))?;
    Description::decode(&page).map_err(|reason| OpenError::Description {
        path: path.to_owned(),
        reason,
    })
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

/// Maps a file of this size, or its first page.
fn map_checked(
    file: &OwnedFd,
    writable: bool,
    bytes: Option<u64>,
    path: &Path,
) -> Result<Region, OpenError> {
    let (expected, found) = (bytes.unwrap_or(PAGE), regular_size(file, path)?);
    if found < expected {
        return Err(OpenError::Truncated {
            path: path.to_owned(),
            expected,
            found,
        });
    }
    Region::map(file, expected, writable).map_err(|e| OpenError::io("map", path, e))
}

fn regular_size(file: &OwnedFd, path: &Path) -> Result<u64, OpenError> {
    let stat = fstat(file).map_err(|e| OpenError::io("inspect", path, e.into()))?;
    if rustix::fs::FileType::from_raw_mode(stat.st_mode) != rustix::fs::FileType::RegularFile {
        return Err(OpenError::Untrusted {
            path: path.to_owned(),
            why: "it is not a regular file",
        });
    }
    Ok(u64::try_from(stat.st_size).unwrap_or(0))
}
