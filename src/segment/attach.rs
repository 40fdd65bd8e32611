//! Attaching: from open files, or memory of our own, to a validated [`Segment`].
//!
//! Layer 2. There is one path: copy the description, decode it, compare sizes, map, compare
//! identities. A creator goes through it as well as everybody else.

use super::error::OpenError;
use super::lock::{reopen, Locks};
use super::memory::Memory;
use super::region::Region;
use crate::layout::description::Description;
use crate::layout::geometry::PAGE;
use crate::layout::lines::ControlPage;
use crate::sync::Ordering;
use rustix::fs::{fstat, OFlags};
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

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
}

/// A ring this process is attached to, as a reader.
#[derive(Debug)]
pub struct Segment {
    description: Description,
    reader: Memory,
    control: Option<Arc<Region>>,
    stream: Stream,
    locks: Option<Locks>,
    path: PathBuf,
    options: MappingOptions,
    files: Option<Files>,
}

/// How a producer gets stores into the stream.
#[derive(Debug)]
enum Stream {
    /// By a second, writable mapping.
    File,
    /// The reader's mapping is writable: heap and adopted memory.
    Shared,
}

impl Segment {
    /// Attaches to open files.
    pub fn attach(files: Files, path: &Path, options: MappingOptions) -> Result<Self, OpenError> {
        let stream_path = path.join("stream");
        let io = |what, source: io::Error| OpenError::io(what, &stream_path, source);
        let found = regular_size(&files.stream, &stream_path)?;
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
        let control = match &files.control {
            None => None,
            Some(file) => {
                let path = path.join("control");
                let expected = description.geometry.control_bytes();
                let found = regular_size(file, &path)?;
                if found < expected {
                    return Err(truncated(&path, expected, found));
                }
                let region = Region::map(file, expected, true);
                Some(region.map_err(|e| OpenError::io("map", &path, e))?)
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
        let segment = Self::assemble(description, stream, control, Stream::File, locks, path)?;
        segment.prepare(&segment.reader_regions(), options)?;
        Ok(Self {
            options,
            files: Some(files),
            ..segment
        })
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
        let (control, locks) = (Some(control), Some(locks));
        Self::assemble(description, stream, control, Stream::Shared, locks, path)
    }

    /// A new ring on the heap.
    pub fn heap(description: &Description) -> Result<Self, OpenError> {
        let path = Path::new("heap");
        let region = |bytes| Region::heap(bytes).map_err(|e| OpenError::io("allocate", path, e));
        let geometry = description.geometry;
        let stream = Arc::new(region(geometry.stream_bytes())?);
        let control = Arc::new(region(geometry.control_bytes())?);
        let memory = Memory::new(geometry, stream.clone(), Some(control.clone()));
        if let Some(memory) = memory {
            memory.format(description);
        }
        let locks = Some(Locks::local());
        let description = read_description(&stream, path)?;
        Self::assemble_shared(
            description,
            stream,
            Some(control),
            Stream::Shared,
            locks,
            path,
        )
    }

    fn assemble(
        description: Description,
        stream: Region,
        control: Option<Region>,
        kind: Stream,
        locks: Option<Locks>,
        path: &Path,
    ) -> Result<Self, OpenError> {
        let control = control.map(Arc::new);
        Self::assemble_shared(description, Arc::new(stream), control, kind, locks, path)
    }

    fn assemble_shared(
        description: Description,
        stream: Arc<Region>,
        control: Option<Arc<Region>>,
        kind: Stream,
        locks: Option<Locks>,
        path: &Path,
    ) -> Result<Self, OpenError> {
        if description.geometry.huge {
            stream.advise_huge();
        }
        let reader = Memory::new(description.geometry, stream, control.clone());
        let reader = reader.ok_or_else(|| OpenError::Untrusted {
            path: path.to_owned(),
            why: "its memory is not aligned to a page",
        })?;
        if reader
            .control()
            .is_some_and(|c| identity(c) != description.ring_id)
        {
            return Err(OpenError::Mismatched {
                path: path.to_owned(),
            });
        }
        Ok(Self {
            description,
            reader,
            control,
            stream: kind,
            locks,
            path: path.to_owned(),
            options: MappingOptions::default(),
            files: None,
        })
    }

    fn reader_regions(&self) -> Vec<Arc<Region>> {
        let control = self.control.iter().cloned();
        std::iter::once(self.reader.stream_region())
            .chain(control)
            .collect()
    }

    fn prepare(&self, regions: &[Arc<Region>], options: MappingOptions) -> Result<(), OpenError> {
        for region in regions {
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
        let (Stream::File, Some(files)) = (&self.stream, &self.files) else {
            return Ok(self.reader.clone());
        };
        let path = self.path.join("stream");
        let file = reopen(&files.stream, OFlags::RDWR)
            .map_err(|e| OpenError::io("open for writing", &path, e))?;
        let bytes = self.description.geometry.stream_bytes();
        let region = Region::map(&file, bytes, true).map_err(|e| OpenError::io("map", &path, e))?;
        if self.description.geometry.huge {
            region.advise_huge();
        }
        let region = Arc::new(region);
        self.prepare(std::slice::from_ref(&region), self.options)?;
        let memory = Memory::new(self.description.geometry, region, self.control.clone());
        memory.ok_or(OpenError::Permission { path })
    }

    /// Whether a file behind the ring is shorter than it was. A short tail of the last page reads as
    /// zeroes without any signal, so this is asked wherever somebody waits.
    pub fn cut_short(&self) -> bool {
        let Some(files) = &self.files else {
            return false;
        };
        let geometry = self.description.geometry;
        let short = |file: &OwnedFd, bytes: u64| {
            fstat(file).is_ok_and(|stat| u64::try_from(stat.st_size).unwrap_or(0) < bytes)
        };
        short(&files.stream, geometry.stream_bytes())
            || files
                .control
                .as_ref()
                .is_some_and(|file| short(file, geometry.control_bytes()))
    }

    /// The lock bytes, where this user may use them.
    pub fn locks(&self) -> Option<&Locks> {
        self.locks.as_ref()
    }

    /// The files behind the ring, if it has any.
    pub fn files(&self) -> Option<&Files> {
        self.files.as_ref()
    }

    /// Where the ring lies, for messages.
    pub fn path(&self) -> &Path {
        &self.path
    }
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
