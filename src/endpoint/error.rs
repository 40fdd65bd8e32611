//! What can go wrong with a handle: one small enum per operation.
//!
//! Layer 5. Variants carry the numbers a person needs; `code` is stable, for other languages.

use crate::ring::index::Nowhere;
use crate::ring::producer::Refused;
use crate::ring::Corrupt;
use crate::segment::OpenError;
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
    /// Every row is taken by a live consumer or observer.
    NoRow {
        /// How many rows the ring has.
        rows: u32,
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
    /// This process is a fork of the one that opened the ring; open it again.
    Forked,
    /// The kernel refused a lock.
    Io {
        /// The ring.
        path: PathBuf,
        /// Its reason.
        source: io::Error,
    },
}

/// Why a message was not published without waiting. Nothing has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TryPublishError {
    /// The message is larger than any may be.
    TooLarge {
        /// Its size in bytes.
        len: usize,
        /// What the ring allows, in bytes.
        max: u32,
    },
    /// A consumer still needs the space.
    Full {
        /// Row of the slowest consumer, as in [`RingStatus`](crate::RingStatus).
        row: u32,
    },
    /// The batch would outgrow half the ring: commit it, then go on.
    BatchFull,
    /// This process is a fork of the one that made the handle.
    Forked,
}

/// Why a message was not published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PublishError {
    /// The message is larger than any may be.
    TooLarge {
        /// Its size in bytes.
        len: usize,
        /// What the ring allows, in bytes.
        max: u32,
    },
    /// A consumer needed the space until the deadline.
    TimedOut {
        /// Row of the slowest consumer, as in [`RingStatus`](crate::RingStatus).
        row: u32,
    },
    /// The batch would outgrow half the ring: commit it, then go on.
    BatchFull,
    /// This process is a fork of the one that made the handle.
    Forked,
}

/// Why there is no message without waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TryReceiveError {
    /// Not yet.
    Empty,
    /// The producer closed the ring and everything has been read.
    Closed,
    /// The ring is damaged.
    Corrupt(Corrupt),
    /// This process is a fork of the one that made the handle.
    Forked,
}

/// Why waiting for a message ended without one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReceiveError {
    /// The producer died, everything it committed has been read, and nobody took over.
    ProducerGone {
        /// Sequence of the message that never came.
        next: u64,
    },
    /// The deadline passed.
    TimedOut,
    /// The ring is damaged.
    Corrupt(Corrupt),
    /// This process is a fork of the one that made the handle.
    Forked,
}

impl AttachError {
    pub(super) fn nowhere(nowhere: Nowhere, start: crate::ring::Start) -> Self {
        let requested = match start {
            crate::ring::Start::Sequence(sequence) => sequence,
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
            Self::Forked => 408,
            Self::Io { .. } => 499,
        }
    }
}

impl TryPublishError {
    pub(super) fn from_refused(refused: Refused, len: usize) -> Self {
        match refused {
            Refused::TooLarge { max } => Self::TooLarge { len, max },
            Refused::Full { row } => Self::Full { row },
            Refused::BatchFull => Self::BatchFull,
        }
    }

    /// A number for this kind of error that never changes, for other languages.
    pub fn code(&self) -> u32 {
        match self {
            Self::TooLarge { .. } => 500,
            Self::Full { .. } => 501,
            Self::BatchFull => 502,
            Self::Forked => 408,
        }
    }
}

impl PublishError {
    /// A number for this kind of error that never changes, for other languages.
    pub fn code(&self) -> u32 {
        match self {
            Self::TooLarge { .. } => 500,
            Self::TimedOut { .. } => 503,
            Self::BatchFull => 502,
            Self::Forked => 408,
        }
    }
}

impl TryReceiveError {
    /// A number for this kind of error that never changes, for other languages.
    pub fn code(&self) -> u32 {
        match self {
            Self::Empty => 600,
            Self::Closed => 601,
            Self::Corrupt(_) => 407,
            Self::Forked => 408,
        }
    }
}

impl ReceiveError {
    /// A number for this kind of error that never changes, for other languages.
    pub fn code(&self) -> u32 {
        match self {
            Self::ProducerGone { .. } => 602,
            Self::TimedOut => 603,
            Self::Corrupt(_) => 407,
            Self::Forked => 408,
        }
    }
}

const FORKED: &str =
    "this process is a fork of the one that opened the ring: open the ring again in the child";
const BATCH_FULL: &str = "the batch would outgrow half the ring: commit it, then go on";

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
                "all {rows} rows for readers are taken: stop a reader, or create the ring with more"
            ),
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
            Self::Forked => f.write_str(FORKED),
            Self::Io { path, source } => write!(f, "could not lock {}: {source}", path.display()),
        }
    }
}

impl fmt::Display for TryPublishError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLarge { len, max } => too_large(f, *len, *max),
            Self::Full { row } => write!(
                f,
                "the ring is full: the consumer in row {row} is a whole ring behind"
            ),
            Self::BatchFull => f.write_str(BATCH_FULL),
            Self::Forked => f.write_str(FORKED),
        }
    }
}

impl fmt::Display for PublishError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLarge { len, max } => too_large(f, *len, *max),
            Self::TimedOut { row } => write!(
                f,
                "timed out: the consumer in row {row} stayed a whole ring behind"
            ),
            Self::BatchFull => f.write_str(BATCH_FULL),
            Self::Forked => f.write_str(FORKED),
        }
    }
}

fn too_large(f: &mut fmt::Formatter<'_>, len: usize, max: u32) -> fmt::Result {
    write!(
        f,
        "a message of {len} bytes is too large: this ring takes up to {max}, a quarter of its capacity; create it larger"
    )
}

impl fmt::Display for TryReceiveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("no message yet"),
            Self::Closed => f.write_str("the ring is closed and everything has been read"),
            Self::Corrupt(corrupt) => write!(f, "the ring is damaged: {corrupt}"),
            Self::Forked => f.write_str(FORKED),
        }
    }
}

impl fmt::Display for ReceiveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ProducerGone { next } => write!(
                f,
                "the producer is gone: it died before message {next}, and nobody took over"
            ),
            Self::TimedOut => f.write_str("timed out waiting for a message"),
            Self::Corrupt(corrupt) => write!(f, "the ring is damaged: {corrupt}"),
            Self::Forked => f.write_str(FORKED),
        }
    }
}

impl std::error::Error for AttachError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io { source, .. } => Some(source),
            Self::Corrupt(corrupt) => Some(corrupt),
            _ => None,
        }
    }
}
impl std::error::Error for TryPublishError {}
impl std::error::Error for PublishError {}
impl std::error::Error for TryReceiveError {}
impl std::error::Error for ReceiveError {}

impl From<OpenError> for AttachError {
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::Permission { path } => Self::Permission { path },
            error => Self::Open(error),
        }
    }
}

impl From<Corrupt> for TryReceiveError {
    fn from(corrupt: Corrupt) -> Self {
        Self::Corrupt(corrupt)
    }
}

impl From<Corrupt> for ReceiveError {
    fn from(corrupt: Corrupt) -> Self {
        Self::Corrupt(corrupt)
    }
}
