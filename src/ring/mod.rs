//! The protocol: how one producer and many readers share a stream of frames.
//!
//! Layer 3. Imports `sync`, `layout` and the memory seam of `segment`. Never: unsafe code, waiting,
//! system calls, clocks, allocation after an attach. Every read of a shared word happens once, into
//! private memory, and is checked there before it becomes a position, a length or an index.
//!
//! The life of a message: the producer makes room ([`producer`], which consults the [`gate`] and
//! keeps the [`index`]), writes the payload, and stores the commit word. A reader's [`cursor`] knows where
//! its next frame begins. A [`consumer`] polls the commit word there and gives the space back through its
//! row. An [`observer`] copies, then asks whether the copy was overtaken. A new producer finds the end of
//! the stream in [`recover`].
#![forbid(unsafe_code)]

pub mod cell;
pub mod consumer;
pub mod cursor;
pub mod gap;
pub mod gate;
pub mod index;
pub mod lanes;
pub mod losses;
pub mod observer;
pub mod pact;
pub mod pending;
pub mod permits;
pub mod producer;
pub mod recover;
pub mod salvage;
pub mod take;
pub mod tenure;

use crate::layout::frame::{CommitWord, GAP_BYTES, WORD};
use crate::layout::geometry::Geometry;
use core::fmt;

/// Where a frame begins, and the sequence of the message in it (or, for a pad, behind it; for a gap, the first
/// that does not exist).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Boundary {
    /// Byte offset in the endless stream.
    pub position: u64,
    /// Number of the message.
    pub sequence: u64,
}

/// Where a reader begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// The oldest message still in the ring that the index leads to: the first one that begins in its block of 4 KiB, an eighth of
    /// a ring below 32 KiB.
    Oldest,
    /// Behind the newest message: only what is published from now on.
    Latest,
    /// The message with this sequence. One before [`Oldest`](Self::Oldest) is found if a consumer or a cursor stands at it or
    /// before it, and so holds it.
    Sequence(u64),
}

/// Damage: something that cannot be in a ring whose producer follows the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Corrupt {
    /// A committed frame claims a length no message may have.
    Length {
        /// Where the frame begins.
        position: u64,
        /// What it claims, in bytes.
        len: u32,
    },
    /// A committed frame would cross the end of the ring.
    Wrap {
        /// Where the frame begins.
        position: u64,
        /// The payload length it claims, in bytes.
        len: u32,
    },
    /// A gap claims that a message follows which cannot.
    Gap {
        /// Where its frame begins.
        position: u64,
    },
    /// A gap, in a stream whose form has none.
    NoGaps {
        /// Where its frame begins.
        position: u64,
    },
    /// No entry of the block index leads to an intact frame.
    Index,
    /// A message is intact, and is not what the form that sends it can have sent.
    Message {
        /// Its number.
        sequence: u64,
        /// Its size in bytes.
        len: u32,
    },
}

impl fmt::Display for Corrupt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Length { position, len } => write!(
                f,
                "the frame at position {position} claims {len} bytes, more than the ring allows"
            ),
            Self::Wrap { position, len } => write!(
                f,
                "the frame at position {position} with {len} bytes would cross the end of the ring"
            ),
            Self::Gap { position } => write!(
                f,
                "the gap at position {position} begins elsewhere, or leads where no gap may lead"
            ),
            Self::NoGaps { position } => write!(
                f,
                "there is a gap at position {position}, and the sender of this form leaves none"
            ),
            Self::Index => f.write_str("no index entry leads to an intact frame"),
            Self::Message { sequence, len } => write!(
                f,
                "message {sequence}, of {len} bytes, is not one that its sender can have sent"
            ),
        }
    }
}

impl std::error::Error for Corrupt {}

/// How far `a` is ahead of `b`, negative when behind. Exact while they are within 2^63.
#[inline]
pub const fn ahead(a: u64, b: u64) -> i64 {
    a.wrapping_sub(b) as i64
}

/// What a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A message.
    Message,
    /// The rest of a lap.
    Pad,
    /// Sequences that do not exist. What its payload says is not checked yet.
    Gap,
}

/// A committed frame, checked against the geometry.
#[derive(Clone, Copy, Debug)]
pub struct Frame {
    /// Payload bytes.
    pub len: u32,
    /// What it is.
    pub kind: Kind,
    /// Where the next frame begins.
    pub end: u64,
}

