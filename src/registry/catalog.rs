//! The rings of a directory.
//!
//! Layer 8.

use crate::attach::Attachment;
use crate::endpoint::Ring;
use crate::segment::{self, Location, MappingOptions, OpenError, Place, RemoveError, Segment};
use std::path::{Path, PathBuf};

/// What lies in a segment, to be looked at.
fn opened(segment: Segment) -> Ring {
    Ring::of(Attachment::from_segment(segment))
}

/// One name in a slipring directory.
#[derive(Debug)]
#[non_exhaustive]
pub struct Entry {
    /// The name.
    pub name: String,
    /// The ring, or why it could not be opened.
    pub ring: Result<Ring, OpenError>,
}

/// The slipring directory: `$SLIPRING_DIR`, else `/dev/shm/slipring-UID`.
pub fn default_directory() -> PathBuf {
    Location::default_directory().0
}

/// Every ring of the slipring directory, in order of name.
///
/// # Errors
/// [`OpenError`] if the directory cannot be read; one that does not exist is empty.
pub fn list() -> Result<Vec<Entry>, OpenError> {
    list_in(default_directory())
}

/// Opens the object at a place, of any form, for inspection.
///
/// # Errors
/// [`OpenError`], as for a ring.
pub fn look_at(place: impl Into<Place>) -> Result<Ring, OpenError> {
    let mapping = MappingOptions {
        populate: false,
        lock_memory: false,
    };
    let location = place.into().location()?;
    Ok(opened(segment::open(&location, mapping)?))
}

/// Removes what lies at a place, of any form; with `force` even while it is in use. Processes that are
/// attached then still reach each other, get errors named `Removed`, and no other process can join them.
///
/// # Errors
/// [`RemoveError::InUse`] while a process is attached to it in any role: a producer, a reader, a side that
/// waits for the other, a holder of permits. A sender of a queue counts from its first message on.
///
/// ```
/// # let scratch = tempfile::tempdir()?;
/// # let path = scratch.path().join("jobs");
/// use slipring::place::RemoveError;
/// use slipring::Queue;
///
/// let queue = Queue::builder(&path).create()?;
/// let receiver = queue.receiver()?;
/// let refused = slipring::registry::remove_at(&path, false);
/// assert!(matches!(refused, Err(RemoveError::InUse { .. })));
/// drop(receiver);
/// slipring::registry::remove_at(&path, false)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn remove_at(place: impl Into<Place>, force: bool) -> Result<(), RemoveError> {
    let location = place.into().location().map_err(OpenError::from)?;
    segment::remove(&location, None, force)
}

/// Every ring of a directory, in order of name.
///
/// # Errors
/// As [`list`].
pub fn list_in(directory: impl AsRef<Path>) -> Result<Vec<Entry>, OpenError> {
    let mapping = MappingOptions {
        populate: false,
        lock_memory: false,
    };
    let listed = segment::list(directory.as_ref(), mapping)?;
    Ok(listed
        .into_iter()
        .map(|listing| Entry {
            name: listing.name,
            ring: listing.segment.map(opened),
        })
        .collect())
}
