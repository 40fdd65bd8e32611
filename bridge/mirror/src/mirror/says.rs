//! What a mirror wants done, and what it says of itself.

use crate::ack::Ack;
use crate::request::Request;
use core::fmt;
use slipring::endpoint::Why;

/// What a mirror wants sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Ask for these sequences. The answers go to [`Mirror::frame`](super::Mirror::frame), as [`Path::Answer`]; after the last one, or if
    /// there is none, [`Mirror::answered`](super::Mirror::answered) is told of this number.
    Fetch {
        /// Which request.
        id: u64,
        /// What it asks for.
        request: Request,
    },
    /// Tell the source how far this mirror is.
    Ack(Ack),
    /// Ask for the source's description, with this mirror's name and instance. The answers go to [`Mirror::meta`](super::Mirror::meta).
    Ask,
}

/// What is to be written to the mirror's ring next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Write<'m> {
    /// Another producer took over the source: take over the ring anew, so that its readers learn of it.
    TakeOver,
    /// Publish this.
    Message {
        /// The sequence that it gets.
        sequence: u64,
        /// Its bytes.
        payload: &'m [u8],
    },
    /// Skip to this sequence.
    Gap {
        /// The first sequence behind the gap.
        end: u64,
        /// Why.
        why: Why,
    },
    /// Close the ring: its source was closed there.
    Close,
}

/// Which way a frame came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Path {
    /// Sent to all mirrors.
    Stream,
    /// As an answer to this one.
    Answer,
}

/// Messages that came as the source sent them first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sent {
    /// The first sequence.
    pub first: u64,
    /// The first behind them.
    pub end: u64,
    /// When they were sent, in nanoseconds since 1970, by the clock of the source's host.
    pub wall_ns: u64,
}

/// Why a mirror cannot go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Stop {
    /// The source's ring is another one than the mirrored, and of that no frame comes: it was removed, and made again.
    Recreated {
        /// The identity of the new one.
        ring: u128,
    },
    /// Another mirror of this name is alive.
    NameTaken,
}

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Recreated { ring } => write!(
                f,
                "the source ring was made anew, as {ring:032x}: remove the mirror, or let it follow"
            ),
            Self::NameTaken => f.write_str(
                "another mirror of this name is alive: give each mirror of a ring a name of its own",
            ),
        }
    }
}

impl std::error::Error for Stop {}

/// What a mirror has seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Messages written.
    pub messages: u64,
    /// Sequences that were lost on the way, and became gaps.
    pub lost: u64,
    /// Sequences that the source itself did not have.
    pub skipped: u64,
    /// Messages that came again.
    pub duplicates: u64,
    /// Messages that came too early, with no room to hold them.
    pub unheld: u64,
    /// Requests for what was missing.
    pub fetches: u64,
    /// Requests without an answer in time, or with one of no use.
    pub fetches_failed: u64,
    /// Frames of other rings.
    pub foreign: u64,
    /// Frames that were none.
    pub damaged: u64,
}
