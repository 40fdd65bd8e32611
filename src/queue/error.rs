//! What can go wrong with a queue: one enum per direction.
//!
//! Layer 7.

use crate::endpoint::{AttachError, TryPublishError};
use crate::ring::Corrupt;
use crate::segment::{wrapping, CreateError, OpenError, Trouble};
use core::fmt;
use core::time::Duration;

/// The receiver that is in the way of a sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Holder {
    /// The row it holds.
    pub row: u32,
    /// Its process, in its own process namespace; 0 where that is not known.
    pub pid: u32,
}

/// Why a message was not sent. Nothing of it is in the queue.
#[derive(Debug)]
#[non_exhaustive]
pub enum SendError {
    /// The lane is full: the receivers are as many messages behind as the queue is deep.
    Full {
        /// The receiver that holds the oldest message, if one does.
        holder: Option<Holder>,
    },
    /// The lane was full until the deadline.
    TimedOut {
        /// The receiver that holds the oldest message, if one does.
        holder: Option<Holder>,
    },
    /// The message is larger than any may be.
    TooLarge {
        /// Its size in bytes.
        len: usize,
        /// What the queue allows, in bytes.
        max: u32,
    },
    /// There is no such priority.
    Priority {
        /// What was asked for.
        priority: u8,
    },
    /// The queue has as many lanes as there can be, and all their senders live.
    NoLane,
    /// The lane could not be made.
    Create(CreateError),
    /// The lane could not be taken over.
    Attach(AttachError),
    /// This process is a fork of the one that made the sender.
    Forked,
    /// A file of the queue was cut short while it was mapped.
    Poisoned,
    /// The queue was removed since it was opened; its name may lead to another one by now.
    Removed,
}

/// Why no message was received.
#[derive(Debug)]
#[non_exhaustive]
pub enum TakeError {
    /// There is no message now.
    Empty,
    /// There was no message until the deadline.
    TimedOut,
    /// A lane is damaged.
    Corrupt(Corrupt),
    /// A lane could not be opened.
    Open(OpenError),
    /// This process is a fork of the one that made the receiver.
    Forked,
    /// A file of the queue was cut short while it was mapped.
    Poisoned,
    /// The queue was removed since it was opened; its name may lead to another one by now.
    Removed,
}

/// Why a message was not acknowledged. It is as if the receiver had not tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AckError {
    /// The receiver held the message for longer than the lease, and the queue took it back. Another receiver is told
    /// that it is [redelivered](crate::queue::Delivery::redelivered).
    Expired {
        /// The lane of the message.
        lane: u32,
        /// Its number in the lane.
        sequence: u64,
        /// The lease of the queue.
        lease: Duration,
    },
    /// This process is a fork of the one that made the receiver, which still has the message.
    Forked,
}

impl AckError {
    /// A number for this kind of error that never changes, for other languages.
    pub fn code(&self) -> u32 {
        match self {
            Self::Expired { .. } => 717,
            Self::Forked => 718,
        }
    }
}

impl fmt::Display for AckError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Expired {
                lane,
                sequence,
                lease,
            } => write!(
                f,
                "message {sequence} of lane {lane} was not acknowledged within {lease:?} and goes to another receiver: acknowledge sooner, or create the queue with a longer lease"
            ),
            Self::Forked => f.write_str("this process is a fork: open the queue anew"),
        }
    }
}

impl std::error::Error for AckError {}

impl SendError {
    /// A number for this kind of error that never changes, for other languages.
    pub fn code(&self) -> u32 {
        match self {
            Self::Full { .. } => 700,
            Self::TimedOut { .. } => 701,
            Self::TooLarge { .. } => 702,
            Self::Priority { .. } => 703,
            Self::NoLane => 704,
            Self::Create(error) => error.code(),
            Self::Attach(error) => error.code(),
            Self::Forked => 705,
            Self::Poisoned => 706,
            Self::Removed => 707,
        }
    }
}

impl TakeError {
    /// A number for this kind of error that never changes, for other languages.
    pub fn code(&self) -> u32 {
        match self {
            Self::Empty => 710,
            Self::TimedOut => 711,
            Self::Corrupt(_) => 712,
            Self::Open(error) => error.code(),
            Self::Forked => 713,
            Self::Poisoned => 714,
            Self::Removed => 716,
        }
    }
}

