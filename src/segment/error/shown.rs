//! The texts of what can go wrong when a ring is made, opened or removed.
//!
//! Layer 2. Each says which object, what was found and what to do.

use super::{CreateError, OpenError, RemoveError};
use crate::layout::description::DescriptionError;
use core::fmt;

impl fmt::Display for CreateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(error) => error.fmt(f),
            Self::Geometry(error) => error.fmt(f),
            Self::Exists { path } => write!(
                f,
                "{} already exists: open it, remove it, or choose another name",
                path.display()
            ),
            Self::NoSpace {
                path,
                bytes,
                headroom: 0,
            } => write!(
                f,
                "no space for {}: the ring needs {bytes} bytes; choose a smaller capacity or free some room there",
                path.display()
            ),
            Self::NoSpace {
                path,
                bytes,
                headroom,
            } => write!(
                f,
                "no space for {}: it needs {bytes} bytes, and its first users {headroom} bytes more; choose a smaller depth or message size, bound the bytes of a lane of a queue, or free some room there",
                path.display()
            ),
            Self::FileTooLarge { path, bytes, limit } => write!(
                f,
                "no file for {}: the ring needs {bytes} bytes, and this process may not make files of more than {limit} bytes; raise RLIMIT_FSIZE (ulimit -f) or choose a smaller capacity",
                path.display()
            ),
            Self::Permission { path } => write!(
                f,
                "no permission to create in {}: choose another directory with SLIPRING_DIR",
                path.display()
            ),
            Self::Origin { id, host, why } => {
                write!(f, "origin {id:032x} {host:?} is not allowed: {why}")
            }
            Self::Mode { mode, why } => write!(f, "mode {mode:04o} is not allowed: {why}"),
            Self::OpaqueSchema => f.write_str(
                "an opaque schema lies in a file in the ring's directory, and this ring has none: give it a name or a path, or hand the schema over by other means",
            ),
            Self::NoDirectory { path } => write!(
                f,
                "there is no directory {}: make it, or check SLIPRING_DIR",
                path.display()
            ),
            Self::Open(error) => error.fmt(f),
            Self::Io { what, path, source } => {
                write!(f, "could not {what} {}: {source}", path.display())
            }
        }
    }
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(error) => error.fmt(f),
            Self::NotFound { path, form } => write!(
                f,
                "no {} at {}: create it first, or check SLIPRING_DIR",
                form.noun(),
                path.display()
            ),
            Self::Permission { path } => write!(
                f,
                "no permission to open {}: ask its owner for a mode that includes you",
                path.display()
            ),
            Self::Untrusted { path, why } => write!(
                f,
                "{} is not trusted as part of a ring: {why}",
                path.display()
            ),
            Self::Stranger { path, owner } => write!(
                f,
                "{} belongs to user {owner}, who could change it while it is in use: if you trust that user, say so with SLIPRING_TRUST={owner}",
                path.display()
            ),
            Self::Description { path, reason } => write!(f, "{} is {}", path.display(), Is(reason)),
            Self::Truncated {
                path,
                expected,
                found,
            } => write!(
                f,
                "{} was cut short: it has {found} of {expected} bytes; remove the ring and create it again",
                path.display()
            ),
            Self::Mismatched { path } => write!(
                f,
                "the files in {} belong to different rings; remove it and create it again",
                path.display()
            ),
            Self::OtherBoot {
                path,
                found,
                expected,
            } => write!(
                f,
                "{} lies on a disk and was made in boot {found:032x}, this is boot {expected:032x}: what it holds may be torn; a ring can be recovered (slipring recover), or remove it and create it again",
                path.display()
            ),
            Self::Form {
                path,
                found,
                expected,
            } => write!(
                f,
                "{} is a {}, not a {}: use it as what it is, or choose another name",
                path.display(),
                found.noun(),
                expected.noun()
            ),
            Self::Busy { path, handles } => write!(
                f,
                "{} is open {handles} times, as often as it can be: close one, or create it for more",
                path.display()
            ),
            Self::Schema { path, mismatch } => write!(
                f,
                "{} carries other messages than expected: {mismatch}",
                path.display()
            ),
            Self::Io { what, path, source } => {
                write!(f, "could not {what} {}: {source}", path.display())
            }
        }
    }
}

/// Makes "FILE is not a slipring stream" and "FILE is unusable: it has ..." both read well.
struct Is<'e>(&'e DescriptionError);

impl fmt::Display for Is<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            DescriptionError::Foreign => self.0.fmt(f),
            reason => write!(f, "unusable: it {}{reason}", verb(reason)),
        }
    }
}

fn verb(reason: &DescriptionError) -> &'static str {
    match reason {
        DescriptionError::Version { .. } | DescriptionError::ByteOrder => "was ",
        _ => "",
    }
}

impl fmt::Display for RemoveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Open(error) => error.fmt(f),
            Self::InUse {
                path,
                producer,
                rows,
                ends,
            } => {
                let producer = if *producer { "1" } else { "no" };
                write!(
                    f,
                    "{} is in use ({producer} producer, {rows} attached readers",
                    path.display()
                )?;
                if *ends > 0 {
                    write!(f, ", {ends} sides of a link or a pipe")?;
                }
                f.write_str("): stop them, or remove it by force")
            }
            Self::Permission { path } => write!(
                f,
                "no permission to remove {}: its owner may, where the directory it lies in can be written",
                path.display()
            ),
            Self::Io { what, path, source } => {
                write!(f, "could not {what} {}: {source}", path.display())
            }
        }
    }
}
