//! What can go wrong with a request and with a reply.
//!
//! Layer 7. Letters that expect no reply have the errors of a queue.

use crate::queue::{SendError, TakeError};
use crate::segment::{wrapping, OpenError};
use core::fmt;

/// Why a request got no reply.
#[derive(Debug)]
#[non_exhaustive]
pub enum RequestError {
    /// No reply came until the deadline.
    TimedOut,
    /// No reply will come: the receiver finished the letter without one, or no receiver is left.
    PeerGone,
    /// The mailbox carries letters only.
    OneWay,
    /// The letter was not sent.
    Send(SendError),
    /// Replies cannot be received.
    Take(TakeError),
}

/// Why a reply was not sent.
#[derive(Debug)]
#[non_exhaustive]
pub enum ReplyError {
    /// The letter was no request.
    NotAsked,
    /// The way back to the client could not be opened.
    Open(OpenError),
    /// The reply could not be sent.
    Send(SendError),
}

impl RequestError {
    /// A number for this kind of error that never changes, for other languages.
    pub fn code(&self) -> u32 {
        match self {
            Self::TimedOut => 780,
            Self::PeerGone => 781,
            Self::OneWay => 782,
            Self::Send(error) => error.code(),
            Self::Take(error) => error.code(),
        }
    }
}

impl ReplyError {
    /// Returns `true` if the client could not be reached, rather than the caller's argument being wrong.
    pub(super) fn is_out_of_reach(&self) -> bool {
        !matches!(
            self,
            Self::NotAsked | Self::Send(SendError::TooLarge { .. } | SendError::Forked)
        )
    }

    /// A number for this kind of error that never changes, for other languages.
    pub fn code(&self) -> u32 {
        match self {
            Self::NotAsked => 785,
            Self::Open(error) => error.code(),
            Self::Send(error) => error.code(),
        }
    }
}

impl fmt::Display for RequestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TimedOut => f.write_str("no reply came until the deadline"),
            Self::PeerGone => f.write_str(
                "no receiver will reply: the one that had the letter finished it without a reply, or no receiver is left",
            ),
            Self::OneWay => {
                f.write_str("the mailbox carries letters only: create it without one_way to ask")
            }
            Self::Send(error) => error.fmt(f),
            Self::Take(error) => error.fmt(f),
        }
    }
}

impl fmt::Display for ReplyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAsked => f.write_str("the letter asks for no reply: acknowledge it"),
            Self::Open(error) => error.fmt(f),
            Self::Send(error) => error.fmt(f),
        }
    }
}

wrapping!(RequestError: (Send, Take) {});
wrapping!(ReplyError: (Open, Send) {});

impl From<SendError> for RequestError {
    fn from(error: SendError) -> Self {
        match error {
            SendError::TimedOut { .. } => Self::TimedOut,
            error => Self::Send(error),
        }
    }
}

impl From<TakeError> for RequestError {
    fn from(error: TakeError) -> Self {
        Self::Take(error)
    }
}

impl From<SendError> for ReplyError {
    fn from(error: SendError) -> Self {
        Self::Send(error)
    }
}

impl From<OpenError> for ReplyError {
    fn from(error: OpenError) -> Self {
        Self::Open(error)
    }
}
