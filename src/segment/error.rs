//! What can go wrong when a ring is made, opened or removed.
//!
//! Layer 2. One small enum per operation; every variant names the object and carries the numbers.

mod shown;

use super::name::NameError;
use super::reserve::file_size_limit;
use crate::layout::description::DescriptionError;
use crate::layout::form::Form;
use crate::layout::geometry::GeometryError;
use crate::layout::schema::SchemaMismatch;
use std::io;
use std::path::{Path, PathBuf};

/// Why a ring could not be created. Nothing is left behind.
#[derive(Debug)]
#[non_exhaustive]
pub enum CreateError {
    /// The name is not allowed.
    Name(NameError),
    /// The sizes are not allowed.
    Geometry(GeometryError),
    /// Something already has this name.
    Exists {
        /// The path that is taken.
        path: PathBuf,
    },
    /// The file system has no room.
    NoSpace {
        /// The ring directory.
        path: PathBuf,
        /// What the ring needs, in bytes.
        bytes: u64,
        /// What its first users will add, in bytes: the lane of a sender. Zero for a ring.
        headroom: u64,
    },
    /// The process may not make files of this size.
    FileTooLarge {
        /// The ring directory.
        path: PathBuf,
        /// What the ring needs in all, in bytes.
        bytes: u64,
        /// The largest file this process may make, in bytes.
        limit: u64,
    },
    /// This user may not create there.
    Permission {
        /// The directory.
        path: PathBuf,
    },
    /// The directory that should hold the ring does not exist.
    NoDirectory {
        /// The directory.
        path: PathBuf,
    },
    /// The mode lets in users who could not use it.
    Mode {
        /// What was asked for.
        mode: u32,
        /// Why not, and what to do.
        why: &'static str,
    },
    /// What was given as the origin of its messages cannot be stored.
    Origin {
        /// The identity that was given.
        id: u128,
        /// The host that was given.
        host: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// An opaque schema lies in a file of its own, in the directory of a ring, and this ring has no directory.
    OpaqueSchema,
    /// The new ring could not be attached to.
    Open(OpenError),
    /// The kernel refused a step for another reason.
    Io {
        /// The step.
        what: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// The kernel's reason.
        source: io::Error,
    },
}

/// Why a ring could not be opened.
#[derive(Debug)]
#[non_exhaustive]
pub enum OpenError {
    /// The name is not allowed.
    Name(NameError),
    /// There is no such ring.
    NotFound {
        /// Where it was looked for.
        path: PathBuf,
        /// What was looked for; a ring where any form would do.
        form: Form,
    },
    /// This user may not read the ring.
    Permission {
        /// The file.
        path: PathBuf,
    },
    /// A file of the ring is not what a ring's file must be: a link, a device, another user's.
    Untrusted {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: &'static str,
    },
    /// It belongs to a user who is neither this one nor root, and was not named with
    /// [`trust_owner`](crate::place::trust_owner).
    Stranger {
        /// The ring directory.
        path: PathBuf,
        /// The id of the user who owns it.
        owner: u32,
    },
    /// The description page is foreign, damaged, or of another version.
    Description {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: DescriptionError,
    },
    /// A file is shorter than the description says.
    Truncated {
        /// The file.
        path: PathBuf,
        /// What it should have, in bytes.
        expected: u64,
        /// What it has, in bytes.
        found: u64,
    },
    /// `control` belongs to another ring than `stream`.
    Mismatched {
        /// The ring directory.
        path: PathBuf,
    },
    /// It lies on a disk and was made in another boot of the machine. What it holds may be torn, because its
    /// pages reach the disk in any order: see [`recover`](crate::registry::recover).
    OtherBoot {
        /// Where it lies.
        path: PathBuf,
        /// The boot in which it was made.
        found: u128,
        /// This boot.
        expected: u128,
    },
    /// It is another form of communication.
    Form {
        /// Where it lies.
        path: PathBuf,
        /// What it is.
        found: Form,
        /// What the program wants.
        expected: Form,
    },
    /// As many handles are open as there can be.
    Busy {
        /// What it is.
        path: PathBuf,
        /// How many there can be.
        handles: u32,
    },
    /// The messages are not what the program expects.
    Schema {
        /// The ring.
        path: PathBuf,
        /// The first difference.
        mismatch: SchemaMismatch,
    },
    /// The kernel refused a step for another reason.
    Io {
        /// The step.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// The kernel's reason.
        source: io::Error,
    },
}

/// Why a ring could not be removed.
#[derive(Debug)]
#[non_exhaustive]
pub enum RemoveError {
    /// It could not be opened to see whether it is in use.
    Open(OpenError),
    /// A live process is attached.
    InUse {
        /// The ring directory.
        path: PathBuf,
        /// Whether one of them is the producer.
        producer: bool,
        /// How many rows are held.
        rows: u32,
        /// How many sides of a link or a named pipe are held.
        ends: u32,
    },
    /// This user may not remove it: only its owner may, and users who may write the directory it lies in.
    Permission {
        /// The ring directory.
        path: PathBuf,
    },
    /// The kernel refused a step.
    Io {
        /// The step.
        what: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// The kernel's reason.
        source: io::Error,
    },
}

impl CreateError {
    /// A number for this kind of error that never changes, for other languages.
    pub fn code(&self) -> u32 {
        match self {
            Self::Name(_) => 100,
            Self::Geometry(_) => 101,
            Self::Exists { .. } => 102,
            Self::NoSpace { .. } => 103,
            Self::Permission { .. } => 104,
            Self::NoDirectory { .. } => 105,
            Self::Mode { .. } => 106,
            Self::FileTooLarge { .. } => 107,
            Self::Origin { .. } => 108,
            Self::OpaqueSchema => 109,
            Self::Open(error) => error.code(),
            Self::Io { .. } => 199,
        }
    }