impl Frame {
    /// Checks what a commit word claims about the frame at `position`.
    #[inline(always)]
    pub fn decode(geometry: &Geometry, position: u64, word: CommitWord) -> Result<Self, Corrupt> {
        let len = word.payload_bytes();
        if word.is_pad() {
            return Self::without_message(geometry, position, len);
        }
        if len > geometry.max_message {
            return Err(Corrupt::Length { position, len });
        }
        let end = position + geometry.frame(u64::from(len));
        // A frame always leaves room for the next commit word in its own lap.
        if end + WORD > geometry.lap_end(position) {
            return Err(Corrupt::Wrap { position, len });
        }
        Ok(Self {
            len,
            kind: Kind::Message,
            end,
        })
    }

    /// As [`decode`](Self::decode), of a frame that has no message. Where it ends says what it is: a gap leaves
    /// room for the next commit word, like a message, and a pad does not.
    #[cold]
    #[inline(never)]
    fn without_message(geometry: &Geometry, position: u64, len: u32) -> Result<Self, Corrupt> {
        let lap_end = geometry.lap_end(position);
        let end = position + WORD + u64::from(len);
        // A pad is shorter than the frame that did not fit. So no pad fills a lap, no pad follows a
        // pad, and a reader that steps over pads cannot loop for ever.
        let longest = geometry.frame(u64::from(geometry.max_message));
        if end == lap_end && u64::from(len) < longest {
            let kind = Kind::Pad;
            return Ok(Self { len, kind, end });
        }
        let end = position + geometry.frame(u64::from(GAP_BYTES));
        if len == GAP_BYTES && end + WORD <= lap_end {
            let kind = Kind::Gap;
            return Ok(Self { len, kind, end });
        }
        Err(Corrupt::Wrap { position, len })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_held_to_the_byte() {
        let geometry = Geometry::new(4096, 8, 1, 0, false).unwrap();
        let decode = |position, word| Frame::decode(&geometry, position, word);
        let message = |len| CommitWord::message(len, 0);
        // The largest length, and one more.
        assert_eq!(decode(0, message(1024)).unwrap().end, 1032);
        let refused = decode(0, message(1025)).unwrap_err();
        assert_eq!(
            refused,
            Corrupt::Length {
                position: 0,
                len: 1025
            }
        );
        // There is room for the next commit word, and there is none.
        assert_eq!(decode(4000, message(80)).unwrap().end, 4088);
        let refused = decode(4000, message(81)).unwrap_err();
        assert_eq!(
            refused,
            Corrupt::Wrap {
                position: 4000,
                len: 81
            }
        );
        // A pad ends with its lap, and is shorter than what did not fit.
        let pad = |bytes| CommitWord::pad(bytes, 0);
        assert_eq!(decode(4096 - 1032, pad(1032)).unwrap().kind, Kind::Pad);
        assert!(decode(4096 - 1040, pad(1040)).is_err());
        assert!(decode(4000, pad(88)).is_err());
        // A gap leaves room for a word behind it; a pad of as many bytes ends its lap; there is nothing between.
        let kind = |position| decode(position, CommitWord::gap(0)).map(|frame| frame.kind);
        assert_eq!(decode(0, CommitWord::gap(0)).unwrap().end, 24);
        assert_eq!(kind(4096 - 24 - 8), Ok(Kind::Gap));
        assert_eq!(kind(4096 - 24), Ok(Kind::Pad));
        for refused in [4096 - 16, 4096 - 8] {
            assert!(kind(refused).is_err());
        }
        for bytes in [8, 16, 32, 1032] {
            assert!(decode(0, pad(bytes)).is_err(), "{bytes}");
        }
        for (corrupt, says) in [
            (
                Corrupt::Length {
                    position: 8,
                    len: 9,
                },
                "position 8 claims 9 bytes",
            ),
            (
                Corrupt::Wrap {
                    position: 8,
                    len: 9,
                },
                "position 8 with 9 bytes would cross",
            ),
            (
                Corrupt::Gap { position: 8 },
                "the gap at position 8 begins elsewhere",
            ),
            (Corrupt::NoGaps { position: 8 }, "a gap at position 8"),
            (Corrupt::Index, "no index entry"),
            (
                Corrupt::Message {
                    sequence: 8,
                    len: 9,
                },
                "message 8, of 9 bytes",
            ),
        ] {
            assert!(corrupt.to_string().contains(says), "{corrupt}");
        }
    }
}
