//! Rings without a name: anonymous memory files, passed on by descriptor.
//!
//! Layer 2. The files are sealed against shrinking and growing, so no peer can take pages away.

use super::attach::{Files, MappingOptions, Segment};
use super::checks::check_seals;
use super::create::format;
use super::error::{CreateError, OpenError};
use super::reserve::reserve;
use super::trust::check_owner;
use crate::layout::description::Description;
use rustix::fs::{fcntl_add_seals, fstat, fstatfs, memfd_create, FileType, MemfdFlags, SealFlags};
use rustix::io::Errno;
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
            reserve(&file, bytes)?;
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
            named: false,
        })
    };
    let bytes = geometry.stream_bytes() + geometry.control_bytes();
    let files = make().map_err(|e| CreateError::io("create", Path::new(PATH), bytes, e))?;
    Ok(Segment::attach(files, Path::new(PATH), mapping)?)
}

/// Attaches to a ring by descriptors from another process. Refuses a descriptor that is not of memory, or
/// whose file could be truncated while it is mapped, or belongs to a user who is not trusted.
pub fn from_files(mut files: Files, mapping: MappingOptions) -> Result<Segment, OpenError> {
    let path = Path::new(PATH);
    check_file(&files.stream, "stream", true)?;
    if let Some(control) = &files.control {
        check_file(control, "control", true)?;
    }
    if let Some(lock) = &files.lock {
        check_file(lock, "lock", false)?;
    }
    // The descriptors of a ring with a name can be handed over as well.
    files.named = fstat(&files.stream).is_ok_and(|stat| stat.st_nlink > 0);
    Segment::attach(files, path, mapping)
}

fn check_file(file: &OwnedFd, name: &str, mapped: bool) -> Result<(), OpenError> {
    let path = Path::new(PATH).join(name);
    let io = |e: Errno| OpenError::io("inspect", &path, e.into());
    let untrusted = |why| {
        let path = path.clone();
        Err(OpenError::Untrusted { path, why })
    };
    let stat = fstat(file).map_err(io)?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return untrusted("it is not a regular file");
    }
    let system = fstatfs(file).map_err(io)?.f_type;
    if ![libc::TMPFS_MAGIC, libc::HUGETLBFS_MAGIC].contains(&system) {
        // Another file system may take any time to answer, or never answer.
        return untrusted("it is not a file in memory");
    }
    check_owner(stat.st_uid, &path)?;
    if mapped {
        check_seals(file, SealFlags::SHRINK, &path)?;
    }
    Ok(())
}
