//! What can go wrong with a handle: one small enum per operation.
//!
//! Layer 5. Variants carry the numbers a person needs; `code` is stable, for other languages.

use crate::ring::index::Nowhere;
use crate::ring::producer::Refused;
use crate::ring::Corrupt;
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
    /// The ring has a schema, and the message is not of its size.
    WrongSize {
        /// Its size in bytes.
        len: usize,
        /// The size of every message of the schema.
        expected: u32,
    },
    /// A consumer still needs the space.
    Full {
        /// Row of the slowest consumer, as in [`RingStatus`](crate::endpoint::RingStatus).
        row: u32,
    },
    /// The batch would outgrow half the ring: commit it, then go on.
    BatchFull,
    /// A file of the ring was cut short while it was mapped.
    Poisoned,
    /// The ring was removed: no reader can join it any more, and its name may belong to another one.
    Removed,
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
    /// The ring has a schema, and the message is not of its size.
    WrongSize {
        /// Its size in bytes.
        len: usize,
        /// The size of every message of the schema.
        expected: u32,
    },
    /// A consumer needed the space until the deadline.
    TimedOut {
        /// Row of the slowest consumer, as in [`RingStatus`](crate::endpoint::RingStatus).
        row: u32,
    },
    /// The batch would outgrow half the ring: commit it, then go on.
    BatchFull,
    /// A file of the ring was cut short while it was mapped.
    Poisoned,
    /// The ring was removed: no reader can join it any more, and its name may belong to another one.
    Removed,
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
    /// The producer died, everything it committed has been read, and no producer took over. Calls that find
    /// nothing ask at intervals: a death is known after at most 10 milliseconds and 128 calls.
    ProducerGone {
        /// Sequence of the message that never came.
        next: u64,
    },
    /// The producer went on without this consumer, which was too slow, or whose durable cursor was
    /// away for too long. It gates again, from the next message on.
    Evicted {
        /// How many messages are gone; it may be none.
        missed: u64,
        /// Sequence of the message that comes next.
        resumed_at: u64,
    },
    /// This consumer was evicted many times in a row, and the producer no longer waits for it: drop
    /// it and attach again, or observe.
    Expelled {
        /// Sequence of the message that would have come next.
        next: u64,
    },
    /// A typed reader: the message is not of its type's size. It was passed over, and what follows can be
    /// received.
    WrongSize {
        /// Number of the message.
        sequence: u64,
        /// Its size in bytes.
        len: u32,
        /// The size of the type.
        expected: u32,
    },
    /// A file of the ring was cut short while it was mapped. Nothing that follows can be trusted.
    Poisoned,
    /// The ring was removed, and everything that was published has been read. Its name may belong to
    /// another ring by now.
    Removed,
    /// The ring is damaged.
    Corrupt(Corrupt),
    /// This process is a fork of the one that made the handle.
    Forked,
}

/// Why waiting for a message ended without one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReceiveError {
    /// The producer died, everything it committed has been read, and no producer took over.
    ProducerGone {
        /// Sequence of the message that never came.
        next: u64,
    },
    /// The deadline passed.
    TimedOut,
    /// The producer went on without this consumer, which was too slow, or whose durable cursor was
    /// away for too long. It gates again, from the next message on.
    Evicted {
        /// How many messages are gone; it may be none.
        missed: u64,
        /// Sequence of the message that comes next.
        resumed_at: u64,
    },
    /// This consumer was evicted many times in a row, and the producer no longer waits for it: drop
    /// it and attach again, or observe.
    Expelled {
        /// Sequence of the message that would have come next.
        next: u64,
    },
    /// A typed reader: the message is not of its type's size. It was passed over, and what follows can be
    /// received.
    WrongSize {
        /// Number of the message.
        sequence: u64,
        /// Its size in bytes.
        len: u32,
        /// The size of the type.
        expected: u32,
    },
    /// A file of the ring was cut short while it was mapped. Nothing that follows can be trusted.
    Poisoned,
    /// The ring was removed, and everything that was published has been read. Its name may belong to
    /// another ring by now.
    Removed,
    /// The ring is damaged.
    Corrupt(Corrupt),
    /// This process is a fork of the one that made the handle.
    Forked,
}

impl AttachError {
    pub(crate) fn nowhere(nowhere: Nowhere, start: crate::ring::Start) -> Self {
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
            Self::WrongSize { .. } => 504,
            Self::Full { .. } => 501,
            Self::BatchFull => 502,
            Self::Poisoned => 411,
            Self::Removed => 413,
            Self::Forked => 408,
        }
    }
}

