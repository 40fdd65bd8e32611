//! The frame: what a source sends, and what it answers with.
//!
//! All numbers are little-endian. A frame has at most [`LIMIT`] bytes: a header of [`HEADER`], then the body.
//!
//! | bytes | field |
//! |---|---|
//! | 0..4 | magic, `SLMF` |
//! | 4..6 | version, 1 |
//! | 6..8 | kind: one of 1 messages, 2 a part of a message, 3 a gap, 4 a heartbeat, 5 a heartbeat of a closed ring |
//! | 8..24 | identity of the ring |
//! | 24..32 | epoch: how many producers the ring has had |
//! | 32..40 | the first sequence of that epoch |
//! | 40..48 | the first sequence of the frame; of a heartbeat, the one behind the last that was sent |
//! | 48..56 | the oldest sequence that the ring still has |
//! | 56..64 | when it was sent, in nanoseconds since 1970, by the clock of the source's host |
//! | 64..72 | of a gap, the first sequence behind it; of a part, its offset (low half) and the length of the message (high half); else 0 |
//! | 72..76 | how many messages; 1 of a part, else 0 |
//! | 76..80 | bytes of the body |
//! | 80..84 | of a gap, the code of the reason; else 0 |
//! | 84..88 | CRC-32 (IEEE 802.3) of all other bytes |
//!
//! The body of messages is, for each message, its length in 4 bytes, its payload, and zeroes up to a multiple
//! of 8. Their sequences follow each other. The body of a part is bytes of the message, without a length.
//! Other frames have no body.

mod encode;
mod error;
mod layout;
mod messages;

pub(crate) use encode::{gap, heartbeat, messages, parts};
pub use error::FrameError;
pub use layout::{Stamp, FARTHEST, HEADER, LIMIT, LONGEST_WHOLE};
pub(crate) use messages::{put_record, record};
pub use messages::{record_bytes, Messages};

use crate::wire::{checksum, Fields};
use crate::VERSION;
use layout::{Kind, CHECKSUM_AT, CLOSED, GAP, HEARTBEAT, MAGIC, MESSAGES, PART};
use slipring::endpoint::Why;

/// What a frame carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content<'a> {
    /// Messages whose sequences follow each other.
    Messages(Messages<'a>),
    /// A part of a message that is longer than [`LONGEST_WHOLE`].
    Part {
        /// Where it lies in the message.
        offset: u32,
        /// The length of the message.
        total: u32,
        /// Its bytes, at least one.
        bytes: &'a [u8],
    },
    /// The sequences from the first of the frame on, before `end`, do not exist or are gone.
    Gap {
        /// The first sequence behind it.
        end: u64,
        /// Why.
        why: Why,
    },
    /// Everything before the first sequence of the frame was sent.
    Heartbeat {
        /// Whether the producer closed the ring there.
        closed: bool,
    },
}

/// A frame that was checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// What every frame says.
    pub stamp: Stamp,
    /// Its first sequence.
    pub first: u64,
    /// What it carries.
    pub content: Content<'a>,
}

impl<'a> Frame<'a> {
    /// Reads a frame. Hostile bytes are refused, and allocate nothing.
    ///
    /// # Errors
    /// [`FrameError`]. The version is looked at before all that may differ between versions.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, FrameError> {
        let len = bytes.len();
        let short = FrameError::Short { len };
        let mut fields = Fields::new(bytes);
        let found = fields.u32().ok_or(short)?;
        if found != MAGIC {
            return Err(FrameError::Magic { found });
        }
        let version = fields.u16().ok_or(short)?;
        if version != VERSION {
            return Err(FrameError::Version { found: version });
        }
        if len > LIMIT {
            return Err(FrameError::Long { len });
        }
        let body = bytes.get(HEADER..).ok_or(short)?;
        let number = fields.u16().ok_or(short)?;
        let ring = fields.u128().ok_or(short)?;
        let mut next = || fields.u64().ok_or(short);
        let (epoch, epoch_first, first) = (next()?, next()?, next()?);
        let (oldest, wall_ns, extra) = (next()?, next()?, next()?);
        let mut next = || fields.u32().ok_or(short);
        let (count, said, code, sum) = (next()?, next()?, next()?, next()?);
        if sum != checksum(bytes, CHECKSUM_AT) {
            return Err(FrameError::Checksum);
        }
        if said as usize != body.len() {
            return Err(FrameError::Length {
                said,
                found: body.len(),
            });
        }
        let kind = Kind {
            number,
            extra,
            count,
            code,
        };
        Ok(Self {
            stamp: Stamp {
                ring,
                epoch,
                epoch_first,
                oldest,
                wall_ns,
            },
            first,
            content: Content::of(kind, first, body)?,
        })
    }

    /// Returns the first sequence behind what the frame speaks of.
    pub fn end(&self) -> u64 {
        match self.content {
            Content::Messages(messages) => self.first.wrapping_add(u64::from(messages.remaining())),
            Content::Part { .. } => self.first.wrapping_add(1),
            Content::Gap { end, .. } => end,
            Content::Heartbeat { .. } => self.first,
        }
    }
}

impl<'a> Content<'a> {
    fn of(kind: Kind, first: u64, body: &'a [u8]) -> Result<Self, FrameError> {
        let Kind {
            number,
            extra,
            count,
            code,
        } = kind;
        // Each kind uses some of these; the others are 0.
        let (uses_extra, uses_code, counted) = match number {
            MESSAGES => (false, false, count),
            PART => (true, false, 1),
            GAP => (true, true, 0),
            HEARTBEAT | CLOSED => (false, false, 0),
            found => return Err(FrameError::Kind { found }),
        };
        let bodyless = counted == 0;
        if (!uses_extra && extra != 0) || (!uses_code && code != 0) {
            return Err(FrameError::Reserved);
        }
        if count != counted || (number == MESSAGES && bodyless) {
            return Err(FrameError::Messages { count });
        }
        if bodyless && !body.is_empty() {
            return Err(FrameError::Length {
                said: 0,
                found: body.len(),
            });
        }
        match number {
            MESSAGES => Messages::checked(first, count, body)
                .map(Self::Messages)
                .ok_or(FrameError::Messages { count }),
            PART => {
                let (offset, total) = (extra as u32, (extra >> 32) as u32);
                let inside = (offset as u64 + body.len() as u64) <= u64::from(total);
                if body.is_empty() || !inside {
                    return Err(FrameError::Part { offset, total });
                }
                let bytes = body;
                Ok(Self::Part {
                    offset,
                    total,
                    bytes,
                })
            }
            GAP => {
                let spans = extra.wrapping_sub(first);
                if spans == 0 || spans > FARTHEST {
                    return Err(FrameError::Gap { first, end: extra });
                }
                let why = Why::from_code(code);
                Ok(Self::Gap { end: extra, why })
            }
            number => Ok(Self::Heartbeat {
                closed: number == CLOSED,
            }),
        }
    }
}
