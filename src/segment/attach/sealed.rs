//! Attaching to sealed memory files, as a reader with one row or as the only writer.
//!
//! Layer 2.

use super::{read_description, MappingOptions, Segment, Stream};
use crate::layout::geometry::{Geometry, PAGE};
use crate::segment::checks::{check_seals, regular_size};
use crate::segment::error::OpenError;
use crate::segment::lock::{Locks, Role};
use crate::segment::memory::{Controls, Memory};
use crate::segment::region::Region;
use rustix::fs::SealFlags;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::{Arc, Mutex};

impl Segment {
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
