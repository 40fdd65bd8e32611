//! Reading the schema file of a ring.
//!
//! Layer 2. It is looked for where the ring lies, with the same checks as the ring's other files, and is used only
//! if the stream beside it is the one that is open, and its bytes are those that the description names.

use super::attach::Segment;
use super::directory::{
    is_at, open_directory, open_file, open_parent, trusted_owner, SCHEMA, STREAM,
};
use super::error::OpenError;
use super::name::Location;
use crate::layout::opaque::{decode, OpaqueMark, OpaqueSchema};
use rustix::fs::{fstat, OFlags};
use rustix::io::Errno;
use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;

impl Segment {
    /// The opaque schema of the ring, read from its file now; `None` if it has none.
    pub fn opaque_schema(&self) -> Result<Option<OpaqueSchema>, OpenError> {
        let Some(mark) = self.description().opaque else {
            return Ok(None);
        };
        // Of a ring without a name no description says this, unless it was made by another implementation.
        let files = self.files().filter(|files| files.named);
        let files = files.ok_or_else(|| OpenError::Untrusted {
            path: self.path().to_owned(),
            why: "its schema file lies in no directory",
        })?;
        let location = Location::at(self.path())?;
        read(&location, &files.stream, mark).map(Some)
    }
}

fn read(
    location: &Location,
    stream: &OwnedFd,
    mark: OpaqueMark,
) -> Result<OpaqueSchema, OpenError> {
    let path = location.path();
    let parent = open_parent(location)?;
    let directory = open_directory(&parent, location.name())
        .map_err(|e| OpenError::io("open", &path, e.into()))?;
    let owner = trusted_owner(location, &directory)?;
    if !is_at(&directory, STREAM, stream) {
        // It was removed, and another one may have the name.
        return Err(OpenError::not_found(path));
    }
    let file = open_file(location, &directory, owner, SCHEMA, OFlags::RDONLY)?;
    let file_path = path.join(SCHEMA);
    let inspect = |e: Errno| OpenError::io("inspect", &file_path, e.into());
    let found = u64::try_from(fstat(&file).map_err(inspect)?.st_size).unwrap_or(0);
    let expected = u64::from(mark.bytes);
    if found < expected {
        return Err(OpenError::Truncated {
            path: file_path,
            expected,
            found,
        });
    }
    let mut bytes = vec![0; mark.bytes as usize];
    File::from(file)
        .read_exact_at(&mut bytes, 0)
        .map_err(|e| OpenError::io("read", &file_path, e))?;
    if found > expected || OpaqueMark::of(&bytes) != mark {
        return Err(OpenError::Mismatched { path });
    }
    decode(&bytes).ok_or(OpenError::Untrusted {
        path: file_path,
        why: "it is not a schema file",
    })
}
