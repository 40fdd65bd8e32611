//! Creating rings as their builders describe them.
//!
//! Layer 5.

use super::ring::Ring;
use crate::attach::Builder;
use crate::segment::CreateError;

impl Builder {
    /// Creates the ring and opens it.
    ///
    /// # Guarantees
    /// The ring appears under its name complete or not at all, and never replaces another. All its
    /// space is reserved: a full file system is an error here, not a signal later. An error leaves
    /// nothing behind.
    ///
    /// # Errors
    /// [`CreateError`]: a bad name, size or origin, the name is taken, no space, no permission.
    pub fn create(self) -> Result<Ring, CreateError> {
        self.make().map(Ring::of)
    }

    /// Opens the ring if it exists, else creates it. An existing ring keeps its own settings, which
    /// [`Ring::differences`] compares; only its schema, if this builder names one, must agree.
    ///
    /// # Guarantees
    /// Nothing is created if the ring exists, so a full file system does not matter then. Other processes
    /// may create or remove the ring meanwhile.
    ///
    /// # Errors
    /// As [`create`](Self::create), and those of opening.
    pub fn create_or_open(self) -> Result<Ring, CreateError> {
        self.make_or_open().map(Ring::of)
    }

    /// Writes the ring into a shared-memory segment that another library created, and opens it. The
    /// segment's old content is lost. Other processes attach with [`Ring::adopt`].
    ///
    /// # Errors
    /// [`CreateError`]: a bad size, or the segment is smaller than
    /// [`segment_bytes`](Self::segment_bytes).
    #[cfg(feature = "shared_memory")]
    pub fn create_in(self, segment: shared_memory::Shmem) -> Result<Ring, CreateError> {
        let description = self.alone()?;
        let segment = crate::segment::format(segment, &description)?;
        Ok(Ring::of(crate::attach::Attachment::from_segment(segment)))
    }
}
