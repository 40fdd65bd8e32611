//! Why bytes are no frame.

use super::layout::{HEADER, LIMIT};
use crate::VERSION;
use core::fmt;

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