    pub(super) fn io(what: &'static str, path: &Path, bytes: u64, source: io::Error) -> Self {
        let path = path.to_owned();
        let limit = file_size_limit();
        match (source.raw_os_error(), limit) {
            (Some(libc::EFBIG), Some(limit)) => Self::FileTooLarge { path, bytes, limit },
            (Some(libc::ENOSPC | libc::EDQUOT | libc::EFBIG), _) => Self::NoSpace {
                path,
                bytes,
                headroom: 0,
            },
            (Some(libc::EACCES | libc::EPERM | libc::EROFS), _) => Self::Permission { path },
            (Some(libc::EEXIST | libc::ENOTEMPTY), _) => Self::Exists { path },
            _ => Self::Io { what, path, source },
        }
    }
}

impl OpenError {
    /// A number for this kind of error that never changes, for other languages.
    pub fn code(&self) -> u32 {
        match self {
            Self::Name(_) => 100,
            Self::NotFound { .. } => 200,
            Self::Permission { .. } => 201,
            Self::Untrusted { .. } => 202,
            Self::Description { .. } => 203,
            Self::Truncated { .. } => 204,
            Self::Mismatched { .. } => 205,
            Self::Schema { .. } => 206,
            Self::Form { .. } => 207,
            Self::Busy { .. } => 208,
            Self::Stranger { .. } => 209,
            Self::OtherBoot { .. } => 210,
            Self::Io { .. } => 299,
        }
    }

    pub(crate) fn not_found(path: PathBuf) -> Self {
        let form = Form::Ring;
        Self::NotFound { path, form }
    }

    /// The same, of what was looked for.
    pub(crate) fn looked_for(self, form: Form) -> Self {
        match self {
            Self::NotFound { path, .. } => Self::NotFound { path, form },
            error => error,
        }
    }

    pub(super) fn io(what: &'static str, path: &Path, source: io::Error) -> Self {
        let path = path.to_owned();
        match source.raw_os_error() {
            Some(libc::ENOENT) => Self::not_found(path),
            Some(libc::EACCES | libc::EPERM | libc::EROFS) => Self::Permission { path },
            Some(libc::ELOOP) => Self::Untrusted {
                path,
                why: "it is a symbolic link",
            },
            Some(libc::ENOTDIR) => Self::Untrusted {
                path,
                why: "it is not a directory",
            },
            Some(libc::ENXIO) => Self::Untrusted {
                path,
                why: "it is not a regular file",
            },
            _ => Self::Io { what, path, source },
        }
    }
}

impl RemoveError {
    /// A number for this kind of error that never changes, for other languages.
    pub fn code(&self) -> u32 {
        match self {
            Self::Open(error) => error.code(),
            Self::InUse { .. } => 300,
            Self::Permission { .. } => 301,
            Self::Io { .. } => 399,
        }
    }
}

/// Makes an error of an enum: the variants that wrap another error print what that one prints, and have
/// what that one has as their source, so that no text of a chain is said twice.
macro_rules! wrapping {
    ($name:ident: ($($wraps:ident),*) {$($holds:ident),*}) => {
        impl std::error::Error for $name {
            fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
                match self {
                    $(Self::$wraps(error) => std::error::Error::source(error),)*
                    $(Self::$holds { source, .. } => std::error::Error::source(source),)*
                    #[allow(unreachable_patterns, reason = "of an enum that only wraps")]
                    _ => None,
                }
            }
        }
    };
}
pub(crate) use wrapping;
wrapping!(CreateError: (Name, Geometry, Open) {Io});
wrapping!(OpenError: (Name) {Io});
wrapping!(RemoveError: (Open) {Io});

impl From<NameError> for CreateError {
    fn from(error: NameError) -> Self {
        Self::Name(error)
    }
}

impl From<GeometryError> for CreateError {
    fn from(error: GeometryError) -> Self {
        Self::Geometry(error)
    }
}

impl From<OpenError> for CreateError {
    fn from(error: OpenError) -> Self {
        Self::Open(error)
    }
}

impl From<NameError> for OpenError {
    fn from(error: NameError) -> Self {
        Self::Name(error)
    }
}

impl From<OpenError> for RemoveError {
    fn from(error: OpenError) -> Self {
        Self::Open(error)
    }
}
