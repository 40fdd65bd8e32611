//! What can go wrong with a handle: one small enum per operation.
//!
//! Layer 5. Variants carry the numbers a person needs; `code` is stable, for other languages.

use crate::attach::{poisoned, removed, FORKED};
use crate::ring::producer::Refused;
use crate::ring::Corrupt;
use crate::segment::wrapping;
use core::fmt;

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
    /// The sequence to skip to lies before the next one: sequences only grow.
    Behind {
        /// The sequence of the next message.
        next: u64,
    },
    /// The sequence to skip to is more than 2^62 ahead of the first sequence of the ring.
    TooFar {
        /// The last sequence that can be skipped to.
        last: u64,
    },
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
    /// The sequence to skip to lies before the next one: sequences only grow.
    Behind {
        /// The sequence of the next message.
        next: u64,
    },
    /// The sequence to skip to is more than 2^62 ahead of the first sequence of the ring.
    TooFar {
        /// The last sequence that can be skipped to.
        last: u64,
    },
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
            Self::Behind { .. } => 505,
            Self::TooFar { .. } => 506,
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
            Self::Behind { .. } => 505,
            Self::TooFar { .. } => 506,
            Self::Poisoned => 411,
            Self::Removed => 413,
            Self::Forked => 408,
        }
    }
}

/// Why a call that does not wait received nothing, where that is no error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Nothing {
    /// There is nothing now.
    Yet,
    /// The producer closed the ring, and everything has been read.
    More,
}

impl TryReceiveError {
    /// Tells apart what a call that waits has as a result, and what it has as an error.
    pub(crate) fn settle(self) -> Result<Nothing, ReceiveError> {
        Err(match self {
            Self::Empty => return Ok(Nothing::Yet),
            Self::Closed => return Ok(Nothing::More),
            Self::ProducerGone { next } => ReceiveError::ProducerGone { next },
            Self::Expelled { next } => ReceiveError::Expelled { next },
            Self::WrongSize {
                sequence,
                len,
                expected,
            } => ReceiveError::WrongSize {
                sequence,
                len,
                expected,
            },
            Self::Poisoned => ReceiveError::Poisoned,
            Self::Removed => ReceiveError::Removed,
            Self::Corrupt(corrupt) => ReceiveError::Corrupt(corrupt),
            Self::Forked => ReceiveError::Forked,
        })
    }

    /// A number for this kind of error that never changes, for other languages.
    pub fn code(&self) -> u32 {
        match self {
            Self::Empty => 600,
            Self::Closed => 601,
            Self::ProducerGone { .. } => 602,
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
            Self::Expelled { .. } => 605,
            Self::WrongSize { .. } => 606,
            Self::Poisoned => 411,
            Self::Removed => 413,
            Self::Corrupt(_) => 407,
            Self::Forked => 408,
        }
    }
}

const BATCH_FULL: &str = "the batch would outgrow half the ring: commit it, then go on";

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
            Self::Behind { next } => behind(f, *next),
            Self::TooFar { last } => too_far(f, *last),
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
            Self::Behind { next } => behind(f, *next),
            Self::TooFar { last } => too_far(f, *last),
            Self::Poisoned => poisoned(f, &"the ring"),
            Self::Removed => removed(f, &"the ring"),
            Self::Forked => f.write_str(FORKED),
        }
    }
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

fn behind(f: &mut fmt::Formatter<'_>, next: u64) -> fmt::Result {
    write!(
        f,
        "the next message is {next}: sequences only grow, so skip to a later one"
    )
}

fn too_far(f: &mut fmt::Formatter<'_>, last: u64) -> fmt::Result {
    write!(
        f,
        "a ring goes no further than to sequence {last} by skipping: create one with a later first sequence"
    )
}

impl fmt::Display for TryReceiveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("no message yet"),
            Self::Closed => f.write_str("the ring is closed and everything has been read"),
            Self::ProducerGone { next } => producer_gone(f, *next),
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

wrapping!(TryReceiveError: (Corrupt) {});
wrapping!(ReceiveError: (Corrupt) {});
impl std::error::Error for TryPublishError {}
impl std::error::Error for PublishError {}