struct HeldBy(Option<Holder>);

impl fmt::Display for HeldBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(Holder { row, pid }) => write!(
                f,
                "the receiver in row {row}, process {pid}, holds the oldest message"
            ),
            None => f.write_str("no receiver has taken the oldest message"),
        }
    }
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full { holder } => write!(f, "the queue is full: {}", HeldBy(*holder)),
            Self::TimedOut { holder } => write!(
                f,
                "the queue was full until the deadline: {}",
                HeldBy(*holder)
            ),
            Self::TooLarge { len, max } => write!(
                f,
                "a message of {len} bytes does not fit: the queue allows {max}"
            ),
            Self::Priority { priority } => {
                write!(f, "there is no priority {priority}: use 0 to 7")
            }
            Self::NoLane => f.write_str("the queue has no lane left: too many senders are alive"),
            Self::Create(error) => error.fmt(f),
            Self::Attach(error) => error.fmt(f),
            Self::Forked => f.write_str("this process is a fork: open the queue anew"),
            Self::Poisoned => f.write_str("a file of the queue was cut short: create it anew"),
            Self::Removed => {
                f.write_str("the queue was removed while it was open: drop the handle, and open the one that has its name now, if any")
            }
        }
    }
}

impl fmt::Display for TakeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("no message is there"),
            Self::TimedOut => f.write_str("no message came until the deadline"),
            Self::Corrupt(corrupt) => write!(f, "a lane is damaged: {corrupt}"),
            Self::Open(error) => error.fmt(f),
            Self::Forked => f.write_str("this process is a fork: open the queue anew"),
            Self::Poisoned => f.write_str("a file of the queue was cut short: create it anew"),
            Self::Removed => {
                f.write_str("the queue was removed while it was open: drop the handle, and open the one that has its name now, if any")
            }
        }
    }
}

wrapping!(SendError: (Create, Attach) {});
wrapping!(TakeError: (Corrupt, Open) {});

impl From<CreateError> for SendError {
    fn from(error: CreateError) -> Self {
        Self::Create(error)
    }
}

impl From<AttachError> for SendError {
    fn from(error: AttachError) -> Self {
        match error {
            AttachError::Forked => Self::Forked,
            AttachError::Poisoned { .. } => Self::Poisoned,
            AttachError::Removed { .. } => Self::Removed,
            error => Self::Attach(error),
        }
    }
}

impl From<OpenError> for SendError {
    fn from(error: OpenError) -> Self {
        Self::Attach(error.into())
    }
}

impl From<TryPublishError> for SendError {
    fn from(error: TryPublishError) -> Self {
        match error {
            TryPublishError::TooLarge { len, max } => Self::TooLarge { len, max },
            TryPublishError::Forked => Self::Forked,
            TryPublishError::Poisoned => Self::Poisoned,
            TryPublishError::Removed => Self::Removed,
            // A lane has no schema, and its sender no batch.
            TryPublishError::WrongSize { len, expected } => Self::TooLarge { len, max: expected },
            // Nor does it skip.
            TryPublishError::Full { .. }
            | TryPublishError::BatchFull
            | TryPublishError::Behind { .. }
            | TryPublishError::TooFar { .. } => Self::Full { holder: None },
        }
    }
}

impl From<Corrupt> for TakeError {
    fn from(corrupt: Corrupt) -> Self {
        Self::Corrupt(corrupt)
    }
}

impl From<OpenError> for TakeError {
    fn from(error: OpenError) -> Self {
        Self::Open(error)
    }
}

impl From<Trouble> for SendError {
    fn from(trouble: Trouble) -> Self {
        match trouble {
            Trouble::Forked => Self::Forked,
            Trouble::Poisoned => Self::Poisoned,
            Trouble::Removed => Self::Removed,
        }
    }
}

impl From<Trouble> for TakeError {
    fn from(trouble: Trouble) -> Self {
        match trouble {
            Trouble::Forked => Self::Forked,
            Trouble::Poisoned => Self::Poisoned,
            Trouble::Removed => Self::Removed,
        }
    }
}