impl PublishError {
    /// A number for this kind of error that never changes, for other languages.
    pub fn code(&self) -> u32 {
        match self {
            Self::TooLarge { .. } => 500,
            Self::WrongSize { .. } => 504,
            Self::TimedOut { .. } => 503,
            Self::BatchFull => 502,
            Self::Poisoned => 411,
            Self::Removed => 413,
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
            Self::ProducerGone { .. } => 602,
            Self::Evicted { .. } => 604,
            Self::Expelled { .. } => 605,
            Self::WrongSize { .. } => 606,
            Self::Poisoned => 411,
            Self::Removed => 413,
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
            Self::Evicted { .. } => 604,
            Self::Expelled { .. } => 605,
            Self::WrongSize { .. } => 606,
            Self::Poisoned => 411,
            Self::Removed => 413,
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

impl fmt::Display for TryPublishError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLarge { len, max } => too_large(f, *len, *max),
            Self::WrongSize { len, expected } => Unfit {
                len: *len,
                expected: *expected,
            }
            .fmt(f),
            Self::Full { row } => write!(
                f,
                "the ring is full: the consumer in row {row} is a whole ring behind"
            ),
            Self::BatchFull => f.write_str(BATCH_FULL),
            Self::Poisoned => poisoned(f, &"the ring"),
            Self::Removed => removed(f, &"the ring"),
            Self::Forked => f.write_str(FORKED),
        }
    }
}

impl fmt::Display for PublishError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLarge { len, max } => too_large(f, *len, *max),
            Self::WrongSize { len, expected } => Unfit {
                len: *len,
                expected: *expected,
            }
            .fmt(f),
            Self::TimedOut { row } => write!(
                f,
                "timed out: the consumer in row {row} stayed a whole ring behind"
            ),
            Self::BatchFull => f.write_str(BATCH_FULL),
            Self::Poisoned => poisoned(f, &"the ring"),
            Self::Removed => removed(f, &"the ring"),
            Self::Forked => f.write_str(FORKED),
        }
    }
}

fn poisoned(f: &mut fmt::Formatter<'_>, what: &dyn fmt::Display) -> fmt::Result {
    write!(
        f,
        "a file of {what} was cut short while it was mapped: its contents are lost; remove the ring and create it again"
    )
}

fn removed(f: &mut fmt::Formatter<'_>, what: &dyn fmt::Display) -> fmt::Result {
    write!(
        f,
        "{what} was removed while it was open: drop the handle, and open the one that has its name now, if any"
    )
}

fn evicted(f: &mut fmt::Formatter<'_>, missed: u64, resumed_at: u64) -> fmt::Result {
    write!(
        f,
        "the producer went on without this consumer: {missed} messages are gone, the next is {resumed_at}"
    )
}

/// A message that is not of the size that the schema of its ring says.
#[derive(Clone, Copy, Debug)]
pub(super) struct Unfit {
    pub(super) len: usize,
    pub(super) expected: u32,
}

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { len, expected } = self;
        write!(
            f,
            "a message of {len} bytes does not fit the schema of the ring, whose messages have {expected}: publish that type, or use a ring without a schema"
        )
    }
}

fn wrong_size(f: &mut fmt::Formatter<'_>, sequence: u64, len: u32, expected: u32) -> fmt::Result {
    write!(
        f,
        "message {sequence} has {len} bytes instead of {expected}: its producer does not keep to the schema of the ring; what follows can be received"
    )
}

fn producer_gone(f: &mut fmt::Formatter<'_>, next: u64) -> fmt::Result {
    write!(
        f,
        "the producer is gone: it died before message {next}, and no other took over"
    )
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
            Self::ProducerGone { next } => producer_gone(f, *next),
            Self::Evicted { missed, resumed_at } => evicted(f, *missed, *resumed_at),
            Self::Expelled { next } => write!(
                f,
                "evicted too often: the producer no longer waits for this consumer (next was {next}); attach again, or observe"
            ),
            Self::WrongSize {
                sequence,
                len,
                expected,
            } => wrong_size(f, *sequence, *len, *expected),
            Self::Poisoned => poisoned(f, &"the ring"),
            Self::Removed => removed(f, &"the ring"),
            Self::Corrupt(corrupt) => write!(f, "the ring is damaged: {corrupt}"),
            Self::Forked => f.write_str(FORKED),
        }
    }
}

impl fmt::Display for ReceiveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ProducerGone { next } => producer_gone(f, *next),
            Self::TimedOut => f.write_str("timed out waiting for a message"),
            Self::Evicted { missed, resumed_at } => evicted(f, *missed, *resumed_at),
            Self::Expelled { next } => write!(
                f,
                "evicted too often: the producer no longer waits for this consumer (next was {next}); attach again, or observe"
            ),
            Self::WrongSize {
                sequence,
                len,
                expected,
            } => wrong_size(f, *sequence, *len, *expected),
            Self::Poisoned => poisoned(f, &"the ring"),
            Self::Removed => removed(f, &"the ring"),
            Self::Corrupt(corrupt) => write!(f, "the ring is damaged: {corrupt}"),
            Self::Forked => f.write_str(FORKED),
        }
    }
}

wrapping!(AttachError: (Corrupt, Open, Create, Name) {Io, Membarrier});
wrapping!(TryReceiveError: (Corrupt) {});
wrapping!(ReceiveError: (Corrupt) {});
impl std::error::Error for TryPublishError {}
impl std::error::Error for PublishError {}

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
