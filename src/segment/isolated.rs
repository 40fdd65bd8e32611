//! The files of a ring whose readers cannot touch the stream or each other.
//!
//! Layer 2. The stream is an anonymous memory file that is sealed against every writer but the one that has
//! it mapped already. Each row lies in a file of its own, which only its reader and the producer get. A
//! reader can keep the descriptor and write the file after it gave the row back, so a row's file must never
//! go to a second user. Nothing can be resized, and nothing has a name.

use super::attach::Segment;
use super::error::OpenError;
use super::lock::{reopen, Locks, Role};
use super::memory::{Controls, Memory};
use super::region::Region;
use super::reserve::reserve;
use crate::layout::description::Description;
use crate::layout::geometry::Geometry;
use rustix::fs::{
    fchmod, fcntl_add_seals, fcntl_get_seals, memfd_create, MemfdFlags, Mode, OFlags, SealFlags,
};
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;

/// The most rows an isolated ring can have: all their descriptors go to the producer in one message.
pub const MAX_SEATS: u32 = 250;

/// One stream and its rows, as the broker keeps them.
#[derive(Debug)]
pub struct Isolated {
    stream: Arc<OwnedFd>,
    seats: Arc<[Option<OwnedFd>]>,
    /// What the broker needs to inspect the ring: the stream read-only, the rows writable.
    memory: Memory,
}

fn sealed_file(name: &str, bytes: u64, mode: u32) -> io::Result<OwnedFd> {
    let file = memfd_create(name, MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
    fchmod(&file, Mode::from_raw_mode(mode))?;
    reserve(&file, bytes)?;
    fcntl_add_seals(&file, SealFlags::SHRINK | SealFlags::GROW)?;
    Ok(file)
}

impl Isolated {
    /// Makes the files. `fill` may write the stream, once, before any other process has it.
    pub fn create(description: &Description, fill: impl FnOnce(&Memory)) -> io::Result<Self> {
        let geometry = description.geometry;
        // Only its own user may open the stream again. A row's file may be opened again by each process
        // that was given it.
        let stream = sealed_file("slipring-stream", geometry.stream_bytes(), 0o600)?;
        let (mut seats, mut regions) = (Vec::new(), Vec::new());
        for _ in 0..geometry.rows {
            let seat = sealed_file("slipring-row", Geometry::SEAT_BYTES, 0o666)?;
            fcntl_add_seals(&seat, SealFlags::SEAL)?;
            regions.push(Region::map(&seat, Geometry::SEAT_BYTES, true)?);
            seats.push(Some(seat));
        }
        let controls = Controls::Apart(regions.into());
        let map = |writable| -> io::Result<Memory> {
            let region = Region::map(&stream, geometry.stream_bytes(), writable)?;
            let memory = Memory::new(geometry, Arc::new(region), controls.clone());
            memory.ok_or_else(|| io::ErrorKind::InvalidInput.into())
        };
        let writable = map(true)?;
        writable.format(description);
        fill(&writable);
        drop(writable);
        let memory = map(false)?;
        Ok(Self {
            stream: Arc::new(stream),
            seats: seats.into(),
            memory,
        })
    }

    /// The ring, attached for inspection, and the rows.
    pub fn memory(&self) -> &Memory {
        &self.memory
    }

    /// Returns `true` if only the process that has the stream mapped can ever write it.
    pub fn is_sealed(&self) -> bool {
        fcntl_get_seals(&self.stream).is_ok_and(|seals| seals.contains(SealFlags::FUTURE_WRITE))
    }

    /// Returns `true` if a live process holds a role.
    pub fn is_held(&self, role: Role) -> io::Result<bool> {
        let locks = Locks::Apart {
            stream: self.stream.clone(),
            seats: self.seats.clone(),
        };
        locks.is_held(role)
    }

    /// Descriptors for the producer: the stream, writable, and every row.
    pub fn for_producer(&self) -> io::Result<Vec<OwnedFd>> {
        std::iter::once(&*self.stream)
            .chain(self.seats.iter().flatten())
            .map(|file| reopen(file, OFlags::RDWR))
            .collect()
    }

    /// Descriptors for the reader in a row: the stream, read-only, and that row.
    pub fn for_reader(&self, row: u32) -> io::Result<Vec<OwnedFd>> {
        let seat = self.seats.get(row as usize).and_then(Option::as_ref);
        let seat = seat.ok_or(io::ErrorKind::NotFound)?;
        Ok(vec![
            reopen(&self.stream, OFlags::RDONLY)?,
            reopen(seat, OFlags::RDWR)?,
        ])
    }
}

/// Attaches as the reader in a row, from what [`Isolated::for_reader`] gave.
pub fn join(files: Vec<OwnedFd>, row: u32, connection: OwnedFd) -> Result<Segment, OpenError> {
    let path = Path::new("isolated");
    let Ok([stream, seat]) = <[OwnedFd; 2]>::try_from(files) else {
        return Err(OpenError::Untrusted {
            path: path.to_owned(),
            why: "not the descriptors of a reader were handed over",
        });
    };
    if row >= MAX_SEATS {
        return Err(OpenError::Untrusted {
            path: path.to_owned(),
            why: "its row cannot be",
        });
    }
    let segment = Segment::attach_seat(&stream, seat, row, path, connection)?;
    if !segment.description().geometry.evicts() {
        // Otherwise messages would be read in place, from memory that an untrusted process can write.
        return Err(OpenError::Untrusted {
            path: path.to_owned(),
            why: "its readers would not copy what they read",
        });
    }
    Ok(segment)
}

/// Attaches as the sole writer, from what [`Isolated::for_producer`] gave, and seals the stream
/// against any other.
pub fn write(mut files: Vec<OwnedFd>, connection: Option<OwnedFd>) -> Result<Segment, OpenError> {
    let path = Path::new("isolated");
    if files.is_empty() {
        return Err(OpenError::Untrusted {
            path: path.to_owned(),
            why: "no descriptors were handed over",
        });
    }
    let stream = files.remove(0);
    let again = stream
        .try_clone()
        .map_err(|e| OpenError::io("open", path, e))?;
    let segment = Segment::attach_sole_writer(stream, files, path, connection)?;
    fcntl_add_seals(&again, SealFlags::FUTURE_WRITE | SealFlags::SEAL)
        .map_err(|e| OpenError::io("seal", path, e.into()))?;
    Ok(segment)
}
