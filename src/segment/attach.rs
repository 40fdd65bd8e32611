//! Attaching: from open files, or memory of our own, to a validated [`Segment`]. Files that are sealed, and shared with
//! one process at a time, are in `sealed`; what may have happened to the files since is in `trouble`.
//!
//! Layer 2. There is one path, for creators too: copy the description, decode it, compare sizes, map,
//! compare identities.

pub(super) mod sealed;
pub(super) mod trouble;

use super::checks::{is_exposed, regular_size};
use super::error::OpenError;
use super::guard;
use super::lock::{reopen, Held, Locks, Role};
use super::memory::{Controls, Memory};
use super::region::Region;
use super::trust::is_foreign;
use crate::layout::description::Description;
use crate::layout::geometry::PAGE;
use crate::layout::lines::ControlPage;
use crate::sync::Ordering;
use rustix::fs::{fstat, OFlags};
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

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
