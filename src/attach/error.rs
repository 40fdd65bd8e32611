//! What can go wrong when a handle is made.
//!
//! Layer 5. Variants carry the numbers a person needs; `code` is stable, for other languages.

use crate::ring::index::Nowhere;
use crate::ring::{Corrupt, Start};
use crate::segment::{wrapping, CreateError, NameError, OpenError};
use core::fmt;
use std::io;
use std::path::PathBuf;

/// Why a producer, consumer or observer could not be made.
#[derive(Debug)]
#[non_exhaustive]
pub enum AttachError {
    /// Another producer, in any process, holds the ring.
    AlreadyOwned {
        /// The ring.
        path: PathBuf,
        /// Process id the owner gave, for display only.
        pid: u32,
    },
    /// Every row is taken by a live consumer or observer, or kept for a durable cursor.
    NoRow {
        /// How many rows the ring has.
        rows: u32,
    },
    /// The text cannot be the name of a cursor.
    Name(NameError),
    /// A live process uses this durable cursor.
    CursorInUse {
        /// The cursor.
        name: String,
        /// Process id its user gave, for display only.
        pid: u32,
    },
    /// A file of the ring was cut short while it was mapped.
    Poisoned {
        /// The ring.
        path: PathBuf,
    },
    /// The ring was removed since it was opened. Its name may belong to another one by now.
    Removed {
        /// Where it was.
        path: PathBuf,
    },
    /// This user may not write `control` and `lock`, and so may only observe.
    Permission {
        /// The ring.
        path: PathBuf,
    },
    /// The ring uses features that this version may read but not write.
    ReadOnly {
        /// The ring.
        path: PathBuf,
    },
    /// The message to start at is no longer in the ring.
    Gone {
        /// The message asked for.
        requested: u64,
        /// The oldest still there.
        oldest: u64,
    },
    /// The message to start at has not been published yet.
    Ahead {
        /// The message asked for.
        requested: u64,
        /// The next that will be published.
        next: u64,
    },
    /// The producer overtook every attempt to find a start; try again, or use a larger ring.
    Overtaken,
    /// The ring is damaged.
    Corrupt(Corrupt),
    /// The messages are not what the program expects, or the files could not be mapped.
    Open(OpenError),
    /// A part that belongs to the new handle could not be made.
    Create(CreateError),
    /// This process is a fork of the one that opened the ring; open it again.
    Forked,
    /// The kernel, or a sandbox, refused `membarrier`, which an option asked for.
    Membarrier {
        /// Its reason.
        source: io::Error,
    },
    /// The kernel refused a lock.
    Io {
        /// The ring.
        path: PathBuf,
        /// Its reason.
        source: io::Error,
    },
}

impl AttachError {
    pub(crate) fn nowhere(nowhere: Nowhere, start: Start) -> Self {
        let requested = match start {
            Start::Sequence(sequence) => sequence,
            _ => 0,
        };
        match nowhere {
            Nowhere::Gone { oldest } => Self::Gone { requested, oldest },
            Nowhere::Ahead { next } => Self::Ahead { requested, next },
            Nowhere::Overtaken => Self::Overtaken,
            Nowhere::Corrupt(corrupt) => Self::Corrupt(corrupt),
        }
    }

    /// A number for this kind of error that never changes, for other languages.
    pub fn code(&self) -> u32 {
        match self {
            Self::AlreadyOwned { .. } => 400,
            Self::NoRow { .. } => 401,
            Self::Permission { .. } => 402,
            Self::ReadOnly { .. } => 403,
            Self::Gone { .. } => 404,
            Self::Ahead { .. } => 405,
            Self::Overtaken => 406,
            Self::Corrupt(_) => 407,
            Self::Open(error) => error.code(),
            Self::Create(error) => error.code(),
            Self::Forked => 408,
            Self::Name(_) => 409,
            Self::CursorInUse { .. } => 410,
            Self::Poisoned { .. } => 411,
            Self::Removed { .. } => 413,
            Self::Membarrier { .. } => 412,
            Self::Io { .. } => 499,
        }
    }
}

impl fmt::Display for AttachError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AlreadyOwned { path, pid } => write!(
                f,
                "{} already has a producer (process {pid}): a ring has one; stop that one first, or use another ring",
                path.display()
            ),
            Self::NoRow { rows } => write!(
                f,
                "all {rows} rows for readers are taken: stop a reader, forget a cursor that is no longer used, or create the ring with more"
            ),
            Self::Name(error) => error.fmt(f),
            Self::CursorInUse { name, pid } => write!(
                f,
                "the cursor {name} is in use by process {pid}: stop that one first, or use another name"
            ),
            Self::Poisoned { path } => poisoned(f, &path.display()),
            Self::Removed { path } => removed(f, &path.display()),
            Self::Permission { path } => write!(
                f,
                "no permission to write in {}: observe instead, or ask its owner for a mode that includes writing",
                path.display()
            ),
            Self::ReadOnly { path } => write!(
                f,
                "{} uses features this version can read but not write: use a newer version to produce",
                path.display()
            ),
            Self::Gone { requested, oldest } => write!(
                f,
                "message {requested} is no longer in the ring: the oldest is {oldest}"
            ),
            Self::Ahead { requested, next } => write!(
                f,
                "message {requested} has not been published: the next is {next}"
            ),
            Self::Overtaken => f.write_str(
                "the producer overtook every attempt to find a start: try again, or use a larger ring",
            ),
            Self::Corrupt(corrupt) => write!(f, "the ring is damaged: {corrupt}"),
            Self::Open(error) => error.fmt(f),
            Self::Create(error) => error.fmt(f),
            Self::Forked => f.write_str(FORKED),
            Self::Membarrier { source } => write!(
                f,
                "membarrier is refused here: {source}; leave the option out, or have the sandbox allow the call"
            ),
            Self::Io { path, source } => write!(f, "could not lock {}: {source}", path.display()),
        }
    }
}

pub(crate) const FORKED: &str =
    "this process is a fork of the one that made the handle: the child opens or makes its own";

pub(crate) fn poisoned(f: &mut fmt::Formatter<'_>, what: &dyn fmt::Display) -> fmt::Result {
    write!(
        f,
        "a file of {what} was cut short while it was mapped: its contents are lost; remove the ring and create it again"
    )
}

pub(crate) fn removed(f: &mut fmt::Formatter<'_>, what: &dyn fmt::Display) -> fmt::Result {
    write!(
        f,
        "{what} was removed while it was open: drop the handle, and open the one that has its name now, if any"
    )
}

wrapping!(AttachError: (Corrupt, Open, Create, Name) {Io, Membarrier});

impl From<NameError> for AttachError {
    fn from(error: NameError) -> Self {
        Self::Name(error)
    }
}

impl From<OpenError> for AttachError {
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::Permission { path } => Self::Permission { path },
            error => Self::Open(error),
        }
    }
}

impl From<CreateError> for AttachError {
    fn from(error: CreateError) -> Self {
        match error {
            CreateError::Open(error) => error.into(),
            error => Self::Create(error),
        }
    }
}
