//! Rings without a name: anonymous memory files, passed on by descriptor.
//!
//! Layer 2. The files are sealed against shrinking and growing, so no peer can take pages away.

use super::attach::{Files, MappingOptions, Segment};
use super::directory::format;
use super::error::{CreateError, OpenError};
use crate::layout::description::Description;
use rustix::fs::{fallocate, fcntl_add_seals, memfd_create, FallocateFlags, MemfdFlags, SealFlags};
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

const PATH: &str = "memfd";

/// Creates a ring in anonymous memory files and attaches to it.
pub fn anonymous(
    description: &Description,
    mapping: MappingOptions,
) -> Result<Segment, CreateError> {
    let geometry = description.geometry;
    let sealed = SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL;
    let make = || -> io::Result<Files> {
        let file = |name: &str, bytes: u64| -> io::Result<OwnedFd> {
            let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
            let file = memfd_create(format!("slipring-{name}"), flags)?;
            if bytes > 0 {
                fallocate(&file, FallocateFlags::empty(), 0, bytes)?;
            }
            Ok(file)
        };
        let stream = file("stream", geometry.stream_bytes())?;
        let control = file("control", geometry.control_bytes())?;
        let lock = file("lock", 0)?;
        format(&stream, &control, description)?;
        fcntl_add_seals(&stream, sealed)?;
        fcntl_add_seals(&control, sealed)?;
        Ok(Files {
            stream,
            control: Some(control),
            lock: Some(lock),
        })
    };
    let bytes = geometry.stream_bytes() + geometry.control_bytes();
    let files = make().map_err(|e| CreateError::io("create", Path::new(PATH), bytes, e))?;
    Ok(Segment::attach(files, Path::new(PATH), mapping)?)
}

/// Attaches to a ring whose descriptors came from elsewhere.
pub fn from_files(files: Files, mapping: MappingOptions) -> Result<Segment, OpenError> {
    Segment::attach(files, Path::new(PATH), mapping)
}
