//! The protocol: how one producer and many readers share a stream of frames.
//!
//! Layer 3. Imports `sync`, `layout` and the memory seam of `segment`. Never: unsafe code, waiting,
//! system calls, clocks, allocation after an attach. Every read of a shared word happens once, into
//! private memory, and is checked there before it becomes a position, a length or an index.
//!
//! The life of a message: the producer makes room ([`producer`], which consults the [`gate`] and
//! keeps the [`index`]), writes the payload, and stores the commit word. A [`consumer`] polls the
//! commit word of its own next frame and gives the space back through its row. An [`observer`]
//! copies, then asks whether the copy was overtaken. A new producer finds the end of the stream
//! in [`recover`].
#![forbid(unsafe_code)]

pub mod consumer;
pub mod gate;
pub mod index;
pub mod observer;
pub mod permits;
pub mod producer;
pub mod recover;
pub mod take;

use crate::layout::frame::{CommitWord, WORD};
use crate::layout::geometry::Geometry;
use core::fmt;

/// Where a frame begins, and the sequence of the message in it (or, for a pad, behind it).
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
    /// The oldest message still in the ring.
    Oldest,
    /// Behind the newest message: only what is published from now on.
    Latest,
    /// The message with this sequence.
    Sequence(u64),
}

/// What cannot be in a ring whose producer follows the protocol.
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
    /// No entry of the block index leads to an intact frame.
    Index,
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
            Self::Index => f.write_str("no index entry leads to an intact frame"),
        }
    }
}

impl std::error::Error for Corrupt {}

/// How far `a` is ahead of `b`, negative when behind. Exact while they are within 2^63.
#[inline]
pub const fn ahead(a: u64, b: u64) -> i64 {
    a.wrapping_sub(b) as i64
}

/// A committed frame, checked against the geometry.
#[derive(Clone, Copy, Debug)]
pub struct Frame {
    /// Payload bytes.
    pub len: u32,
    /// Whether it only fills the lap.
    pub pad: bool,
    /// Where the next frame begins.
    pub end: u64,
}

impl Frame {
    /// Checks what a commit word claims about the frame at `position`.
    #[inline(always)]
    pub fn decode(geometry: &Geometry, position: u64, word: CommitWord) -> Result<Self, Corrupt> {
        let len = word.payload_bytes();
        let lap_end = geometry.lap_end(position);
        if word.is_pad() {
            let end = position + WORD + u64::from(len);
            // Shorter than what did not fit: so no pad fills a lap, no pad follows a pad, and
            // nobody who steps over pads can be led in circles.
            let longest = geometry.frame(u64::from(geometry.max_message));
            return if end == lap_end && u64::from(len) < longest {
                Ok(Self {
                    len,
                    pad: true,
                    end,
                })
            } else {
                Err(Corrupt::Wrap { position, len })
            };
        }
        if len > geometry.max_message {
            return Err(Corrupt::Length { position, len });
        }
        let end = position + geometry.frame(u64::from(len));
        // A frame always leaves room for the next commit word in its own lap.
        if end + WORD > lap_end {
            return Err(Corrupt::Wrap { position, len });
        }
        Ok(Self {
            len,
            pad: false,
            end,
        })
    }
}
