//! Rings inside a POSIX shared-memory segment that another library created.
//!
//! Layer 2, unsafe by need, feature `shared_memory`. The segment holds `stream`, then `control`; the lock
//! bytes are those of the segment's own file. The owner of that file may shrink it. If that may be another
//! user, the guard against truncation is installed.
#![cfg(feature = "shared_memory")]
#![allow(unsafe_code, reason = "adopts memory another library mapped")]

use super::attach::Segment;
use super::checks::is_exposed;
use super::error::{CreateError, OpenError};
use super::guard;
use super::lock::Locks;
use super::memory::{Controls, Memory};
use super::region::Region;
use super::trust::check_owner;
use crate::layout::description::Description;
use rustix::fs::{fstat, Mode};
use rustix::shm;
use shared_memory::Shmem;
use std::path::{Path, PathBuf};
use std::ptr::NonNull;
use std::sync::Arc;

/// Keeps the segment mapped.
struct Keep(#[allow(dead_code, reason = "held for its drop")] Shmem);

// SAFETY: the segment is only kept, and unmapped once when dropped.
unsafe impl Send for Keep {}
// SAFETY: as above; nothing is read through it.
unsafe impl Sync for Keep {}

/// Writes a new ring into a segment that is large enough. Its old content is lost.
pub fn format(segment: Shmem, description: &Description) -> Result<Segment, CreateError> {
    let geometry = description.geometry;
    let bytes = geometry.stream_bytes() + geometry.control_bytes();
    if (segment.len() as u64) < bytes {
        return Err(CreateError::NoSpace {
            path: path_of(&segment),
            bytes,
            headroom: 0,
        });
    }
    let keep = Arc::new(Keep(segment));
    let (stream, control) = regions(&keep, geometry.stream_bytes())?;
    let memory = Memory::new(
        geometry,
        Arc::new(stream),
        Controls::Together(Arc::new(control)),
    );
    if let Some(memory) = memory {
        memory.format(description);
    }
    Ok(attach(keep)?)
}

/// Attaches to a ring that [`format`] wrote, in this process or another.
pub fn adopt(segment: Shmem) -> Result<Segment, OpenError> {
    attach(Arc::new(Keep(segment)))
}

fn attach(keep: Arc<Keep>) -> Result<Segment, OpenError> {
    let path = path_of(&keep.0);
    let (whole, _) = regions(&keep, 0)?;
    let page = Memory::description_page(&whole).map_err(|e| OpenError::io("read", &path, e))?;
    let description = Description::decode(&page).map_err(|reason| OpenError::Description {
        path: path.clone(),
        reason,
    })?;
    let stream_bytes = description.geometry.stream_bytes();
    if (keep.0.len() as u64) < stream_bytes {
        return Err(OpenError::Truncated {
            path,
            expected: stream_bytes,
            found: keep.0.len() as u64,
        });
    }
    let file = shm::open(keep.0.get_os_id(), shm::OFlags::RDWR, Mode::empty())
        .map_err(|e| OpenError::io("open", &path, e.into()))?;
    let stat = fstat(&file).map_err(|e| OpenError::io("inspect", &path, e.into()))?;
    check_owner(stat.st_uid, &path)?;
    if is_exposed(&file) {
        guard::install().map_err(|e| OpenError::io("guard", &path, e))?;
    }
    let (stream, control) = regions(&keep, stream_bytes)?;
    let segment = Segment::attach_memory(stream, control, Locks::File(Arc::new(file)), &path)?;
    Ok(segment.owned_by(stat.st_uid))
}

/// The segment cut in two; the second part is everything from `stream_bytes` on.
fn regions(keep: &Arc<Keep>, stream_bytes: u64) -> Result<(Region, Region), OpenError> {
    let (base, len) = (keep.0.as_ptr(), keep.0.len());
    let cut = (stream_bytes as usize).min(len);
    let base = NonNull::new(base).ok_or_else(|| OpenError::Untrusted {
        path: path_of(&keep.0),
        why: "it is not mapped",
    })?;
    let first = if cut == 0 { len } else { cut };
    // SAFETY: both ranges lie within the mapping of `len` bytes, which the clone of `keep` holds;
    // the crate maps whole pages read-write, and gives out references only through unsafe calls.
    unsafe {
        Ok((
            Region::foreign(base, first, Box::new(keep.clone())),
            Region::foreign(base.add(cut), len - cut, Box::new(keep.clone())),
        ))
    }
}

fn path_of(segment: &Shmem) -> PathBuf {
    Path::new("/dev/shm").join(segment.get_os_id().trim_start_matches('/'))
}
