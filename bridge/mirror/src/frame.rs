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

use crate::wire::{checksum, Fields};
use crate::VERSION;
use core::fmt;
use slipring::endpoint::Why;

/// The most bytes of a frame. Zenoh sends up to 64 KiB without cutting them up.
pub const LIMIT: usize = 60 << 10;
/// Bytes of the header.
pub const HEADER: usize = 88;
/// The longest message that is sent whole.
pub const LONGEST_WHOLE: usize = LIMIT - HEADER - 8;
/// Most sequences that a gap spans, as in a ring.
pub const FARTHEST: u64 = 1 << 62;

const MAGIC: u32 = u32::from_le_bytes(*b"SLMF");
const CHECKSUM_AT: usize = 84;

/// Why bytes are no frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FrameError {
    /// Fewer bytes than a header has.
    Short {
        /// How many.
        len: usize,
    },
    /// More bytes than a frame has.
    Long {
        /// How many.
        len: usize,
    },
    /// They begin as no frame does.
    Magic {
        /// What stands there.
        found: u32,
    },
    /// Another version of the protocol.
    Version {
        /// Which.
        found: u16,
    },
    /// The checksum is not that of the bytes.
    Checksum,
    /// There is no such kind of frame.
    Kind {
        /// Its number.
        found: u16,
    },
    /// The header says another length of the body.
    Length {
        /// What it says.
        said: u32,
        /// How many bytes there are.
        found: usize,
    },
    /// The lengths of messages do not fill the body exactly.
    Messages {
        /// How many the header says.
        count: u32,
    },
    /// A gap that ends before it begins, or spans more than 2^62 sequences.
    Gap {
        /// The first sequence.
        first: u64,
        /// The first behind it.
        end: u64,
    },
    /// A part that does not lie inside its message.
    Part {
        /// Where it begins.
        offset: u32,
        /// Bytes of the message.
        total: u32,
    },
    /// A field that has to be 0 is not.
    Reserved,
}

impl fmt::Display for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Short { len } => {
                write!(f, "{len} bytes are too few for a frame: its header has {HEADER}")
            }
            Self::Long { len } => {
                write!(f, "{len} bytes are too many for a frame: it has at most {LIMIT}")
            }
            Self::Magic { found } => write!(f, "no frame: it begins with {found:#010x}"),
            Self::Version { found } => write!(
                f,
                "a frame of version {found}, where this program speaks version {VERSION}: run the same version of slipring-bridge on both hosts"
            ),
            Self::Checksum => f.write_str("the checksum of a frame is wrong: it was damaged on its way"),
            Self::Kind { found } => write!(f, "a frame of kind {found}, which does not exist"),
            Self::Length { said, found } => {
                write!(f, "a frame says that its body has {said} bytes, and it has {found}")
            }
            Self::Messages { count } => {
                write!(f, "the lengths of {count} messages do not fill the body of a frame")
            }
            Self::Gap { first, end } => write!(f, "a gap from {first} to {end}, which is none"),
            Self::Part { offset, total } => {
                write!(f, "a part at {offset} that does not lie inside a message of {total} bytes")
            }
            Self::Reserved => f.write_str("a field of a frame is not 0 that has to be"),
        }
    }
}

impl std::error::Error for FrameError {}

/// What every frame says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// Identity of the ring.
    pub ring: u128,
    /// How many producers the ring has had.
    pub epoch: u64,
    /// The first sequence of the latest one.
    pub epoch_first: u64,
    /// The oldest sequence that the ring still has.
    pub oldest: u64,
    /// When the frame was sent, in nanoseconds since 1970.
    pub wall_ns: u64,
}

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

/// The messages of a frame, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Messages<'a> {
    next: u64,
    count: u32,
    left: &'a [u8],
}

/// Bytes of a message of this length in a frame: its length, the payload, and what fills it up.
pub const fn record_bytes(len: usize) -> usize {
    (len + 4).next_multiple_of(8)
}

