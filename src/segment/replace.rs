//! Replacement: a ring is built beside another one, and takes its name in one step.
//!
//! Layer 2. Until the names are exchanged, nothing of the old ring is changed; after that, the new one is
//! complete and on the disk. A process that dies in between leaves a directory with a hidden name, which is
//! removed as one of a creator that died.

use super::attach::Segment;
use super::create::{build, claim, make_directory, parent_of, Plan};
use super::directory::{random, SCHEMA};
use super::error::CreateError;
use super::memory::Memory;
use super::name::Location;
use super::remove::delete;
use rustix::fs::{self, Mode, OFlags, RenameFlags};
use rustix::io::Errno;
use std::os::fd::OwnedFd;
use std::path::Path;

/// Creates a ring, lets `fill` write it, gives it the name of the ring at a location, and deletes that one.
/// Returns `false`, with the old ring as it was, if `fill` does. Call with the cleaner's lock of the old ring
/// held.
pub fn replace(
    location: &Location,
    plan: &Plan,
    fill: impl FnOnce(&Memory) -> bool,
) -> Result<bool, CreateError> {
    let path = location.path();
    let io = |what, e: Errno| CreateError::io(what, &path, plan.bytes(), e.into());
    let parent = parent_of(location)?;
    let hidden = format!(".{}.{:016x}", location.name(), random() as u64);
    make_directory(&parent, Path::new(&hidden)).map_err(|e| io("create", e))?;
    let exchanged = claim(&parent, &hidden)
        .map_err(|e| io("lock", e))
        .and_then(|directory| {
            let new = build(&directory, &path, plan)?.segment;
            if !fill(&new.writer()?) {
                return Ok(false);
            }
            write_out(&new, &directory).map_err(|e| io("write out", e))?;
            let flags = RenameFlags::EXCHANGE;
            fs::renameat_with(&parent, &hidden, &parent, location.name(), flags)
                .and_then(|()| fs::fsync(&parent))
                .map_err(|e| io("name", e))?;
            Ok(true)
        });
    // The old ring by now, or what was made of the new one. What is left of either is a leftover.
    let _ = delete(&parent, &hidden);
    exchanged
}

/// Waits until the files of a ring and their names are on the disk.
fn write_out(new: &Segment, directory: &OwnedFd) -> Result<(), Errno> {
    if let Some(files) = new.files() {
        let controls = files.control.iter().chain(&files.lock);
        for file in std::iter::once(&files.stream).chain(controls) {
            fs::fsync(file)?;
        }
    }
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    match fs::openat(directory, SCHEMA, flags, Mode::empty()) {
        Err(Errno::NOENT) => {}
        schema => fs::fsync(schema?)?,
    }
    fs::fsync(directory)
}
