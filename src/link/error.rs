//! What can go wrong with a link.
//!
//! Layer 7.

use crate::endpoint::{AttachError, PairedError, PublishError, ReceiveError};
use crate::ring::Corrupt;
use crate::segment::{wrapping, CreateError, OpenError, RemoveError, Trouble};
use core::fmt;

/// Why there is no link, or nothing was sent or received on it.
#[derive(Debug)]
#[non_exhaustive]
pub enum LinkError {
    /// The text is no valid name, or both names are the same.
    Name {
        /// The text.
        name: String,
    },
    /// A live process is connected under this name.
    Taken {
        /// The name.
        name: String,
        /// The process.
        pid: u32,
    },
    /// The other side left or died, and everything it sent has been received.
    PeerGone,
    /// The deadline passed.
    TimedOut,
    /// The other side has not read a whole capacity of messages.
    Full,
    /// There is no message now.
    Empty,
    /// The message is larger than any may be.
    TooLarge {
        /// Its size in bytes.
        len: usize,
        /// What the link allows, in bytes.
        max: u32,
    },
    /// The link could not be made.
    Create(CreateError),
    /// The link could not be joined.
    Attach(AttachError),
    /// The link could not be removed.
    Remove(RemoveError),
    /// The link is damaged.
    Corrupt(Corrupt),
    /// This process is a fork of the one that connected.
    Forked,
    /// A file of the link was cut short while it was mapped.
    Poisoned,
    /// The link was removed since it was opened; its name may lead to another one by now.
    Removed,
}

impl LinkError {
    /// A number for this kind of error that never changes, for other languages.
    pub fn code(&self) -> u32 {
        match self {
            Self::Name { .. } => 760,
            Self::Taken { .. } => 761,
            Self::PeerGone => 762,
            Self::TimedOut => 763,
            Self::Full => 764,
            Self::Empty => 765,
            Self::TooLarge { .. } => 766,
            Self::Create(error) => error.code(),
            Self::Attach(error) => error.code(),
            Self::Remove(error) => error.code(),
            Self::Corrupt(_) => 767,
            Self::Forked => 768,
            Self::Poisoned => 769,
            Self::Removed => 770,
        }
    }
}

impl fmt::Display for LinkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name { name } => write!(
                f,
                "{name:?} cannot be linked: use two different names of 1 to 31 of A-Z a-z 0-9 _ -"
            ),
            Self::Taken { name, pid } => {
                write!(f, "process {pid} is connected as {name} already")
            }
            Self::PeerGone => f.write_str("the other side is gone"),
            Self::TimedOut => f.write_str("the other side did nothing until the deadline"),
            Self::Full => f.write_str("the other side is behind: there is no room"),
            Self::Empty => f.write_str("no message is there"),
            Self::TooLarge { len, max } => write!(
                f,
                "a message of {len} bytes does not fit: the link allows {max}"
            ),
            Self::Create(error) => error.fmt(f),
            Self::Attach(error) => error.fmt(f),
            Self::Remove(error) => error.fmt(f),
            Self::Corrupt(corrupt) => write!(f, "the link is damaged: {corrupt}"),
            Self::Forked => f.write_str("this process is a fork: connect anew"),
            Self::Poisoned => f.write_str("a file of the link was cut short: create it anew"),
            Self::Removed => {
                f.write_str("the link was removed while it was open: drop the handle, and open the one that has its name now, if any")
            }
        }
    }
}

wrapping!(LinkError: (Create, Attach, Remove, Corrupt) {});

impl From<CreateError> for LinkError {
    fn from(error: CreateError) -> Self {
        Self::Create(error)
    }
}

impl From<OpenError> for LinkError {
    fn from(error: OpenError) -> Self {
        Self::Create(CreateError::Open(error))
    }
}

impl From<RemoveError> for LinkError {
    fn from(error: RemoveError) -> Self {
        Self::Remove(error)
    }
}

impl From<AttachError> for LinkError {
    fn from(error: AttachError) -> Self {
        match error {
            AttachError::Forked => Self::Forked,
            AttachError::Poisoned { .. } => Self::Poisoned,
            AttachError::Removed { .. } => Self::Removed,
            error => Self::Attach(error),
        }
    }
}

impl From<PairedError> for LinkError {
    fn from(error: PairedError) -> Self {
        match error {
            PairedError::Gone => Self::PeerGone,
            PairedError::TimedOut => Self::TimedOut,
            PairedError::Full => Self::Full,
            PairedError::Empty => Self::Empty,
            PairedError::Publish(PublishError::TooLarge { len, max }) => {
                Self::TooLarge { len, max }
            }
            PairedError::Publish(PublishError::Poisoned) => Self::Poisoned,
            PairedError::Publish(PublishError::Removed) => Self::Removed,
            PairedError::Publish(PublishError::Forked) => Self::Forked,
            PairedError::Receive(ReceiveError::Corrupt(corrupt)) => Self::Corrupt(corrupt),
            PairedError::Receive(ReceiveError::Poisoned) => Self::Poisoned,
            PairedError::Receive(ReceiveError::Removed) => Self::Removed,
            PairedError::Receive(ReceiveError::Forked) => Self::Forked,
            // These rings neither evict nor batch.
            PairedError::Publish(_) | PairedError::Receive(_) => Self::TimedOut,
        }
    }
}

impl From<Trouble> for LinkError {
    fn from(trouble: Trouble) -> Self {
        match trouble {
            Trouble::Forked => Self::Forked,
            Trouble::Poisoned => Self::Poisoned,
            Trouble::Removed => Self::Removed,
        }
    }
}