impl<'a> Messages<'a> {
    fn checked(first: u64, count: u32, body: &'a [u8]) -> Option<Self> {
        let messages = Self {
            next: first,
            count,
            left: body,
        };
        let mut rest = messages;
        let found = rest.by_ref().count();
        (count > 0 && found == count as usize && rest.left.is_empty()).then_some(messages)
    }

    /// Returns how many are left.
    pub fn remaining(&self) -> u32 {
        self.count
    }
}

impl<'a> Iterator for Messages<'a> {
    type Item = (u64, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        if self.count == 0 {
            return None;
        }
        let len = u32::from_le_bytes(*self.left.first_chunk()?) as usize;
        let (record, left) = self.left.split_at_checked(record_bytes(len))?;
        let payload = record.get(4..4 + len)?;
        let sequence = self.next;
        self.next = sequence.wrapping_add(1);
        self.count -= 1;
        self.left = left;
        Some((sequence, payload))
    }
}

/// The numbers of a header that depend on the kind of frame.
#[derive(Clone, Copy, Default)]
struct Kind {
    number: u16,
    extra: u64,
    count: u32,
    code: u32,
}

const MESSAGES: u16 = 1;
const PART: u16 = 2;
const GAP: u16 = 3;
const HEARTBEAT: u16 = 4;
const CLOSED: u16 = 5;

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
            Content::Messages(messages) => self.first.wrapping_add(u64::from(messages.count)),
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

fn encode(stamp: &Stamp, first: u64, kind: Kind, body: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(HEADER + body.len());
    out.extend(MAGIC.to_le_bytes());
    out.extend(VERSION.to_le_bytes());
    out.extend(kind.number.to_le_bytes());
    out.extend(stamp.ring.to_le_bytes());
    let words = [
        stamp.epoch,
        stamp.epoch_first,
        first,
        stamp.oldest,
        stamp.wall_ns,
        kind.extra,
    ];
    out.extend(words.iter().flat_map(|word| word.to_le_bytes()));
    let words = [kind.count, body.len() as u32, kind.code, 0];
    out.extend(words.iter().flat_map(|word| word.to_le_bytes()));
    out.extend(body);
    let sum = checksum(&out, CHECKSUM_AT).to_le_bytes();
    out[CHECKSUM_AT..CHECKSUM_AT + 4].copy_from_slice(&sum);
    out
}

/// A frame of messages whose records are in the body already.
pub(crate) fn messages(stamp: &Stamp, first: u64, count: u32, body: &[u8]) -> Vec<u8> {
    let kind = Kind {
        number: MESSAGES,
        count,
        ..Kind::default()
    };
    encode(stamp, first, kind, body)
}

/// The frames of one message that is too long for a frame.
pub(crate) fn parts(stamp: &Stamp, sequence: u64, payload: &[u8]) -> Vec<Vec<u8>> {
    let total = payload.len() as u32;
    let each = LIMIT - HEADER;
    let part = |(at, bytes): (usize, &[u8])| {
        let kind = Kind {
            number: PART,
            count: 1,
            extra: u64::from(total) << 32 | (at * each) as u64,
            ..Kind::default()
        };
        encode(stamp, sequence, kind, bytes)
    };
    payload.chunks(each).enumerate().map(part).collect()
}

/// The frame of a gap of at most [`FARTHEST`] sequences.
pub(crate) fn gap(stamp: &Stamp, first: u64, end: u64, why: Why) -> Vec<u8> {
    let kind = Kind {
        number: GAP,
        extra: end,
        code: why.code(),
        ..Kind::default()
    };
    encode(stamp, first, kind, &[])
}

/// A heartbeat.
pub(crate) fn heartbeat(stamp: &Stamp, next: u64, closed: bool) -> Vec<u8> {
    let kind = Kind {
        number: if closed { CLOSED } else { HEARTBEAT },
        ..Kind::default()
    };
    encode(stamp, next, kind, &[])
}
